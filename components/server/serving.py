"""The process of the service: its socket, its signals, its end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing

import uvicorn
from fastapi import FastAPI

from components.config import Config
from components.errors import ConfigError
from components.server.connection import Connection
from components.server.core import Core

DRAIN_SECONDS = 3
NEVER_READS_SECONDS = 60.0
"""After how long the connection of a client that reads nothing is cut."""
SEND_BUFFER = 256 * 1024
PING_SECONDS = 30.0


def serve(app: FastAPI, core: Core, config: Config, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; calls `announce` with the address once it answers. Port 0 takes a free one.

    Raises ConfigError where the address cannot be had, or the certificate cannot be used.
    """
    with closing(_bound(config.serve_host, config.serve_port)) as listener:
        settings = uvicorn.Config(
            app,
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            http=Connection,
            ws="websockets-sansio",
            ws_max_size=64 * 1024,
            ws_per_message_deflate=False,
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PING_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            ssl_certfile=config.tls_certificate,
            ssl_keyfile=config.tls_key,
        )
        try:
            settings.load()
        except OSError as error:
            raise ConfigError(f"tls_certificate, tls_key: they cannot be used ({error}); give PEM files") from error
        _Server(settings, core, announce).run(sockets=[listener])


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(NEVER_READS_SECONDS * 1000))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        remedy = "stop what listens there, or give another --port (0 takes a free one) or --host"
        raise ConfigError(f"cannot listen on {host}:{port} ({error}); {remedy}") from error
    return listener


class _Server(uvicorn.Server):
    """Says when it answers, and lets live streams go before it drains."""

    def __init__(self, config: uvicorn.Config, core: Core, announce: Callable[[str], None]) -> None:
        super().__init__(config)
        self._core = core
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        scheme = "https" if self.config.is_ssl else "http"
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            self._announce(f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._core.feeds.close()
        self._core.bulletin.close()
        self._core.beginnings.close()
        await super().shutdown(sockets)
