"""Faults for tests: what goes wrong between a client and a server that works, switched over HTTP at run time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.headless_pm.office import Json

CHUNK = 1 << 16
API = "/api/v1/"


class Kind(StrEnum):
    """What happens to a request."""

    DROP_RESPONSE = "drop_response"
    DROP_REQUEST = "drop_request"
    REPLY = "reply"
    HTML = "html"
    HUGE = "huge"
    SLOW = "slow"
    LATE = "late"


class Fault(BaseModel):
    """One fault: it strikes the first `times` requests `on` an endpoint after letting `after` of them through.

    `on` is the last word of the path (`lock`, `status`, `comment`, `next`, `register`, `create`, ...), `list` for
    GET /tasks, or `any`. With `act` the server does what it was asked before it answers wrongly; dropping the response,
    `slow` and `late` always act. `seconds` is the pause between the bytes (slow) or before the answer (late), `size`
    the bytes of a huge body.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    on: str = "any"
    times: Annotated[int, Field(ge=1)] = 1
    after: Annotated[int, Field(ge=0)] = 0
    act: bool = False
    status: Annotated[int, Field(ge=200, le=599)] = 503
    body: str = "Service Unavailable"
    content_type: str = "text/plain; charset=utf-8"
    retry_after: str | None = None
    seconds: Annotated[float, Field(ge=0, le=3600)] = 0.05
    size: Annotated[int, Field(ge=0)] = 64 << 20


class Mischief:
    """The faults that are switched on, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self.struck = 0

    def add(self, fault: Fault) -> None:
        """Switch a fault on."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Switch all faults off."""
        self._faults.clear()

    def shown(self) -> Json:
        """Return what is on, and how often one struck."""
        return {"struck": self.struck, "faults": [fault.model_dump() for fault in self._faults]}

    def strike(self, endpoint: str) -> Fault | None:
        """Return the fault that this request meets, and count it."""
        for place, fault in enumerate(self._faults):
            if fault.on not in ("any", endpoint):
                continue
            if fault.after:
                fault.after -= 1
                continue
            self.struck += 1
            fault.times -= 1
            if not fault.times:
                del self._faults[place]
            return fault
        return None


routes = APIRouter(prefix="/_faults", tags=["faults"])


@routes.get("")
async def show(request: Request) -> Json:
    """Show the faults."""
    return _mischief(request).shown()


@routes.post("")
async def add(request: Request, fault: Fault) -> Json:
    """Switch a fault on."""
    _mischief(request).add(fault)
    return _mischief(request).shown()


@routes.delete("")
async def clear(request: Request) -> Json:
    """Switch all faults off."""
    _mischief(request).clear()
    return _mischief(request).shown()


def _mischief(request: Request) -> Mischief:
    mischief: Mischief = request.app.state.mischief
    return mischief


def endpoint(path: str) -> str:
    """Return the word that a fault's `on` is compared with."""
    if not path.startswith(API):
        return path.strip("/") or "root"
    words = path.removeprefix(API).split("/")
    if words == ["tasks"]:
        return "list"
    return "task" if words[-1].isdigit() and words[0] == "tasks" else words[-1]


class Saboteur:
    """Stands between uvicorn and the application, and applies the faults. Nothing may stand before it: see `_cut`."""

    def __init__(self, app: ASGIApp, mischief: Mischief) -> None:
        self._app = app
        self._mischief = mischief

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or spoil it."""
        spared = scope["type"] != "http" or scope["path"].startswith("/_faults")
        fault = None if spared else self._mischief.strike(endpoint(scope["path"]))
        if fault is None:
            await self._app(scope, receive, send)
            return
        answer: list[Message] = []
        if fault.act or fault.kind in (Kind.DROP_RESPONSE, Kind.SLOW, Kind.LATE):
            await self._app(scope, receive, _kept(answer))
        if fault.kind in (Kind.DROP_RESPONSE, Kind.DROP_REQUEST):
            await _cut(receive, send)
        elif fault.kind in SPOILED:
            await SPOILED[fault.kind](fault, answer, send)
        else:
            await _reply(fault)(scope, receive, send)


def _kept(answer: list[Message]) -> Send:
    async def keep(message: Message) -> None:
        answer.append(message)

    return keep


async def _cut(receive: Receive, send: Send) -> None:
    """Reset the connection: the client sees no byte of an answer. uvicorn's `send` knows the transport."""
    send.__self__.transport.abort()  # type: ignore[attr-defined]
    while (await receive())["type"] != "http.disconnect":
        pass


def _reply(fault: Fault) -> Response:
    if fault.kind is Kind.HTML:
        page = "<!DOCTYPE html><html><body><h1>Sign in to the network</h1></body></html>"
        return Response(page, 200, media_type="text/html")
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    return Response(fault.body, fault.status, headers, media_type=fault.content_type)


async def _huge(fault: Fault, _: list[Message], send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    left = fault.size
    chunk = json.dumps(["x" * CHUNK]).encode()
    while left > 0:
        await send({"type": "http.response.body", "body": chunk[:left], "more_body": True})
        left -= len(chunk)
    await send({"type": "http.response.body", "body": b""})


async def _slow(fault: Fault, answer: list[Message], send: Send) -> None:
    start, *bodies = answer
    await send(start)
    for byte in b"".join(message.get("body", b"") for message in bodies):
        await asyncio.sleep(fault.seconds)
        await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _late(fault: Fault, answer: list[Message], send: Send) -> None:
    await asyncio.sleep(fault.seconds)
    for message in answer:
        await send(message)


SPOILED: dict[Kind, Callable[[Fault, list[Message], Send], Awaitable[None]]] = {
    Kind.HUGE: _huge,
    Kind.SLOW: _slow,
    Kind.LATE: _late,
}
