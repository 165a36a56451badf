"""Ends a typed task of which no runner can take the last steps: what it has done stays where it is."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

from components import (
    cancelling,
    durable,
    execution_index,
    execution_names,
    history_entry,
    history_spool,
    typed_task,
    unstarted,
)
from components.errors import NotFound
from components.execution import Execution
from components.execution_index import ExecutionFiles
from components.model import Held, Verdict
from components.states import Door, ExecutionStatus, Phase, Reason
from components.task_persistence import host_name, now_text


def end(home: Path, files: ExecutionFiles) -> bool:
    """Keep that a typed task was cancelled, and leave word of it for the history; False where somebody has it.

    That is a runner that lives, or another host, whose journal is there.
    """
    lock = durable.try_lock(files.directory / "alive")
    if lock is None:
        return False
    try:
        last = execution_index.last_entry(home, files.id)
        if last is not None and last.host not in ("", host_name()):
            return False
        why = "it never began" if unstarted.never_began(files) else "its runner could not take the last steps"
        verdict = Verdict(Reason.CANCELLED, why)
        typed_task.keep_verdict(home, files.id, verdict)
        if last is not None:
            _leave_word(home, replace(last, phase=Phase.DONE, verdict=verdict))
        else:
            _leave_word_of_unbegun(home, files.id)
        _remove(home, files)
        cancelling.forget(home, files.id)
    finally:
        os.close(lock)
    return True


def forget_journal(home: Path, files: ExecutionFiles) -> None:
    """Set aside the damaged journal of a typed task that is over: nobody else ever would."""
    lock = durable.try_lock(files.directory / "alive") if files.directory.is_dir() else None
    if lock is not None:
        try:
            _remove(home, files)
        finally:
            os.close(lock)


def _remove(home: Path, files: ExecutionFiles) -> None:
    """Remove the journal of a typed task that is over, or set it aside where it cannot be read."""
    journal = home / "locks" / f"agent-{typed_task.agent_of(files.id)}.lock"
    if execution_names.journal_at(journal) is not None:
        durable.remove(journal)
    elif journal.exists():
        durable.quarantine(journal)
    typed_task.forget_agent(home, files.id)


def _leave_word(home: Path, held: Held) -> None:
    """Keep the end for whoever opens the history next, as a runner does that cannot reach it."""
    try:
        typed = typed_task.load(home, held.claim)
        door, project = typed.door, str(typed.repository)
    except NotFound:
        door, project = Door.TASK, str(held.workspace.repository) if held.workspace else ""
    _spool(home, history_entry.entry(held, ExecutionStatus.CANCELLED, str, door, project))


def _leave_word_of_unbegun(home: Path, claim: str) -> None:
    """Keep the same of a task of which there is no journal; where what was typed is gone too, nothing is known."""
    with contextlib.suppress(NotFound):
        ended = unstarted.standing(home, typed_task.load(home, claim))
        _spool(home, replace(ended, host=host_name()))


def _spool(home: Path, ended: Execution) -> None:
    spool = home / history_spool.DIRECTORY / f"{ended.agent_id}.jsonl"
    history_spool.append(spool, [(replace(ended, completed_at=now_text()), (), frozenset())])
