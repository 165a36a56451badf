"""Who works in a workspace now: runners by their journals, agents by their runs; nothing is changed by looking."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from components import journal_format, typed_task
from components.errors import NotFound
from components.run_directory import RunDirectory, RunState
from components.short_id import SHORT
from components.states import Complexity


def journalled(home: Path) -> Iterator[tuple[Path, str]]:
    """Yield the workspaces that the runners of a home have in hand, each with its agent."""
    for file in sorted((home / "locks").glob("agent-*.lock")):
        with contextlib.suppress(OSError, ValueError):
            held = journal_format.parse(file.read_bytes())
            if held.workspace is not None:
                yield held.workspace.path, f"agent {held.agent_id}"


def living_run(home: Path, task_id: str, claim: str) -> str:
    """Return what to call an agent that lives, with or without a journal, or ""."""
    runs = (home / "runs").glob(f"{task_id}-{claim[:SHORT]}-*")
    return next((f"run {run.name}" for run in runs if RunDirectory(run).state() is RunState.ALIVE), "")


def user_of(home: Path, path: Path, claim: str = "") -> str:
    """Return who uses a directory, or something below it, "" for nobody; `claim` is the execution it was made for."""
    for place, user in journalled(home):
        if place == path or place.is_relative_to(path):
            return user
    for one in typed_task.claims(home):
        if typed_task.has_runner(home, one) and (one == claim or _works_below(home, one, path)):
            return f"execution {one[:SHORT]}"
    return (living_run(home, f"t{claim[:SHORT]}", claim) if claim else "") or _somebody_in(path)


def user_in_place(home: Path, checkout: Path, claim: str = "") -> str:
    """Return who works in a checkout itself, "" for nobody: work in worktrees and clones of it goes on elsewhere."""
    for place, user in journalled(home):
        if place == checkout:
            return user
    for one in typed_task.claims(home):
        if typed_task.has_runner(home, one) and _begins_in(home, one, checkout):
            return f"execution {one[:SHORT]}"
    return living_run(home, f"t{claim[:SHORT]}", claim) if claim else ""


def _begins_in(home: Path, claim: str, checkout: Path) -> bool:
    """Is a task about to be worked on in the checkout: without a journal yet, and not over?"""
    with contextlib.suppress(NotFound):
        if (
            typed_task.verdict_of(home, claim) is None
            and not (home / "locks" / f"agent-{typed_task.agent_of(claim)}.lock").exists()
        ):
            typed = typed_task.load(home, claim)
            return typed.repository == checkout and typed.task.complexity is not Complexity.MAJOR
    return False


def _somebody_in(path: Path) -> str:
    """Return who has this for its working directory, also a person's shell, or the agent of another home."""
    inside = f"{path}/"
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if f"{os.readlink(f'/proc/{entry}/cwd')}/".startswith(inside):  # noqa: PTH115
                    return f"process {entry}"
    return ""


def _works_below(home: Path, claim: str, path: Path) -> bool:
    """Was this directory named as the repository of a task whose runner lives?"""
    with contextlib.suppress(NotFound):
        return typed_task.load(home, claim).repository.is_relative_to(path)
    return False
