"""The words for where a task, an execution or an agent's end stands."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The roles a Headless PM server knows (contracts/headless-pm-api.md, fact 4)."""

    FRONTEND_DEV = "frontend_dev"
    BACKEND_DEV = "backend_dev"
    QA = "qa"
    ARCHITECT = "architect"
    PM = "pm"


class Level(StrEnum):
    """Seniority, lowest first."""

    JUNIOR = "junior"
    SENIOR = "senior"
    PRINCIPAL = "principal"


class Complexity(StrEnum):
    """Minor is done in the main checkout, major in a worktree with a branch of its own."""

    MINOR = "minor"
    MAJOR = "major"


class Phase(StrEnum):
    """What is durable about the task in hand; the step of that name comes next.

    The order is the order of the steps. Write-ahead rule: intent durable, then the effect,
    then the next phase durable.
    """

    CLAIMING = "CLAIMING"
    CLAIMED = "CLAIMED"
    ANNOUNCED = "ANNOUNCED"
    PREPARING = "PREPARING"
    SPAWNING = "SPAWNING"
    RUNNING = "RUNNING"
    EXITED = "EXITED"
    REPORTED = "REPORTED"
    CLEANING = "CLEANING"
    DONE = "DONE"


class Reason(StrEnum):
    """Why an execution ended."""

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    NO_WORK_DONE = "no_work_done"
    WORK_UNFINISHED = "work_unfinished"
    CHECKS_FAILED = "checks_failed"
    NO_VERDICT = "no_verdict"
    AGENT_FAILED = "agent_failed"
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    OUTPUT_LIMIT = "output_limit"
    MEMORY_LIMIT = "memory_limit"
    BUDGET_EXHAUSTED = "budget_exhausted"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    AUTH_FAILED = "auth_failed"
    NO_CREDIT = "no_credit"
    MODEL_MISSING = "model_missing"
    SESSION_LOST = "session_lost"
    AGENT_MISSING = "agent_missing"
    HOOK_REJECTED = "hook_rejected"
    HOOK_POSTPONED = "hook_postponed"
    WORKSPACE_FAILED = "workspace_failed"
    UNSAFE_TASK = "unsafe_task"
    CANCELLED = "cancelled"
    LOST_CLAIM = "lost_claim"
    RUNNER_STOPPED = "runner_stopped"
    KILLED = "killed"


class TaskStatus(StrEnum):
    """Task statuses of a Headless PM server, in the spelling of its main branch."""

    PENDING = "pending"
    CREATED = "created"
    UNDER_WORK = "under_work"
    DEV_DONE = "dev_done"
    QA_DONE = "qa_done"
    DOCUMENTATION_DONE = "documentation_done"
    COMMITTED = "committed"
    EVALUATION = "evaluation"
    APPROVED = "approved"
    TESTING = "testing"
