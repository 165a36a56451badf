"""What a hook is told: the JSON of each moment, built from plain values (docs/hooks.md shows every one)."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from components.errors import ConfigError
from components.model import Held, Task, Verdict, Workspace
from components.states import Reason

VERSION = 1
"""Goes up when a key is removed or changes its meaning; a new key leaves it."""


class Moment(StrEnum):
    """When hooks are run."""

    PRE_TASK = "pre_task"
    POST_TASK = "post_task"
    HEALTH_CHECK = "health_check"
    ERROR = "error"


ALIASES = MappingProxyType({"pre_execution": Moment.PRE_TASK, "post_execution": Moment.POST_TASK})
"""Other names under which programs know a moment."""
GATES = frozenset({Moment.PRE_TASK})
"""The moments at which a hook may stop what comes next; at the others it can only warn."""


def moment_named(name: str) -> Moment:
    """Return the moment of this name. Raises ConfigError for a name that is none."""
    try:
        return ALIASES.get(name) or Moment(name)
    except ValueError:
        known = ", ".join((*Moment, *ALIASES))
        raise ConfigError(f"hook moment: {name!r} is not one of {known}; use one of these names") from None


def task_moment(
    moment: Moment,
    held: Held,
    *,
    role: str,
    repository: Path,
    home: Path,
    executor: str,
    retry: bool,
    status: str = "",
) -> dict[str, object]:
    """Return the payload of `pre_task`, or of `post_task` with how it ended and the `status` that was reported.

    That of `error`, for a task that failed, is the one of `post_task` with the keys of `error_moment`.

    `retry` says that a crash came between: this moment's hooks may have run for this attempt before.
    """
    payload: dict[str, object] = {
        "version": VERSION,
        "moment": moment.value,
        "agent_id": held.agent_id,
        "role": role,
        "host": held.host,
        "executor": executor,
        "repository": str(repository),
        "home": str(home),
        "task": _task(held.task),
        "attempt": held.attempt,
        "claim": held.claim,
        "session_id": held.session_id,
        "locked_at": held.locked_at,
        "workspace": _workspace(held.workspace),
        "retry": retry,
    }
    if moment is Moment.PRE_TASK:
        return payload
    payload |= _end(held, home, status)
    return payload | _failure(held) if moment is Moment.ERROR else payload


def health_moment(
    *,
    agent_id: str,
    role: str,
    repository: Path,
    home: Path,
    locks_directory: Path,
    idle: bool,
    task_id: str | None,
    uptime: float,
) -> dict[str, object]:
    """Return the payload of `health_check`; `task_id` is the task in hand, `uptime` the daemon's in seconds."""
    return {
        "version": VERSION,
        "moment": Moment.HEALTH_CHECK.value,
        "agent_id": agent_id,
        "role": role,
        "repository": str(repository),
        "home": str(home),
        "locks_directory": str(locks_directory),
        "idle": idle,
        "task_id": task_id,
        "uptime_seconds": round(uptime, 3),
    }


def error_moment(
    error: BaseException, *, agent_id: str, role: str, repository: Path, home: Path, held: Held | None
) -> dict[str, object]:
    """Return the payload of `error`: what went wrong in the runner itself, and the task in hand if there is one."""
    return {
        "version": VERSION,
        "moment": Moment.ERROR.value,
        "agent_id": agent_id,
        "role": role,
        "repository": str(repository),
        "home": str(home),
        "task": _task(held.task) if held else None,
        "attempt": held.attempt if held else None,
        "claim": held.claim if held else None,
        "phase": held.phase.value if held else None,
        "error": {"kind": type(error).__name__, "message": str(error)},
    }


def _task(task: Task) -> dict[str, object]:
    return {**dataclasses.asdict(task), "complexity": task.complexity.value}


def _workspace(workspace: Workspace | None) -> dict[str, object] | None:
    if workspace is None:
        return None
    return {
        "path": str(workspace.path),
        "branch": workspace.branch,
        "base_commit": workspace.base_commit,
        "is_worktree": workspace.is_worktree,
    }


def _end(held: Held, home: Path, status: str) -> dict[str, object]:
    """Return what `post_task` is told besides; the run directory is named by the journal, null when none was made."""
    run = home / "runs" / held.run if held.run else None
    return {
        "status": status,
        "verdict": _verdict(held.verdict),
        "run_directory": str(run) if run else None,
        "temporary_directory": str(run / "tmp") if run else None,
    }


def _failure(held: Held) -> dict[str, object]:
    verdict = held.verdict or Verdict(Reason.KILLED)
    return {"phase": held.phase.value, "error": {"kind": verdict.reason.value, "message": verdict.detail}}


def _verdict(verdict: Verdict | None) -> dict[str, object] | None:
    if verdict is None:
        return None
    return {
        "reason": verdict.reason.value,
        "detail": verdict.detail,
        "success": verdict.reason is Reason.SUCCEEDED,
        "seconds": verdict.seconds,
        "cost_usd": verdict.cost_usd,
        "exit_code": verdict.exit_code,
        "model": verdict.model,
    }
