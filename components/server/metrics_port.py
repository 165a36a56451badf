"""A daemon's own place for Prometheus: the metrics that the service has, but for those of its API."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from components.config import Config
from components.errors import ConfigError
from components.server import hosts
from components.server.metrics import Meters
from components.store_reader import StoreReader

HOST = "127.0.0.1"
Answer = Callable[..., Any]
Program = Callable[[dict[str, Any], Answer], Iterable[bytes]]


class _Quiet(WSGIRequestHandler):
    """Says nothing of requests."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Pass it over."""


def serve(config: Config, port: int) -> str:
    """Serve metrics to this machine from a thread of its own, and return their address; port 0 takes a free one.

    Raises ConfigError where the port cannot be had.
    """
    meters = Meters(config.home, StoreReader(config.store), has_api=False)
    program = _guarded(make_wsgi_app(meters.registry), hosts.known(HOST, config.allowed_hosts))
    try:
        server = make_server(HOST, port, program, ThreadingWSGIServer, _Quiet)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"metrics_port = {port}: it cannot be listened on ({error}); free it or give another"
        ) from error
    threading.Thread(target=server.serve_forever, daemon=True, name="metrics").start()
    return f"http://{HOST}:{server.server_address[1]}/metrics"


def _guarded(metrics: Program, known: frozenset[str]) -> Program:
    """Return what answers at `/metrics` and `/health` only, and to nobody who calls it by another's name."""

    def guarded(environ: dict[str, Any], answer: Answer) -> Iterable[bytes]:
        if hosts.name(environ.get("HTTP_HOST", "")) not in known:
            return _text(answer, "421 Misdirected Request", "the Host header names another service; see allowed_hosts")
        if environ["PATH_INFO"] == "/metrics":
            return metrics(environ, answer)
        if environ["PATH_INFO"] == "/health":
            return _text(answer, "200 OK", "ok")
        return _text(answer, "404 Not Found", "there are /metrics and /health")

    return guarded


def _text(answer: Answer, status: str, words: str) -> Iterable[bytes]:
    answer(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{words}\n".encode()]
