"""The words for where a task, an execution or an agent's end stands."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """The roles a Headless PM server knows."""

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
    CHECKS_UNUSABLE = "checks_unusable"
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
    MERGE_CONFLICT = "merge_conflict"
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


class Door(StrEnum):
    """The way by which an execution came in."""

    RUN = "run"
    TASK = "task"
    SERVE = "serve"
    WORKFLOW = "workflow"
    WORKER = "worker"


class ExecutionStatus(StrEnum):
    """Where an execution stands in the history.

    Waiting is for an account's limit to end; finishing is proof, report and clean-up. Interrupted is one whose runner
    is gone and of which nothing lives: it may be gone on with.
    """

    PENDING = "pending"
    PREPARING = "preparing"
    RUNNING = "running"
    WAITING = "waiting"
    FINISHING = "finishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class WorkspaceKind(StrEnum):
    """Where an agent works: in a worktree, in a clone of its own, or in the checkout that is there."""

    WORKTREE = "worktree"
    CLONE = "clone"
    IN_PLACE = "in_place"


class WorkspaceStatus(StrEnum):
    """What a workspace is good for: somebody works in it, it may go, it ended in trouble, it is being removed."""

    ACTIVE = "active"
    COMPLETED = "completed"
    ERROR = "error"
    CLEANING = "cleaning"


LIVE = frozenset(
    {
        ExecutionStatus.PENDING,
        ExecutionStatus.PREPARING,
        ExecutionStatus.RUNNING,
        ExecutionStatus.WAITING,
        ExecutionStatus.FINISHING,
    }
)
"""Somebody works on it, or is about to: a task has at most one execution of these."""
FINAL = frozenset({ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})
"""It is over and never moves again."""
_GIVEN_UP = frozenset({ExecutionStatus.FAILED, ExecutionStatus.CANCELLED, ExecutionStatus.INTERRUPTED})
TRANSITIONS: Mapping[ExecutionStatus, frozenset[ExecutionStatus]] = MappingProxyType(
    {
        ExecutionStatus.PENDING: _GIVEN_UP | {ExecutionStatus.PREPARING, ExecutionStatus.FINISHING},
        ExecutionStatus.PREPARING: _GIVEN_UP
        | {ExecutionStatus.RUNNING, ExecutionStatus.WAITING, ExecutionStatus.FINISHING},
        ExecutionStatus.RUNNING: _GIVEN_UP
        | {
            ExecutionStatus.PREPARING,
            ExecutionStatus.WAITING,
            ExecutionStatus.FINISHING,
            ExecutionStatus.SUCCEEDED,
        },
        ExecutionStatus.WAITING: _GIVEN_UP
        | {ExecutionStatus.PREPARING, ExecutionStatus.RUNNING, ExecutionStatus.FINISHING},
        ExecutionStatus.FINISHING: _GIVEN_UP | {ExecutionStatus.SUCCEEDED},
        ExecutionStatus.INTERRUPTED: frozenset(
            {
                ExecutionStatus.PENDING,
                ExecutionStatus.PREPARING,
                ExecutionStatus.RUNNING,
                ExecutionStatus.WAITING,
                ExecutionStatus.FINISHING,
                ExecutionStatus.SUCCEEDED,
                ExecutionStatus.FAILED,
                ExecutionStatus.CANCELLED,
            }
        ),
        **dict.fromkeys(FINAL, frozenset()),
    }
)
"""Which status may follow which; another attempt of the same execution leads from running back to preparing."""
