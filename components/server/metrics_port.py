"""A daemon's own place for Prometheus: the metrics that the service has, but for those of its API."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import start_http_server

from components.errors import ConfigError
from components.server.metrics import Meters
from components.store_reader import StoreReader

HOST = "127.0.0.1"


def serve(home: Path, store: str, port: int) -> str:
    """Serve metrics to this machine from a thread of its own, and return their address; port 0 takes a free one.

    Raises ConfigError where the port cannot be had.
    """
    meters = Meters(home, StoreReader(store), has_api=False)
    try:
        server, _ = start_http_server(port, addr=HOST, registry=meters.registry)
    except OSError as error:
        raise ConfigError(
            f"metrics_port = {port}: it cannot be listened on ({error}); free it or give another"
        ) from error
    return f"http://{HOST}:{server.server_address[1]}/metrics"
