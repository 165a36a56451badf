"""Frames over a WebSocket, at the client's pace, until there are no more or it has gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

from fastapi import WebSocket
from starlette.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from components.errors import RunnerError
from components.server import answers
from components.server.core import Core
from components.server.follower import now
from components.server.gate import PROTOCOL
from components.server.places import TooManyStreams

OWN_CODES = 4000
"""A WebSocket that ends in an error is closed with this and the HTTP status of the error."""


async def serve_frames(socket: WebSocket, core: Core, begin: Callable[[], AsyncIterator[str]]) -> None:
    """Send frames until there are no more, or the client has gone. It is refused where too many are open."""
    try:
        with core.places.place():
            await _serve(socket, core, begin)
    except TooManyStreams as error:
        await socket.send_denial_response(JSONResponse({"error": str(error), "kind": "TooManyStreams"}, 503))


async def _serve(socket: WebSocket, core: Core, begin: Callable[[], AsyncIterator[str]]) -> None:
    await socket.accept(PROTOCOL if PROTOCOL in socket.scope["subprotocols"] else None)
    gone = asyncio.create_task(_until_gone(socket))
    sending = asyncio.create_task(_send(socket, core, begin()))
    await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
    for task in (gone, sending):
        task.cancel()
    await asyncio.gather(gone, sending, return_exceptions=True)


async def _send(socket: WebSocket, core: Core, frames: AsyncIterator[str]) -> None:
    """Send frames, then how it ended; the client may have gone at any time."""
    code = 1000
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        try:
            async for frame in frames:
                await socket.send_text(frame)
        except RunnerError as error:
            told = {"type": "error", "kind": type(error).__name__, "message": str(error), "timestamp": now()}
            await socket.send_text(json.dumps(told))
            code = OWN_CODES + answers.status_of(error)
        await socket.close(1012 if core.feeds.is_closed else code)


async def _until_gone(socket: WebSocket) -> None:
    """Wait until the client has gone; what it says is not listened to."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
