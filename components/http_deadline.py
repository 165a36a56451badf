"""A time limit for a whole answer, where the library has one for the pause between two pieces of it.

A server that sends a byte now and then would hold a client for ever. Here each read of the socket may last no longer
than what is left of the time, so status line, headers and body together keep to the read timeout.
"""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class _DeadlineReader(io.RawIOBase):
    """Bytes from a socket until a moment of the monotonic clock. Raises TimeoutError after it."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._raw = connection.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the answer is over")
        self._connection.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineSocket:
    """What `http.client` needs of a socket to read one answer."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + seconds

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._connection, self._deadline))


class _DeadlineAnswers:
    """A connection whose read timeout counts for a whole answer."""

    timeout: Any

    def response_class(self, connection: socket.socket, *arguments: Any, **options: Any) -> HTTPResponse:
        bounded: Any = _DeadlineSocket(connection, float(self.timeout))
        return HTTPResponse(bounded, *arguments, **options)


class _Connection(_DeadlineAnswers, HTTPConnection):  # type: ignore[misc]
    pass


class _TlsConnection(_DeadlineAnswers, HTTPSConnection):  # type: ignore[misc]
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class DeadlineAdapter(HTTPAdapter):
    """An adapter for `requests` that gives each answer no longer than the read timeout, proxies included."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return manager
