"""What every request passes before the endpoints see it: a limit on its size, and a delay if one was asked for."""

from __future__ import annotations

import asyncio

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT = 8 << 20
TOO_LARGE = f"The request body is larger than {BODY_LIMIT >> 20} MB."


class Gate:
    """Refuses bodies over 8 MB (413), announced or not, and waits `delay` seconds before each request."""

    def __init__(self, app: ASGIApp, delay: float) -> None:
        self._app = app
        self._delay = delay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._delay:
            await asyncio.sleep(self._delay)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > BODY_LIMIT:
            refusal = JSONResponse({"detail": TOO_LARGE}, 413, {"Connection": "close"})
            await refusal(scope, receive, send)
            return
        await self._app(scope, _measured(receive), send)


def _measured(receive: Receive) -> Receive:
    size = 0

    async def measured() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > BODY_LIMIT:
            raise HTTPException(413, TOO_LARGE, {"Connection": "close"})
        return message

    return measured
