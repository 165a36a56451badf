"""What the dashboard begins with: who is at work, what waits, what it costs; and the events by which it stays true."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, WebSocket

from components import __version__, at_work, overview, remark
from components.at_work import AtWork
from components.board_task import BoardStatus
from components.overview import Agent, Run
from components.server.core import Core, core_behind, core_of
from components.server.overview_shapes import Costs, Days, OverviewShown, Projects
from components.server.schemas import Day, Word, shown
from components.server.sending import serve_frames

routes = APIRouter(tags=["overview"])
Here = Annotated[Core, Depends(core_of)]
QUEUE_SHOWN = 50
DAILY = """SELECT substr(completed_at, 1, 10), status, count(*), sum(seconds), sum(cost_usd) FROM executions
WHERE completed_at >= :since AND status IN ('succeeded', 'failed', 'cancelled')
GROUP BY substr(completed_at, 1, 10), status ORDER BY 1, 2"""


@routes.get("/api/overview", response_model=OverviewShown)
def look(core: Here) -> dict[str, Any]:
    """Show who is at work on this machine, what waits, and what today has cost."""
    seen = overview.look(core.home)
    today = datetime.now(UTC).date().isoformat()
    costs = core.store.cost("day", today)
    return {
        "version": __version__,
        "host": core.host,
        "host_name": core.host_name,
        "home": str(core.home),
        "at_work": [_work(core, one) for one in at_work.find(seen, core.store)],
        "agents": [_agent(one) for one in seen.agents],
        "queue": [shown(task) for task in core.board.select(status=str(BoardStatus.TODO), limit=QUEUE_SHOWN)],
        "board": core.board.counts(),
        "executions": core.store.counts(),
        "cost_today_usd": sum(one.usd for one in costs),
        "strays": [_run(one) for one in seen.strays],
        "dead_letters": [{"path": str(one.path), **asdict(one.content)} for one in seen.letters],
        "set_aside": [str(path) for path in seen.set_aside],
        "unreadable": [{"path": str(one.path), "why": one.why} for one in seen.unreadable],
        "last_event": core.store.last_transition(),
    }


@routes.get("/api/projects", response_model=Projects)
def projects(core: Here) -> dict[str, Any]:
    """List the repositories that tasks may be for."""
    return {"projects": [{"name": name, "path": str(path)} for name, path in sorted(core.projects().items())]}


@routes.get("/api/costs", response_model=Costs)
def costs(
    core: Here,
    by: Literal["day", "agent", "model", "project"] = "day",
    since: Annotated[Day, Query(description="A day such as 2026-11-21.")] = "",
    project: Annotated[Word, Query()] = "",
) -> dict[str, Any]:
    """Show what runs have cost, by day, agent, model or project."""
    place = str(core.projects().get(project, project))
    return {"by": by, "costs": [asdict(one) for one in core.store.cost(by, since, place)]}


@routes.get("/api/days", response_model=Days)
def days(core: Here, days: Annotated[int, Query(ge=1, le=3660)] = 30) -> dict[str, Any]:
    """Show for each day (UTC) how executions ended, how long their agents worked, and what they cost."""
    since = (datetime.now(UTC) - timedelta(days=days)).date().isoformat()
    names = ("day", "status", "count", "seconds", "cost_usd")
    rows = core.store.rows((DAILY, {"since": since}))
    return {"days": [dict(zip(names, (*row[:3], float(row[3]), float(row[4])), strict=True)) for row in rows]}


@routes.websocket("/ws/events")
async def events(socket: WebSocket, after: Annotated[int, Query(ge=-1, le=1 << 50)] = -1) -> None:
    """Tell every move of an execution or an agent and every change of a task; `after` is the last known event's id."""
    core = core_behind(socket)
    await serve_frames(socket, core, lambda: core.bulletin.listen(after))


def _work(core: Core, one: AtWork) -> dict[str, Any]:
    names = ("id", "short_id", "task_id", "title", "agent_id", "role", "stage", "attempt", "started_at", "model")
    return {
        **{name: getattr(one, name) for name in names},
        "project": core.shown_project(one.project),
        "repository": one.project,
        "elapsed_seconds": at_work.seconds_since(one.started_at),
        "progress": one.estimate.fraction,
        "seconds_left": one.estimate.seconds_left,
        "is_late": one.estimate.is_late,
        "cost_usd": one.cost_usd,
        "is_whole_cost": one.is_whole_cost,
        "pids": dict(one.run.pids) if one.run else {},
        "remark": remark.of(one),
    }


def _agent(one: Agent) -> dict[str, Any]:
    return {
        "agent_id": one.agent_id,
        "runner": {"alive": one.runner is not None, "pid": one.runner or None},
        "execution_id": one.held.claim if one.held else None,
        "task": {"id": one.held.task.id, "title": one.held.task.title, "role": one.held.task.role}
        if one.held
        else None,
        "phase": one.held.phase if one.held else None,
        "since": one.held.locked_at if one.held else None,
        "is_idle": one.is_idle,
        "is_elsewhere": one.is_elsewhere,
        "remark": remark.of_agent(one),
    }


def _run(one: Run) -> dict[str, Any]:
    return {"path": str(one.path), "state": one.state.name.lower(), "pids": dict(one.pids)}
