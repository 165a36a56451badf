"""Builds the history again from what runs and typed tasks have left on this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from components import execution_names, history_entry, journal_format, receipts, store_queries, typed_task
from components.errors import AlreadyLive, NotFound
from components.execution import Execution
from components.model import Held, Verdict
from components.run_directory import JOURNAL
from components.short_id import SHORT
from components.states import Door, ExecutionStatus, Phase
from components.store import Store
from components.task_persistence import host_name
from components.typed_task import TypedTask


def rebuild(home: Path, store: Store) -> int:
    """Enter every execution that a run directory tells of, and return how many; those that are there stay as they are.

    One without a verdict becomes interrupted: its runner, or `history_sync`, tells what it knows better. The moves
    between its beginning and its end are lost.
    """
    return _enter(home, store, _newest(home / "runs")) + enter_ended(home, store)


def enter_ended(home: Path, store: Store) -> int:
    """Enter the typed tasks that have ended without anybody telling the history, and return how many.

    Their runner could not reach it, and what it had kept to be told later is gone.
    """
    named = set(execution_names.names(home / typed_task.DIRECTORY))
    if named:
        named.difference_update(row[0] for row in store.rows(store_queries.typed_ids()))
    claims = sorted(filter(journal_format.CLAIM.fullmatch, named))
    ended = [_held(typed) for claim in claims if (typed := _ended(home, claim)) is not None]
    if not ended:
        return 0
    begun = {held.claim: held for held in _newest(home / "runs", {one.claim[:SHORT] for one in ended})}
    return _enter(home, store, [begun.get(one.claim, one) for one in ended])


def _ended(home: Path, claim: str) -> TypedTask | None:
    """Return a typed task that is over, None for one that is not or that its runner may be about to tell of."""
    try:
        if typed_task.verdict_of(home, claim) is None or typed_task.has_runner(home, claim):
            return None
        return typed_task.load(home, claim)
    except (NotFound, OSError):
        return None


def _held(typed: TypedTask) -> Held:
    """Return the last journal entry of a task of which no run was ever begun."""
    task = typed.task
    return Held(
        task=task,
        agent_id=typed.agent_id,
        phase=Phase.DONE,
        claim=typed.claim,
        session_id="",
        locked_at=task.created_at,
        updated_at=task.created_at,
        host=host_name(),
    )


def _enter(home: Path, store: Store, some: Iterable[Held]) -> int:
    count = 0
    for held in some:
        one, found = _execution(home, held)
        try:
            is_new = store.add(one)
        except AlreadyLive:
            continue
        store.spend([receipt.used for receipt in found])
        count += is_new
    return count


def _newest(runs: Path, only: Collection[str] | None = None) -> Iterator[Held]:
    """Yield the newest copy of the journal of each execution, or `only` of those with these short ids."""
    newest: dict[str, Held] = {}
    for path in runs.glob(f"*/{JOURNAL}") if only is None else _of(runs, only):
        try:
            held = journal_format.parse(path.read_bytes())
        except (OSError, ValueError):
            continue
        held = replace(held, run=path.parent.name)
        if held.claim not in newest or held.attempt > newest[held.claim].attempt:
            newest[held.claim] = held
    yield from sorted(newest.values(), key=lambda held: held.locked_at)


def _of(runs: Path, short_ids: Collection[str]) -> Iterator[Path]:
    for name in execution_names.names(runs):
        parts = execution_names.parts_of(name)
        if parts is not None and parts[1] in short_ids:
            yield runs / name / JOURNAL


def _execution(home: Path, held: Held) -> tuple[Execution, list[receipts.Receipt]]:
    typed = _typed(home, held.claim)
    place = str(held.workspace.repository) if held.workspace else ""
    project = str(typed.repository) if typed is not None else place
    found = list(receipts.of(held, home / "runs", project))
    verdict = found[-1].verdict if found and found[-1].run == held.run else None
    if typed is not None:
        verdict = _verdict(home, held.claim)
    status = history_entry.ended(verdict) or ExecutionStatus.INTERRUPTED
    door = typed.door if typed is not None else Door.RUN
    entry = history_entry.entry(replace(held, verdict=verdict), status, str, door, project)
    ended = found[-1].at if found else held.updated_at
    summary = found[-1].text if found else ""
    again = typed.restarted_from if typed is not None else ""
    began = held.updated_at if held.run else ""
    return replace(entry, started_at=began, completed_at=ended, summary=summary, restarted_from=again), found


def _typed(home: Path, claim: str) -> TypedTask | None:
    try:
        return typed_task.load(home, claim)
    except NotFound:
        return None


def _verdict(home: Path, claim: str) -> Verdict | None:
    try:
        return typed_task.verdict_of(home, claim)
    except NotFound:
        return None
