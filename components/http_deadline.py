"""A time limit for a whole answer, where the library has one for the pause between two pieces of it.

A server that sends a byte now and then would hold a client for ever. Here each read of the socket may last no longer
than what is left of the time, so status line, headers and body together keep to the read timeout. Whoever asks may
give up earlier: they choose the wait that precedes a read.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

WaitForAnswer = Callable[[int, float, float], bool]
"""Waits until a descriptor is readable, told when the answer was asked for and when its time is over."""


class GivenUp(TimeoutError):
    """Whoever asked does not wait for the answer any more."""


def is_given_up(error: BaseException | None) -> bool:
    """Whether the operator does not wait any longer: then nothing is asked again."""
    while error is not None and not isinstance(error, GivenUp):
        error = error.__cause__ or error.__context__
    return error is not None


class _DeadlineReader(io.RawIOBase):
    """Bytes from a socket until a moment of the monotonic clock. Raises TimeoutError after it, or GivenUp."""

    def __init__(self, connection: socket.socket, began: float, deadline: float, wait: WaitForAnswer | None) -> None:
        self._connection = connection
        self._began = began
        self._wait = wait
        self._raw = connection.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        is_there = self._wait is None or self._is_readable(self._wait)
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the answer is over")
        if not is_there:
            raise GivenUp("the answer is not waited for any more")
        self._connection.settimeout(left)
        return self._raw.readinto(buffer)

    def _is_readable(self, wait: WaitForAnswer) -> bool:
        """Wait for bytes; those that TLS has read already show on no descriptor."""
        pending = getattr(self._connection, "pending", None)
        if not isinstance(self._connection, socket.socket) or (pending is not None and pending()):
            return True
        return wait(self._connection.fileno(), self._began, self._deadline)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineSocket:
    """What `http.client` needs of a socket to read one answer."""

    def __init__(self, connection: socket.socket, seconds: float, wait: WaitForAnswer | None) -> None:
        self._connection = connection
        self._began = time.monotonic()
        self._deadline = self._began + seconds
        self._wait = wait

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._connection, self._began, self._deadline, self._wait))


class _DeadlineAnswers:
    """A connection whose read timeout counts for a whole answer."""

    timeout: Any

    def __init__(self, *arguments: Any, wait_for_answer: WaitForAnswer | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._wait_for_answer = wait_for_answer

    def response_class(self, connection: socket.socket, *arguments: Any, **options: Any) -> HTTPResponse:
        bounded: Any = _DeadlineSocket(connection, float(self.timeout), self._wait_for_answer)
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

    def __init__(self, wait_for_answer: WaitForAnswer | None = None) -> None:
        self._pools = {
            "http": partial(_Pool, wait_for_answer=wait_for_answer),
            "https": partial(_TlsPool, wait_for_answer=wait_for_answer),
        }
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager
