"""The agent runtime: `/api/agent-runtime`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from components import background, execution_index, repeating, stopping, workplace, workspace_record
from components.errors import IllegalMove, NotFound, StillRunning
from components.execution import Selection, WorkspaceEntry
from components.git_url import is_address
from components.projects import Project
from components.server import board_runs, execution_views, launching, templates, tidying
from components.server.core import Core, core_of
from components.server.launching import Order
from components.server.schemas import Given, Id, LongText, Model, Time, Title, Word, safe, said
from components.server.shapes import (
    Begun,
    BegunAgain,
    Cancelling,
    Executions,
    ExecutionShown,
    Removed,
    Templates,
    Workers,
    WorkspaceList,
    WorkspaceShown,
)
from components.setting_kinds import nearest
from components.states import Door, ExecutionStatus, Level, Role, WorkspaceKind

routes = APIRouter(prefix="/api/agent-runtime", tags=["agent runtime"])
Here = Annotated[Core, Depends(core_of)]
TITLE_CHARACTERS = 80


class NewExecution(Given):
    """What an agent is to do, and where."""

    worker: Word = Field(description="A name of GET /workers.")
    repository: Word = Field(description="A name or path of GET /api/projects, or the address of a repository.")
    task: Annotated[LongText, said] = Field(description="What is to be done.")
    template: Word = Field(default="task", description="A name of GET /templates.")
    title: Title | None = None
    level: Level | None = None
    workspace: WorkspaceKind = WorkspaceKind.WORKTREE
    branch: Word = Field(default="", description="The branch that the work begins at.")
    model: Model = ""
    timeout_ms: Annotated[int, Field(strict=True, ge=100, le=30 * 86_400_000)] | None = None
    budget_usd: Annotated[float, Field(strict=True, ge=0.01, le=1_000_000)] | None = None


@routes.post("/execute", status_code=202, response_model=Begun)
def execute(core: Here, given: NewExecution) -> dict[str, Any]:
    """Have an agent do something; it goes on in the background."""
    if given.worker not in tuple(Role):
        known = ", ".join(Role)
        raise NotFound(
            f"worker {given.worker[:80]!r} is not known{nearest(given.worker[:80], tuple(Role))}; known: {known}"
        )
    description = templates.filled(given.template, given.task)
    config = core.loaded.config
    claim = background.new_claim()
    is_elsewhere = is_address(given.repository) or given.repository.startswith("-")
    word = given.repository if is_elsewhere else str(core.project(given.repository).path)
    place = workplace.chosen(config, word, claim, kind=given.workspace, branch=given.branch)
    title = given.title or given.task.strip().splitlines()[0][:TITLE_CHARACTERS]
    level = str(given.level or config.level)
    order = Order(
        title,
        description,
        Project(place.project, place.repository),
        given.worker,
        level,
        place.complexity,
        _settings(given, level),
    )
    made = launching.typed(core, order, claim)
    task = replace(made.task, branch=place.branch)
    made = replace(made, task=task, clone_of=place.clone_of, branch=place.branch, kind=place.kind)
    pid = launching.start_order(core, made)
    return {"execution_id": claim, "status": "pending", "pid": pid}


@routes.get("/workers", response_model=Workers)
def workers() -> dict[str, list[str]]:
    """List the workers: the roles, each with instructions of its own."""
    return {"workers": list(Role)}


@routes.get("/templates", response_model=Templates)
def list_templates() -> dict[str, Any]:
    """List the prompt templates; `$task` is where the task stands."""
    return {"templates": [{"name": name, "text": text} for name, text in templates.TEMPLATES.items()]}


class Filter(Given):
    """Which executions are wanted; what is left out does not matter."""

    status: list[ExecutionStatus] = Field(default_factory=list)
    project: Word = Field(default="", description="A name or a path.")
    role: Word = ""
    agent_id: Word = ""
    door: Word = ""
    text: Annotated[Word, Field(description="Looked for in ids, titles, errors and summaries.")] = ""
    since: Annotated[Time, Field(description="A time as in created_at, or a day.")] = ""
    until: Time = ""
    before: Annotated[Id, Field(description="The id of the last one of the page before.")] = ""
    limit: Annotated[int, Field(ge=1, le=500)] = 50


@routes.get("/executions", response_model=Executions)
def executions(core: Here, given: Annotated[Filter, Query()]) -> dict[str, Any]:
    """List executions, newest first; `counts` are of all that the filter lets through but for their status."""
    values = given.model_dump(exclude={"status"})
    place = str(core.projects().get(given.project, given.project))
    wanted = Selection(**{**values, "project": place}, statuses=tuple(given.status))
    counts = core.store.counts(replace(wanted, before="", statuses=()))
    return {"executions": [execution_views.row(core, one) for one in core.store.select(wanted)], "counts": counts}


@routes.get("/executions/{execution_id}", response_model=ExecutionShown)
def execution(core: Here, execution_id: str) -> dict[str, Any]:
    """Show all that is known of an execution."""
    return execution_views.whole(core, execution_views.find(core, safe(execution_id)))


@routes.post("/executions/{execution_id}/cancel", status_code=202, response_model=Cancelling)
def cancel(core: Here, execution_id: str) -> dict[str, Any]:
    """Cancel an execution: its agents are asked to end, after the grace killed with all that they started."""
    one = execution_views.find(core, safe(execution_id))
    files = execution_index.find(core.home, one.id)
    if execution_index.Watch(files).is_over():
        raise IllegalMove(f"execution {one.short_id} is over: {one.status}")
    grace = core.loaded.config.cancel_grace
    board_runs.in_background(lambda: stopping.stop(core.home, files, grace, core.environ))
    return {"execution_id": one.id, "status": "cancelling"}


@routes.post("/executions/{execution_id}/restart", status_code=202, response_model=BegunAgain)
def restart(core: Here, execution_id: str, resume: bool = False) -> dict[str, Any]:
    """Do it again as a new execution; with `resume` in the same conversation and workspace.

    The limits hold as for the first time. A run of a task of the board is that task's again, which then runs.
    """
    one = execution_views.find(core, safe(execution_id))
    files = execution_index.find(core.home, one.id)
    if not execution_index.Watch(files).is_over():
        raise StillRunning(f"execution {one.short_id} still runs; cancel it first")
    again = replace(repeating.again_of(core.home, files, resumes=resume), door=Door.SERVE)
    task = board_runs.task_of(core, again)
    pid = board_runs.run_again(core, task, again).pid if task else launching.start_order(core, again)
    return {"execution_id": again.claim, "status": "pending", "pid": pid, "restarted_from": one.id}


@routes.get("/workspaces", response_model=WorkspaceList)
def workspaces(core: Here) -> dict[str, Any]:
    """List the workspaces that are known, newest first."""
    known = tidying.workspaces_of(core)
    return {"workspaces": [_shown(core, one) for one in known.all()]}


@routes.get("/workspaces/{workspace_id}", response_model=WorkspaceShown)
def workspace(core: Here, workspace_id: str) -> dict[str, Any]:
    """Show a workspace, with what removing it would lose."""
    known = tidying.workspaces_of(core)
    one = known.find(_id(workspace_id))
    return {**_shown(core, one), "unsaved": known.unsaved(one)}


@routes.delete("/workspaces/{workspace_id}", response_model=Removed)
def remove(
    core: Here,
    workspace_id: str,
    force: Annotated[
        Literal["", "true", "false", "1", "0"] | None, Query(description="Keep unsaved work first.")
    ] = None,
) -> dict[str, Any]:
    """Remove a workspace. One with unsaved work is refused (409) with what would be lost, unless `force` keeps it
    first: as a snapshot, or of a clone as a bundle."""
    known = tidying.workspaces_of(core)
    removal = known.remove(known.find(_id(workspace_id)), force=force in ("", "true", "1"))
    bundle = str(removal.bundle) if removal.bundle else ""
    return {"id": workspace_id, "status": "removed", "snapshot": removal.snapshot, "bundle": bundle}


def _settings(given: NewExecution, level: str) -> dict[str, str]:
    settings = {"models": f"{level}={given.model}"} if given.model else {}
    if given.timeout_ms is not None:
        settings["claude_timeout"] = f"{given.timeout_ms / 1000:g}"
    if given.budget_usd is not None:
        settings["task_budget_usd"] = f"{given.budget_usd:g}"
    return settings


def _id(word: str) -> str:
    """Return an id of a workspace: over the network nobody names one by its path. Raises NotFound."""
    if len(word) != workspace_record.ID_LETTERS or not word.isalnum():
        raise NotFound(f"there is no workspace {word[:64]!r}; GET /api/agent-runtime/workspaces lists them")
    return word


def _shown(core: Core, one: WorkspaceEntry) -> dict[str, Any]:
    told = {"id": workspace_record.id_of(one), "is_here": one.host == core.host, "host_name": core.shown_host(one.host)}
    return {**asdict(one), **told, "project": core.shown_project(one.project), "repository": one.project}
