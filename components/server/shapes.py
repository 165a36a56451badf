"""What the agent runtime's calls answer, as OpenAPI tells it; a part that is not named here may come as well."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from components.states import Door, ExecutionStatus, WorkspaceKind, WorkspaceStatus


class Told(BaseModel):
    """An answer may grow: what is not named yet is told all the same."""

    model_config = ConfigDict(extra="allow")


class Begun(Told):
    """An execution that goes on in the background."""

    execution_id: str
    status: Literal["pending"]
    pid: int = Field(description="Of the process that runs it.")


class BegunAgain(Begun):
    """An execution that does another one again."""

    restarted_from: str


class Cancelling(Told):
    """It was asked to end; after the grace it is killed."""

    execution_id: str
    status: Literal["cancelling"]


class Workers(Told):
    """The roles that agents work in."""

    workers: list[str]


class PromptTemplate(Told):
    """A prompt with `$task` where the task stands."""

    name: str
    text: str


class Templates(Told):
    """The prompt templates."""

    templates: list[PromptTemplate]


class Tokens(Told):
    """How many tokens were used."""

    input: int
    output: int
    cache_read: int
    cache_write: int


class Pids(Told):
    """The processes of an execution, null for one that is not there."""

    runner: int | None
    shim: int | None
    agent: int | None


class ExecutionRow(Told):
    """An execution as lists show it. Times are "" while they are to come; `progress` lies between 0 and 1."""

    id: str
    short_id: str
    door: Door
    project: str
    repository: str
    task_id: str
    title: str
    task_digest: str
    role: str
    level: str
    complexity: str
    agent_id: str
    host: str = Field(description="The id of its machine.")
    host_name: str = Field(description="What people call its machine; the id where that is not known here.")
    status: ExecutionStatus
    is_over: bool
    reason: str
    attempt: int
    model: str
    session_id: str
    run: str
    workspace: str
    branch: str
    base_commit: str
    created_at: str
    started_at: str
    completed_at: str
    seconds: float
    tokens: Tokens
    cost_usd: float
    tool_calls: int
    turns: int
    error: str
    summary: str
    pids: Pids
    progress: float | None
    parent: str
    restarted_from: str


class Executions(Told):
    """A page of executions, newest first; `counts` are by status, of all that the filter lets through."""

    executions: list[ExecutionRow]
    counts: dict[str, int]


class Move(Told):
    """One move of an execution between two states."""

    id: int
    execution_id: str
    before: str
    after: str
    reason: str
    attempt: int
    at: str


class Attempt(Told):
    """One attempt: one agent from its start to its end."""

    attempt: int
    run: str
    state: str
    reason: str
    detail: str
    cost_usd: float
    exit_code: int | None
    signal: int | None
    seconds: float | None


class Artifact(Told):
    """A file that was changed."""

    path: str
    change: str = Field(description="`added`, `deleted` or `modified`.")


class Output(Told):
    """What an execution has made; `trouble` says why its change cannot be told."""

    diff: str
    is_cut: bool = Field(description="Whether the change is longer than `diff`.")
    files: int
    insertions: int
    deletions: int
    artifacts: list[Artifact]
    trouble: str
    log: list[str] = Field(description="The last readable lines of the newest attempt.")


class Metrics(Told):
    """What an execution has taken."""

    seconds: float
    cost_usd: float
    tool_calls: int
    turns: int
    attempt: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int


class ExecutionShown(ExecutionRow):
    """All that is known of an execution."""

    is_whole_cost: bool = Field(description="Whether `cost_usd` is all that it has cost so far, or the least of it.")
    timeline: list[Move]
    attempts: list[Attempt]
    output: Output
    receipt: dict[str, Any] = Field(description="What was checked and handed on.")
    metrics: Metrics


class WorkspaceRow(Told):
    """A directory in which agents work."""

    id: str
    host: str
    host_name: str
    is_here: bool
    path: str
    kind: WorkspaceKind
    status: WorkspaceStatus
    project: str
    repository: str
    branch: str
    base_commit: str
    execution_id: str
    created_at: str
    updated_at: str


class WorkspaceList(Told):
    """The workspaces that are known, newest first."""

    workspaces: list[WorkspaceRow]


class WorkspaceShown(WorkspaceRow):
    """A workspace, with what removing it would lose."""

    unsaved: list[str]


class Removed(Told):
    """A workspace that is gone, and where its unsaved work is: a ref of the repository, or a file."""

    id: str
    status: Literal["removed"]
    snapshot: str
    bundle: str
