"""The board: `/api/tasks`."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from components.board_task import BoardStatus, BoardTask
from components.server import board_runs
from components.server.core import Core, core_of
from components.server.schemas import Given, Id, NewTask, Started, Stopping, TaskList, TaskShown, Word, safe, shown

routes = APIRouter(prefix="/api/tasks", tags=["tasks"])
Here = Annotated[Core, Depends(core_of)]


@routes.post("", status_code=201, response_model=TaskShown)
def create(core: Here, given: NewTask, response: Response) -> dict[str, Any]:
    """Put a task on the board, in `todo`."""
    project = core.project(given.project)
    values = {**given.model_dump(), "project": project.name, "repository": str(project.path)}
    plain = {name: str(value or "") for name, value in values.items()}
    task = core.board.add(BoardTask(id=uuid.uuid4().hex, **plain))  # type: ignore[arg-type]
    response.headers["Location"] = f"/api/tasks/{task.id}"
    return shown(task)


class Filter(Given):
    """Which tasks are wanted; what is left out does not matter."""

    status: BoardStatus | None = None
    project: Word = ""
    before: Annotated[Id, Field(description="The id of the last task of the page before.")] = ""
    limit: Annotated[int, Field(ge=1, le=500)] = 100


@routes.get("", response_model=TaskList)
def select(core: Here, given: Annotated[Filter, Query()]) -> dict[str, Any]:
    """List the tasks of the board, newest first; `counts` are of the project that is asked for, or of all."""
    tasks = core.board.select(given.project, str(given.status or ""), given.before, given.limit)
    return {"tasks": [shown(task) for task in tasks], "counts": core.board.counts(given.project)}


@routes.get("/{task_id}", response_model=TaskShown)
def get(core: Here, task_id: str) -> dict[str, Any]:
    """Show one task."""
    return shown(core.board.get(safe(task_id)))


@routes.delete("/{task_id}", status_code=204)
def delete(core: Here, task_id: str) -> None:
    """Take a task off the board; one that runs is refused. Its executions stay in the history."""
    core.board.delete(safe(task_id))


@routes.post("/{task_id}/run", response_model=Started)
def run(core: Here, task_id: str) -> dict[str, Any]:
    """Have an agent do a task that is in `todo`."""
    task = board_runs.run(core, safe(task_id))
    return {"status": "running", "pid": task.pid, "execution_id": task.execution_id}


@routes.post("/{task_id}/stop", response_model=Stopping)
def stop(core: Here, task_id: str) -> dict[str, Any]:
    """Stop a task that runs: SIGTERM, then SIGKILL for all that it started. It goes back to `todo`."""
    board_runs.stop(core, safe(task_id))
    return {"status": "stopping"}


@routes.post("/{task_id}/reopen", response_model=TaskShown)
def reopen(core: Here, task_id: str) -> dict[str, Any]:
    """Put a task in `review` back to `todo`."""
    return shown(core.board.reopen(safe(task_id)))
