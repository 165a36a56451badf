"""What the overview's calls answer, as OpenAPI tells it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.server.schemas import TaskShown
from components.server.shapes import Told


class Work(Told):
    """An execution that is at work on this machine."""

    id: str
    short_id: str
    task_id: str
    title: str
    agent_id: str
    role: str
    stage: str
    attempt: int
    started_at: str
    model: str
    project: str
    repository: str
    elapsed_seconds: float
    progress: float | None = Field(description="Between 0 and 1, null while nobody can tell.")
    seconds_left: float | None
    is_late: bool = Field(description="It takes longer than every one before it.")
    cost_usd: float = Field(description="So far; at least that much unless `is_whole_cost`.")
    is_whole_cost: bool
    pids: dict[str, int]
    remark: str


class RunnerShown(Told):
    """An agent's daemon."""

    alive: bool
    pid: int | None


class TaskInHand(Told):
    """The task that an agent has in hand."""

    id: str
    title: str
    role: str


class AgentShown(Told):
    """An agent of this home."""

    agent_id: str
    runner: RunnerShown
    execution_id: str | None
    task: TaskInHand | None
    phase: str | None
    since: str | None
    is_idle: bool
    is_elsewhere: bool
    remark: str


class StrayRun(Told):
    """A living run that no journal names."""

    path: str
    state: str
    pids: dict[str, int]


class RefusedReport(Told):
    """A report that the queue's server refused for good."""

    path: str
    task_id: str
    title: str
    agent_id: str
    reason: str
    detail: str
    said: str
    at: str


class UnreadableFile(Told):
    """A state file that cannot be used, and why."""

    path: str
    why: str


class OverviewShown(Told):
    """Who is at work on this machine, what waits, and what today has cost."""

    version: str
    host: str = Field(description="The id of this machine.")
    host_name: str = Field(description="What people call it.")
    home: str
    at_work: list[Work]
    agents: list[AgentShown]
    queue: list[TaskShown]
    board: dict[str, int]
    executions: dict[str, int]
    cost_today_usd: float
    strays: list[StrayRun]
    dead_letters: list[RefusedReport]
    set_aside: list[str]
    unreadable: list[UnreadableFile]
    last_event: int


class ProjectShown(Told):
    """A repository that tasks may be for."""

    name: str
    path: str


class Projects(Told):
    """The repositories that tasks may be for."""

    projects: list[ProjectShown]


class CostShown(Told):
    """What runs of one day, agent, model or project have cost: of what `key` says."""

    key: str
    runs: int
    usd: float
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int


class Costs(Told):
    """What runs have cost."""

    by: Literal["day", "agent", "model", "project"]
    costs: list[CostShown]


class DayShown(Told):
    """The executions of a day that ended in one way."""

    day: str
    status: str
    count: int
    seconds: float
    cost_usd: float


class Days(Told):
    """How executions ended, by day."""

    days: list[DayShown]


class Alive(Told):
    """The service lives."""

    status: Literal["ok"]
    version: str


class Readiness(Told):
    """Whether the service can work, and what of it cannot."""

    status: Literal["ready", "not ready"]
    checks: dict[str, str]
