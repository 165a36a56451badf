"""A TCP proxy that spoils what passes: between the runner and its server, for the length of a test.

with TcpFaultProxy(pm.port) as proxy:
    proxy.choose = lambda: Fault.DROP_RESPONSE      # the server acts, and its answer never comes

It is asked for a fault once per request. Every request has a connection of its own on both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

START_SECONDS = 10.0
CLOSE_SECONDS = 5.0
LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
SLOW_PIECES = 4


class Fault(StrEnum):
    """What happens to one request."""

    OK = "ok"
    REFUSE = "refuse"
    """The connection is reset before a byte of the request was read."""
    RESET = "reset"
    """The request is read, the server never sees it, the connection is reset."""
    HANG = "hang"
    """The request is read, the server never sees it, and nothing happens for `hang_seconds`; then a reset."""
    SLOW = "slow"
    """The answer comes in pieces, `slow_seconds` apart."""
    CUT_REQUEST = "cut_request"
    """The server gets the first half of the request."""
    CUT_RESPONSE = "cut_response"
    """The server acts, the client gets the first half of the answer."""
    DROP_RESPONSE = "drop_response"
    """The server acts, the client gets a reset instead of the answer."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that the server answered, whatever the client got to see of it."""

    method: str
    target: str
    status: int
    fault: Fault


def spoiled(rng: random.Random, share: float, weights: Mapping[Fault, int] | None = None) -> Callable[[], Fault]:
    """Return a chooser that spoils a share of the requests."""
    chances = dict.fromkeys([fault for fault in Fault if fault is not Fault.OK], 1) if weights is None else weights
    kinds, numbers = list(chances), list(chances.values())
    return lambda: rng.choices(kinds, numbers)[0] if rng.random() < share else Fault.OK


class TcpFaultProxy:
    """Listens on a free port of the loopback and passes on to another one, in a thread of its own."""

    def __init__(self, upstream: int, *, hang_seconds: float = 2.0, slow_seconds: float = 0.1) -> None:
        self.upstream = upstream
        self.hang_seconds = hang_seconds
        self.slow_seconds = slow_seconds
        self.choose: Callable[[], Fault] = lambda: Fault.OK
        self.exchanges: list[Exchange] = []
        self.struck: dict[Fault, int] = dict.fromkeys(Fault, 0)
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """Return the address that stands for the server's."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._accepted, "127.0.0.1", 0, backlog=256))
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_SECONDS)

    async def _end(self) -> None:
        """End every exchange, also those whose connection is just being accepted: that is a task of the loop's own."""
        self._server.close()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self.choose()
        self.struck[fault] += 1
        is_whole = False
        try:
            is_whole = await self._spoil(fault, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # one side went away: so does the other
        finally:
            if not is_whole:
                _reset_at_close(writer)
            await _closed(writer)

    async def _spoil(self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Pass one request on as the fault wants it; False when the client's connection is to be reset."""
        if fault is Fault.REFUSE:
            return False
        head, body = await _request(reader)
        if fault is Fault.HANG:
            await asyncio.sleep(self.hang_seconds)
        if fault in (Fault.HANG, Fault.RESET):
            return False
        if fault is Fault.CUT_REQUEST:
            await self._ask((head + body)[: (len(head) + len(body)) // 2], is_whole=False)
            return False
        answer = await self._ask(head + body)
        self._note(head, answer, fault)
        if not answer or fault is Fault.DROP_RESPONSE:
            return False
        await self._answer(fault, answer, writer)
        return True

    async def _ask(self, request: bytes, *, is_whole: bool = True) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            writer.write(request)
            await writer.drain()
            return await reader.read(-1) if is_whole else b""
        finally:
            await _closed(writer)

    async def _answer(self, fault: Fault, answer: bytes, writer: asyncio.StreamWriter) -> None:
        if fault is Fault.CUT_RESPONSE:
            answer = answer[: len(answer) // 2]
        size = -(-len(answer) // SLOW_PIECES) if fault is Fault.SLOW else len(answer)
        for start in range(0, len(answer), size):
            if start:
                await asyncio.sleep(self.slow_seconds)
            writer.write(answer[start : start + size])
            await writer.drain()

    def _note(self, head: bytes, answer: bytes, fault: Fault) -> None:
        method, target, _ = head.decode("latin-1").split(" ", 2)
        status = answer[9:12]
        if status.isdigit():
            self.exchanges.append(Exchange(method, target, int(status), fault))


async def _request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read a request; its head asks the server to close after the answer, so that the answer's end is seen."""
    head = await reader.readuntil(b"\r\n\r\n")
    found = LENGTH.search(head)
    body = await reader.readexactly(int(found.group(1))) if found else b""
    lines = [line for line in head[:-4].split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""]), body


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection and wait until its socket is; one that does not take the rest is cut off."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), CLOSE_SECONDS)
        return
    writer.transport.abort()


def _reset_at_close(writer: asyncio.StreamWriter) -> None:
    """Make the coming close a reset: whoever waits for an answer sees an error, not an end."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
