"""Typed tasks that have not begun: they wait for their turn, start, or have nobody who starts them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from components import bygone, execution_index, history_entry, typed_task
from components.errors import RunnerError
from components.execution import Execution, Selection
from components.execution_index import ExecutionFiles
from components.states import ExecutionStatus
from components.store_queries import beginning_with
from components.store_reader import StoreReader
from components.typed_task import TypedTask

INTERRUPTED, QUEUED, STARTING = "interrupted", "queued", "starting"
STARTING_SECONDS = 30.0
"""How long whoever typed a task may take to attend to it; what nobody has attended to after that, nobody will."""


@dataclass(frozen=True, slots=True)
class Unstarted:
    """A typed task without an end; `stage` says why it has not begun, where it has no journal.

    `waiter` is the process id of who waits for its turn, 0 where nobody does.
    """

    typed: TypedTask
    stage: str
    waiter: int = 0


def find(home: Path) -> Iterator[Unstarted]:
    """Yield the typed tasks that have not ended, also those that have a journal by now."""
    for claim in bygone.others(home, typed_task.DIRECTORY, _has_ended):
        try:
            typed = typed_task.load(home, claim)
            since = typed_task.directory_of(home, claim).stat().st_mtime
        except (RunnerError, OSError):
            continue
        stage = _stage(home, claim, since)
        if stage == INTERRUPTED and _has_ended(str(typed_task.directory_of(home, claim))):
            continue  # its runner ended it between our two looks
        yield Unstarted(typed, stage, typed_task.waiter(home, claim) if stage == QUEUED else 0)


def _has_ended(directory: str) -> bool:
    return os.path.exists(f"{directory}/verdict.json")  # noqa: PTH110 - text: there may be ten thousand


def never_began(files: ExecutionFiles) -> bool:
    """Is it a typed task that nobody has begun: with neither an end, nor a journal, nor a run?"""
    return (
        (files.directory / "task.json").exists()
        and not (files.directory / "verdict.json").exists()
        and not files.runs()
        and execution_index.journal(files) is None
    )


def standing(home: Path, typed: TypedTask) -> Execution:
    """Return how a typed task stands that the history does not know."""
    verdict = typed_task.verdict_of(home, typed.claim)
    if verdict is not None:
        ended = entry(typed, history_entry.ended_by(verdict.reason))
        return replace(ended, reason=str(verdict.reason), error=verdict.detail)
    stage = _stage(home, typed.claim, typed_task.directory_of(home, typed.claim).stat().st_mtime)
    return entry(typed, _status(stage))


def unknown_to(reader: StoreReader, home: Path, wanted: Selection) -> Iterator[Execution]:
    """Yield, as the history would tell them, the typed tasks that are wanted and that it does not know yet.

    A runner enters its task as soon as it has loaded; until then only the file of what was typed tells of it.
    """
    before = reader.get(wanted.before) if wanted.before else None
    for one in find(home):
        row = entry(one.typed, _status(one.stage))
        is_older = before is None or (row.created_at, row.id) < (before.created_at, before.id)
        if is_older and _fits(row, wanted) and not reader.rows(beginning_with(row.id, 1)):
            yield row


def entry(typed: TypedTask, status: ExecutionStatus = ExecutionStatus.PENDING) -> Execution:
    """Return what the history will keep of a typed task, as far as its file tells it."""
    task = typed.task
    return Execution(
        typed.claim,
        typed.door,
        str(typed.repository),
        task.id,
        task.title,
        role=task.role,
        level=task.level,
        complexity=str(task.complexity),
        agent_id=typed.agent_id,
        status=status,
        created_at=task.created_at,
        restarted_from=typed.restarted_from,
    )


def _fits(row: Execution, wanted: Selection) -> bool:
    same = ("project", "role", "agent_id", "door", "parent")
    if any(getattr(wanted, name) not in ("", None, getattr(row, name)) for name in same):
        return False
    if (wanted.statuses and row.status not in wanted.statuses) or row.created_at < wanted.since:
        return False
    searched = f"{row.id}\n{row.task_id}\n{row.title}".lower()
    return not (wanted.until and row.created_at >= wanted.until) and wanted.text.lower() in searched


def _status(stage: str) -> ExecutionStatus:
    return ExecutionStatus.INTERRUPTED if stage == INTERRUPTED else ExecutionStatus.PENDING


def _stage(home: Path, claim: str, since: float) -> str:
    if typed_task.is_queued(home, claim):
        return QUEUED
    if typed_task.has_runner(home, claim):  # looked at second: who waits lets go only when the runner is there
        return STARTING
    is_new = not typed_task.was_attended(home, claim) and time.time() - since < STARTING_SECONDS
    return STARTING if is_new else INTERRUPTED
