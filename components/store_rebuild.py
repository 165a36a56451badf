"""Builds the history again from what runs and typed tasks have left on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from components import history_entry, journal_format, receipts
from components.errors import AlreadyLive, NotFound
from components.execution import Execution
from components.model import Held
from components.run_directory import JOURNAL
from components.states import Door, ExecutionStatus
from components.store import Store


def rebuild(home: Path, store: Store) -> int:
    """Enter every execution that a run directory tells of, and return how many; those that are there stay as they are.

    One without a verdict becomes interrupted: its runner, or `history_sync`, tells what it knows better. The moves
    between its beginning and its end are lost.
    """
    count = 0
    for held in _newest(home / "runs"):
        typed = home / "tasks" / held.claim
        door = Door.TASK if typed.is_dir() else Door.RUN
        project = _project(held)
        found = list(receipts.of(held, home / "runs", project))
        try:
            is_new = store.add(_execution(home, held, found, door, project))
        except AlreadyLive:
            continue
        store.spend([receipt.used for receipt in found])
        count += is_new
    return count


def _newest(runs: Path) -> Iterator[Held]:
    """Yield the newest copy of the journal of each execution."""
    newest: dict[str, Held] = {}
    for path in runs.glob(f"*/{JOURNAL}"):
        try:
            held = journal_format.parse(path.read_bytes())
        except (OSError, ValueError):
            continue
        held = replace(held, run=path.parent.name)
        if held.claim not in newest or held.attempt > newest[held.claim].attempt:
            newest[held.claim] = held
    yield from sorted(newest.values(), key=lambda held: held.locked_at)


def _execution(home: Path, held: Held, found: list[receipts.Receipt], door: Door, project: str) -> Execution:
    verdict = found[-1].verdict if found and found[-1].run == held.run else None
    if door is Door.TASK:
        from components import typed_task

        try:
            verdict = typed_task.verdict_of(home, held.claim)
        except NotFound:
            verdict = None
    status = history_entry.ended(verdict) or ExecutionStatus.INTERRUPTED
    entry = history_entry.entry(replace(held, verdict=verdict), status, str, door, project)
    ended = found[-1].at if found else held.updated_at
    summary = found[-1].text if found else ""
    return replace(entry, started_at=held.updated_at, completed_at=ended, summary=summary)


def _project(held: Held) -> str:
    return str(held.workspace.repository) if held.workspace else ""
