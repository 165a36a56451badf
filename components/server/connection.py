"""One connection to the service: who asks for nothing within a while, or never ends its headers, is cut off."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ASKING_SECONDS = 10.0
"""How long a request's headers may take, from the connection or from the request's first byte."""
HEAD_BYTES = 128 * 1024
"""How long a request's first line and headers may be: they are kept whole, before anybody is asked for a token."""


class Connection(HttpToolsProtocol):
    """Uvicorn's connection with limits for what comes before a request is there."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._cut: asyncio.TimerHandle | None = None
        self._unfinished = 0
        self._is_asking = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        super().data_received(data)
        if self._is_asking and self._unfinished > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The first line and the headers are longer than {HEAD_BYTES:,} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_asking = True
        self._arm()

    def on_headers_complete(self) -> None:
        self._is_asking, self._unfinished = False, 0
        self._disarm()
        super().on_headers_complete()

    def _arm(self) -> None:
        if self._cut is None:
            self._cut = self.loop.call_later(ASKING_SECONDS, self._cut_off)

    def _disarm(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None

    def _cut_off(self) -> None:
        self._cut = None
        if not self.transport.is_closing():
            self.transport.close()
