"""What the history keeps of an execution, of its moves, of its cost: values without behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from components.short_id import SHORT
from components.states import Door, ExecutionStatus


@dataclass(frozen=True, slots=True)
class Execution:
    """One claim of one task, with as many attempts as it took.

    `id` is the claim, 32 hexadecimal letters. `project` is the absolute path of a repository, or its configured name.
    `task_digest` tells a task from a later one that was given the same id; "" where ids are never given again.
    Times are UTC in ISO 8601 with milliseconds, "" for not yet, so that they sort as text; `seconds` is what the
    agents of all attempts took together. Tokens are counts and money is USD, over all attempts. `reason` is a
    `states.Reason`, kept as text because history outlives the words of a version. `run` names the newest run
    directory; `workspace` is a path. `step` tells how far its runner had come when it told the rest: what it told
    before then comes too late. `progress` lies between 0 and 1, None where nobody can tell. Process ids are 0
    where there is no process. `parent` and `restarted_from` are ids of executions.
    """

    id: str
    door: Door
    project: str
    task_id: str
    title: str
    task_digest: str = ""
    role: str = ""
    level: str = ""
    complexity: str = ""
    agent_id: str = ""
    host: str = ""
    status: ExecutionStatus = ExecutionStatus.PENDING
    reason: str = ""
    attempt: int = 1
    step: int = 0
    model: str = ""
    session_id: str = ""
    run: str = ""
    workspace: str = ""
    branch: str = ""
    base_commit: str = ""
    created_at: str = ""
    started_at: str = ""
    completed_at: str = ""
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = 0.0
    tool_calls: int = 0
    turns: int = 0
    error: str = ""
    summary: str = ""
    runner_pid: int = 0
    shim_pid: int = 0
    agent_pid: int = 0
    progress: float | None = None
    parent: str = ""
    restarted_from: str = ""

    @property
    def short_id(self) -> str:
        """The id as people see and type it."""
        return self.id[:SHORT]


@dataclass(frozen=True, slots=True)
class Transition:
    """One move of one execution. Ids rise in the order in which moves became visible: followers remember the last.

    `before` is None for the first one, which made the execution.
    """

    id: int
    execution_id: str
    before: ExecutionStatus | None
    after: ExecutionStatus
    reason: str
    attempt: int
    at: str


@dataclass(frozen=True, slots=True)
class Spend:
    """What one run, named by its directory, has used, and on which day (UTC, `2026-11-21`)."""

    run: str
    execution_id: str
    agent_id: str
    day: str
    model: str
    project: str
    usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    seconds: float = 0.0
    tool_calls: int = 0
    turns: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a day, or of an agent, a model or a project: of what `key` says.

    Of `runs`, only `told_runs` have told a cost: `usd` is at least what the others have cost as well.
    """

    key: str
    runs: int
    usd: float
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    told_runs: int = 0


@dataclass(frozen=True, slots=True)
class WorkspaceEntry:
    """A directory in which agents work, as the history knows it.

    `kind` is `worktree`, `clone` or `in_place`; `status` is `active`, `completed`, `error` or `cleaning`.
    """

    host: str
    path: str
    kind: str
    project: str
    status: str = "active"
    branch: str = ""
    base_commit: str = ""
    execution_id: str = ""
    created_at: str = ""
    updated_at: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which executions are wanted, newest first; what is empty does not matter.

    `since` and `until` are times as in Execution, the second excluded. `text` is looked for, whatever its case, in
    id, task id, title, error and summary. `before` is the id of the last one of the page before.
    """

    project: str = ""
    statuses: tuple[ExecutionStatus, ...] = ()
    role: str = ""
    agent_id: str = ""
    door: str = ""
    parent: str = ""
    since: str = ""
    until: str = ""
    text: str = ""
    before: str = ""
    limit: int = 50
