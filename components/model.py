"""The values that flow through the runner: frozen, slotted, without behaviour that touches the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.states import Complexity, Phase, Reason


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work, as its source tells it.

    `created_at` is the source's own text; with `id` it tells a task from a later one that got the same id.
    `status` is lower case. `level` is the source's `difficulty`, kept as text because a server may know levels that
    we do not.
    """

    id: str
    title: str
    description: str = ""
    role: str = ""
    level: str = ""
    complexity: Complexity = Complexity.MINOR
    branch: str = ""
    status: str = ""
    locked_by: str | None = None
    created_by: str = ""
    created_at: str = ""
    notes: str = ""
    feature_id: str = ""
    epic_id: str = ""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where an agent works: a worktree of its own, or the repository's main checkout."""

    path: Path
    repository: Path
    branch: str = ""
    base_commit: str = ""
    is_worktree: bool = False


@dataclass(frozen=True, slots=True)
class AgentRun:
    """What one attempt asks of an agent: the input of an executor. Times in seconds, money in USD.

    `was_limited` says that the attempt before ended at a limit of the account. `git_directories` are where git keeps
    what a commit changes: outside of `directory`, for a worktree.
    """

    prompt: str
    directory: Path
    session_id: str
    model: str = ""
    fallback_model: str = ""
    resume: bool = False
    permission_mode: str = "acceptEdits"
    allowed_tools: tuple[str, ...] = ()
    disallowed_tools: tuple[str, ...] = ()
    max_turns: int | None = None
    max_budget_usd: float | None = None
    timeout: float = 600.0
    extra_directories: tuple[str, ...] = ()
    mcp_config: str = ""
    strict_mcp: bool = True
    settings: str = ""
    trust_repository: bool = False
    append_system_prompt: str = ""
    was_limited: bool = False
    git_directories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """Words an executor makes and `process` runs: argv, the text for stdin, extra environment."""

    argv: tuple[str, ...]
    stdin: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that cannot be mistaken for a later one with the same number.

    `start_ticks` is field 22 of /proc/PID/stat, in clock ticks since boot.
    """

    pid: int
    start_ticks: int
    boot_id: str
    pid_namespace: int


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """What the shim saw of the agent's end. Exactly one of `exit_code` and `signal` is set.

    `why` is None for an end of its own accord, else `stop`, `kill`, `timeout`, `leash` or `output`.
    """

    exit_code: int | None
    signal: int | None
    why: str | None = None
    cpu_seconds: float = 0.0
    rss_kilobytes: int = 0
    seconds: float = 0.0
    clean: bool = True


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run has used: tokens as counts, money in USD."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running agent is, as far as it has told.

    `messages` counts what shows life: heartbeats and retries do not. `tool` is the name of the tool call that has no
    result yet, "" where there is none. `has_result` says that it has told its result and begun nothing since.
    `unanswered` is why the model's service was asked again since its last answer, in its own words, or `no_answer`
    where a turn has begun and nothing has come of it; "" where it answers. `retries` is how often it was asked again.
    `written` are the files outside of its working directory that it wrote by its tools, as far as they tell.
    """

    messages: int = 0
    turns: int = 0
    tool_calls: int = 0
    tool: str = ""
    cost_usd: float = 0.0
    last_text: str = ""
    session_id: str = ""
    has_result: bool = False
    unanswered: str = ""
    retries: int = 0
    written: tuple[str, ...] = ()


BY_EXIT_CODE = "exit_code"
"""The subtype of a result that is no more than an exit code."""


@dataclass(frozen=True, slots=True)
class AgentResult:
    """What the agent itself said of its run. Tokens are counts, money is USD; all are of this run alone.

    `error` is the service's word for what failed, such as `rate_limit`. `wait_until` is when a limit of the account
    ends, in seconds since 1970, 0 where nothing was said of it. `is_unfinished` says that another turn had begun after
    this result.
    """

    is_error: bool
    text: str = ""
    subtype: str = ""
    terminal_reason: str = ""
    api_error_status: int | None = None
    session_id: str = ""
    model: str = ""
    num_turns: int = 0
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    tool_calls: int = 0
    denied_tools: tuple[str, ...] = ()
    error: str = ""
    wait_until: float = 0.0
    is_unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an execution ended, for people (`detail`) and for the policy (`reason`).

    `wait_until` is when it may be tried again, in seconds since 1970; 0 where that is not known.
    """

    reason: Reason
    detail: str = ""
    exit_code: int | None = None
    cost_usd: float = 0.0
    seconds: float = 0.0
    model: str = ""
    wait_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Held:
    """The task in hand: the journal of one agent, as text in `locks/agent-<id>.lock`.

    `claim` is made before the lock at the source and names everything of this claim; `session_id` is the agent's
    conversation; `run` is the name of the run directory of the current attempt. Times are UTC, ISO 8601.
    `waits` of the attempts ended at a limit of the account and do not count; the next one starts at `not_before`, in
    seconds since 1970. `asked` is set before the lock is asked for at the source, `begun` before the work is said to
    begin there.
    """

    task: Task
    agent_id: str
    phase: Phase
    claim: str
    session_id: str
    attempt: int = 1
    taken_from: str = ""
    asked: bool = False
    begun: bool = False
    locked_at: str = ""
    updated_at: str = ""
    host: str = ""
    boot_id: str = ""
    run: str = ""
    workspace: Workspace | None = None
    verdict: Verdict | None = None
    reported: str = ""
    spent_usd: float = 0.0
    waits: int = 0
    not_before: float = 0.0
    recovered: bool = False

    @property
    def tries(self) -> int:
        """How many attempts count, this one included."""
        return self.attempt - self.waits


@dataclass(frozen=True, slots=True)
class Captured:
    """A finished helper process. `exit_code` is negative for a signal and None when the time limit ended it."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    seconds: float
    timed_out: bool = False
