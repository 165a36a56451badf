"""The endpoints of tasks."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from components.headless_pm import tables, tasks
from components.headless_pm.office import Here, Json, Office, require_agent, require_role
from components.headless_pm.schemas import Comment, Id, NewTask, StatusChange, known_status
from components.headless_pm.settings import Defects
from components.states import Level, Role

USUAL_WAIT = 180
LONGEST_WAIT = 86400
LOOK_AGAIN_SECONDS = 5.0  # stale locks ring no bell

NO_ROLE = "Missing required parameter 'role'. Please provide a valid role (e.g., ?role=frontend_dev)"
NO_LEVEL = "Missing required parameter 'level'. Please provide a valid level (e.g., ?level=senior)"


def router(defects: Defects) -> APIRouter:
    """Build the endpoints that a server with these defects has."""
    routes = APIRouter(prefix="/tasks", tags=["tasks"])
    routes.add_api_route("/create", create, methods=["POST"])
    routes.add_api_route("", listing)
    routes.add_api_route("/next", next_waiting if defects.poll_grid is None else next_blocking)
    routes.add_api_route("/{task_id}/lock", lock, methods=["POST"])
    routes.add_api_route("/{task_id}/status", change_status, methods=["PUT"])
    routes.add_api_route("/{task_id}/comment", comment, methods=["POST"])
    routes.add_api_route("/{task_id}", delete, methods=["DELETE"])
    if not defects.no_get_task:
        routes.add_api_route("/{task_id}", show)
    if not defects.no_unlock:
        routes.add_api_route("/{task_id}/unlock", unlock, methods=["POST"])
    return routes


def create(office: Here, agent_id: str, new: NewTask) -> Json:
    """Make a task; it is out of the queue (`pending`) until its status is set to `created`."""
    with office.writing(wakes=True) as connection:
        found = connection.execute(sa.select(tables.agent.c.id).where(tables.agent.c.agent_id == agent_id))
        if found.one_or_none() is None:
            raise HTTPException(404, "Creator agent not found")
        features = sa.select(tables.feature.c.id).where(tables.feature.c.id == new.feature_id)
        if connection.execute(features).one_or_none() is None:
            raise HTTPException(404, "Feature not found")
        task_id = tasks.create(office, connection, new, agent_id)
        return tasks.as_json(tasks.required(connection, task_id), office.defects)


def listing(office: Here, status: str | None = None, role: Role | None = None) -> list[Json]:
    """List tasks, newest first."""
    wanted = None if status is None else known_status(status, office.defects, "query", "status")
    with office.reading() as connection:
        return [tasks.as_json(row, office.defects) for row in tasks.listed(connection, wanted, role)]


async def next_waiting(
    office: Here,
    request: Request,
    role: Role | None = None,
    level: Level | None = None,
    simulate: bool = False,
    timeout: int | None = None,
) -> Json | None:
    """Offer the oldest free task, waiting up to `timeout` seconds without holding a thread."""
    asked = _asked(role, level)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _patience(simulate, timeout)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        while not gone.done():
            rung = office.bell.listen()
            found = await run_in_threadpool(tasks.offered, office, *asked)
            left = deadline - loop.time()
            if found or left <= 0 or office.bell.closed.is_set():
                return found
            await _first(gone, rung, min(left, LOOK_AGAIN_SECONDS))
        return None
    finally:
        gone.cancel()


async def _first(gone: asyncio.Future[None], rung: asyncio.Event, seconds: float) -> None:
    ring = asyncio.ensure_future(rung.wait())
    both: set[asyncio.Future[Any]] = {gone, ring}
    await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    ring.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def next_blocking(
    office: Here,
    role: Role | None = None,
    level: Level | None = None,
    simulate: bool = False,
    timeout: int | None = None,
) -> Json | None:
    """Offer the oldest free task as the original does: look every few seconds, and hold one of 40 threads."""
    asked = _asked(role, level)
    deadline = time.monotonic() + _patience(simulate, timeout)
    while True:
        found = tasks.offered(office, *asked)
        left = deadline - time.monotonic()
        if found or left <= 0 or office.bell.closed.wait(min(left, office.defects.poll_grid or 0)):
            return found


def _asked(role: Role | None, level: Level | None) -> tuple[str, str]:
    if role is None:
        raise HTTPException(400, NO_ROLE)
    if level is None:
        raise HTTPException(400, NO_LEVEL)
    return role, level


def _patience(simulate: bool, timeout: int | None) -> int:
    return 0 if simulate else min(LONGEST_WAIT, USUAL_WAIT if timeout is None else timeout)


def lock(office: Here, task_id: Id, agent_id: str) -> Json:
    """Take the task; one of many callers gets it. The holder may ask again."""
    return tasks.lock(office, task_id, agent_id)


def unlock(office: Here, task_id: Id, agent_id: str) -> Json:
    """Let go of a task that the agent holds."""
    return tasks.unlock(office, task_id, agent_id)


def change_status(office: Here, task_id: Id, agent_id: str, change: StatusChange) -> Json:
    """Move the task and offer the agent's next one."""
    status = known_status(change.status, office.defects, "body", "status")
    with office.writing(wakes=True) as connection:
        tasks.required(connection, task_id)
        agent = require_agent(connection, agent_id)
        tasks.forget_stale(office, connection)
        tasks.move(office, connection, task_id, agent_id, status, change.notes)
        following = tasks.free_for(connection, agent.role, agent.level)
        shown = tasks.as_json(tasks.required(connection, task_id), office.defects)
    return {"task": shown, **_continuation(office, task_id, following)}


def _continuation(office: Office, task_id: int, following: sa.Row[Any] | None) -> Json:
    more = following is not None
    prompt = "Continue with the next task without waiting for confirmation" if more else "No more tasks available"
    return {
        "next_task": None if following is None else tasks.as_json(following, office.defects),
        "workflow_status": "continue" if more else "no_tasks",
        "task_completed": task_id,
        "auto_continue": more,
        "continuation_prompt": prompt,
        "session_momentum": "high" if more else "low",
    }


def comment(office: Here, task_id: Id, agent_id: str, said: Comment) -> Json:
    """Append a comment to the task's notes."""
    tasks.comment(office, task_id, agent_id, said.comment)
    return {"message": "Comment added successfully"}


def show(office: Here, task_id: Id) -> Json:
    """Return one task."""
    with office.reading() as connection:
        return tasks.as_json(tasks.required(connection, task_id), office.defects)


def delete(office: Here, task_id: Id, agent_id: str) -> Json:
    """Delete a task with its history; for a pm."""
    with office.writing() as connection:
        require_role(connection, agent_id, "pm")
        if connection.execute(sa.delete(tables.task).where(tables.task.c.id == task_id)).rowcount != 1:
            raise HTTPException(404, "Task not found")
    return {"message": f"Task {task_id} deleted successfully"}
