"""Live output: `/ws/tasks/{id}` and `/ws/executions/{id}`, and the same as server-sent events for curl."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, WebSocket
from fastapi.responses import StreamingResponse

from components import execution_index
from components.board_task import BoardTask
from components.errors import NotFound, RunnerError
from components.execution_index import ExecutionFiles
from components.server import board_runs
from components.server.core import Core, core_behind, core_of
from components.server.follower import Follower, Wanted, now
from components.server.places import TooManyStreams
from components.server.sending import serve_frames

routes = APIRouter(tags=["streams"])
SETTLE_SECONDS = 0.3
"""How often to look whether the board knows of an end."""
ALIVE_SECONDS = 15.0
"""How often a stream of events says that it lives."""
TYPES = ("start", "attempt", "output", "lines", "gap", "exit", "error")
FRAME: dict[str, Any] = {
    "type": "object",
    "required": ["type", "timestamp"],
    "properties": {"type": {"enum": [*TYPES]}, "timestamp": {"type": "string", "format": "date-time"}},
}
EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": [*TYPES]},
        "id": {"type": "string", "pattern": "^[0-9]+-[0-9]+$", "description": "For `Last-Event-ID`."},
        "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": FRAME},
    },
}
"""What each event is, as the description of an event stream tells it: its fields."""
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, each with a frame of JSON as its data.",
        "content": {"text/event-stream": {"schema": EVENT}},
    }
}
BOTH = ("stdout", "stderr")


class Asked:
    """What a client asks for, as the query tells it."""

    def __init__(
        self,
        from_: Annotated[
            int, Query(alias="from", ge=-(1 << 50), le=1 << 50, description="Offset in stdout; negative from the end.")
        ] = 0,
        from_stderr: Annotated[int, Query(ge=-(1 << 50), le=1 << 50, description="Offset in stderr.")] = 0,
        view: Annotated[Literal["raw", "lines"], Query(description="Bytes as printed, or readable lines.")] = "raw",
        stream: Annotated[Literal["stdout", "stderr", "both"], Query(description="Which streams.")] = "both",
        max_lag: Annotated[int, Query(ge=0, le=1 << 40, description="Skip ahead when so many bytes behind.")] = 0,
    ) -> None:
        starts = {"stdout": from_, "stderr": from_stderr}
        self.wanted = Wanted(
            {name: starts[name] for name in BOTH if stream in (name, "both")}, view == "lines", max(max_lag, 0)
        )


@routes.websocket("/ws/executions/{execution_id}")
async def follow_execution(socket: WebSocket, execution_id: str, asked: Annotated[Asked, Depends()]) -> None:
    """Follow an execution."""
    core = core_behind(socket)
    await serve_frames(socket, core, lambda: _frames_of_execution(core, execution_id, asked.wanted))


@routes.websocket("/ws/tasks/{task_id}")
async def follow_task(socket: WebSocket, task_id: str, asked: Annotated[Asked, Depends()]) -> None:
    """Follow a task of the board: the run that it has, or had last; where it had none, the one that it will have."""
    core = core_behind(socket)
    await serve_frames(socket, core, lambda: _frames_of_task(core, task_id, asked.wanted))


@routes.get("/api/executions/{execution_id}/stream", response_class=StreamingResponse, responses=EVENTS)
async def execution_events(
    request: Request,
    execution_id: str,
    asked: Annotated[Asked, Depends()],
    last_event_id: Annotated[str, Header(max_length=100)] = "",
) -> StreamingResponse:
    """Follow an execution by server-sent events; `Last-Event-ID` goes on where the connection broke."""
    core = core_of(request)
    core.places.require()
    files = await asyncio.to_thread(files_of, core, execution_id)
    return _events(core, _frames(core, files, _resumed(asked.wanted, last_event_id)))


@routes.get("/api/tasks/{task_id}/stream", response_class=StreamingResponse, responses=EVENTS)
async def task_events(
    request: Request,
    task_id: str,
    asked: Annotated[Asked, Depends()],
    last_event_id: Annotated[str, Header(max_length=100)] = "",
) -> StreamingResponse:
    """Follow a task of the board by server-sent events."""
    core = core_of(request)
    core.places.require()
    await asyncio.to_thread(core.board.get, task_id)
    return _events(core, _frames_of_task(core, task_id, _resumed(asked.wanted, last_event_id)))


def files_of(core: Core, word: str) -> ExecutionFiles:
    """Return the files of an execution on this machine. Raises NotFound, also for one of another machine."""
    try:
        return execution_index.find(core.home, word)
    except NotFound:
        known = core.store.get(word)
        where = f", but on {known.host}" if known.host else " any more"
        raise NotFound(f"execution {known.short_id}: its output is not on this machine{where}") from None


async def _frames_of_execution(core: Core, word: str, wanted: Wanted) -> AsyncIterator[str]:
    files = await asyncio.to_thread(files_of, core, word)
    async for frame in _frames(core, files, wanted):
        yield frame


async def _frames_of_task(core: Core, task_id: str, wanted: Wanted) -> AsyncIterator[str]:
    task = await core.beginnings.of(task_id)
    if task is None:
        return
    async for frame in _frames(core, board_runs.files_of(core, task), wanted):
        if frame.startswith('{"type": "exit"'):
            task = await _settled(core, task)
            if task.error:
                yield json.dumps({"type": "error", "kind": "RunFailed", "message": task.error, "timestamp": now()})
            told = {"task": task.id, "task_status": task.status}
            frame = json.dumps({**json.loads(frame), **told}, ensure_ascii=False)  # noqa: PLW2901
        yield frame


async def _settled(core: Core, task: BoardTask) -> BoardTask:
    """Return a task when the board knows that its run has ended."""
    for _ in range(20):
        known = await asyncio.to_thread(core.board.get, task.id)
        if known.execution_id != task.execution_id or known.status != "running":
            return known
        await asyncio.to_thread(board_runs.settle, core)
        await asyncio.sleep(SETTLE_SECONDS)
    return task


async def _frames(core: Core, files: ExecutionFiles, wanted: Wanted) -> AsyncIterator[str]:
    async with core.feeds.following(files) as feed:
        async for frame in Follower(feed, core.feeds, wanted, core.redact).frames():
            yield frame


def _events(core: Core, frames: AsyncIterator[str]) -> StreamingResponse:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_placed(core, frames), media_type="text/event-stream", headers=headers)


async def _placed(core: Core, frames: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield events for as long as there is a place for them."""
    with contextlib.suppress(TooManyStreams), core.places.place():
        async for event in _as_events(frames):
            yield event


async def _as_events(frames: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield frames as events, each with an id from which to go on, and a sign of life where there are none."""
    at = dict.fromkeys(BOTH, 0)
    coming = frames.__aiter__()
    following = asyncio.ensure_future(anext(coming))
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=ALIVE_SECONDS)
            if not done:
                yield ": alive\n\n"
                continue
            frame = following.result()
            told = json.loads(frame)
            at |= told.get("offsets", {})
            at |= {told["stream"]: told["end"]} if "stream" in told else {}
            yield f"event: {told['type']}\nid: {at['stdout']}-{at['stderr']}\ndata: {frame}\n\n"
            following = asyncio.ensure_future(anext(coming))
    except (StopAsyncIteration, RunnerError):
        return
    finally:
        following.cancel()


def _resumed(wanted: Wanted, last_event_id: str) -> Wanted:
    """Return what is wanted after the event that came last; an id that is none of ours changes nothing."""
    words = last_event_id.split("-")
    if len(words) != len(BOTH) or not all(word.isascii() and word.isdigit() for word in words):
        return wanted
    known = dict(zip(BOTH, map(int, words), strict=True))
    return Wanted({name: known[name] for name in wanted.starts}, wanted.lines, wanted.max_lag)
