"""Builds the history again from what runs and typed tasks have left on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from components import (
    branch_names,
    durable,
    execution_names,
    history_entry,
    journal_format,
    receipts,
    store_queries,
    typed_task,
)
from components.errors import NotFound, RunnerError
from components.execution import Execution
from components.model import Held, Verdict
from components.run_directory import JOURNAL, RunDirectory, RunState
from components.short_id import SHORT
from components.states import LIVE, Door, ExecutionStatus, Phase
from components.store import Store
from components.task_persistence import host_name
from components.typed_task import TypedTask

BATCH = 500
"""How many are entered in one transaction: to make each durable by itself takes a disk a minute for 10,000."""
NONE_IN_HAND: Mapping[str, Held] = MappingProxyType({})


def rebuild(home: Path, store: Store, tick: Callable[[int], object] = int) -> int:
    """Enter every execution that a run directory tells of, and return how many; those that are there stay as they are.

    What is in hand and has a runner, or an agent at work, is entered as it stands; what has neither, and no verdict,
    as interrupted: its runner, or `history_sync`, tells what it knows better. The moves from its beginning to now are
    lost. `tick` is told how many runs are done with.
    """
    in_hand = {held.claim: held for _, held in execution_names.journals(home)}
    begun = {held.claim: held for held in _newest(home / "runs")}
    newest = {**begun, **in_hand}  # of what is in hand the journal tells more than its copy in the run
    return _enter(home, store, [*newest.values()], in_hand, tick) + enter_ended(home, store)


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


def _enter(
    home: Path,
    store: Store,
    some: Sequence[Held],
    in_hand: Mapping[str, Held] = NONE_IN_HAND,
    tick: Callable[[int], object] = int,
) -> int:
    count = 0
    for begin in range(0, len(some), BATCH):
        batch = some[begin : begin + BATCH]
        told = [_execution(home, held, is_in_hand=held.claim in in_hand) for held in batch]
        known = [(one, found) for one, found in told if one is not None]
        entered = store.add_all([one for one, _ in known])
        store.spend([receipt.used for one, found in known if one.id in entered for receipt in found])
        count += len(entered)
        tick(begin + len(batch))
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


def _execution(home: Path, held: Held, *, is_in_hand: bool) -> tuple[Execution | None, list[receipts.Receipt]]:
    """Return an execution and what its runs have used; None for a claim that may still go to somebody else."""
    typed = _typed(home, held.claim)
    place = str(held.workspace.repository) if held.workspace else ""
    project = str(typed.repository) if typed is not None else place
    found = list(receipts.of(held, home / "runs", project))
    verdict = held.verdict
    if typed is not None and not is_in_hand:
        verdict = _verdict(home, held.claim)
    elif not is_in_hand:
        verdict = found[-1].verdict if found and found[-1].run == held.run else None
    status = _status(home, replace(held, verdict=verdict), is_in_hand=is_in_hand)
    if status is None:
        return None, []
    door = typed.door if typed is not None else Door.RUN
    entry = history_entry.entry(replace(held, verdict=verdict), status, str, door, project)
    ended = found[-1].at if found else held.updated_at
    if typed is not None and verdict is not None and not is_in_hand:
        ended = typed_task.ended_at(home, held.claim) or ended
    return replace(
        entry,
        branch=_branch(typed) if typed is not None and held.workspace is None else entry.branch,
        started_at=_began(home, held),
        completed_at="" if status in LIVE else ended,
        summary=found[-1].text if found else "",
        restarted_from=typed.restarted_from if typed is not None else "",
    ), found


def _began(home: Path, held: Held) -> str:
    """Return when the first attempt began that has left a copy of the journal, "" where none has begun."""
    for attempt in range(1, held.attempt + 1):
        run = RunDirectory.of(home / "runs", held.task.id, held.claim, attempt)
        copy = execution_names.journal_at(run.path / JOURNAL)
        if copy is not None and copy.claim == held.claim:
            return copy.updated_at
    return held.updated_at if held.run else ""


def _branch(typed: TypedTask) -> str:
    """Return the branch of a typed task that no run tells of, "" where it has none (any more)."""
    from components import git

    wanted = typed.task.branch or branch_names.default_for(typed.task.id)
    try:
        return wanted if git.branch_exists(typed.repository, wanted) else ""
    except RunnerError:
        return ""


def _status(home: Path, held: Held, *, is_in_hand: bool) -> ExecutionStatus | None:
    """Return where an execution stands; what nobody has in hand has ended as its verdict says."""
    if held.verdict is not None and not is_in_hand:
        return history_entry.ended(held.verdict)
    status = history_entry.status_of(held, time.time()) if is_in_hand else ExecutionStatus.RUNNING
    return status if status is None or _lives(home, held, is_in_hand=is_in_hand) else ExecutionStatus.INTERRUPTED


def _lives(home: Path, held: Held, *, is_in_hand: bool) -> bool:
    """Has an execution a runner, or an agent at work? Of another host's nothing can be seen, and its journal holds."""
    if is_in_hand and held.host not in ("", host_name()):
        return True
    has_daemon = is_in_hand and durable.is_held(home / "locks" / f"agent-{held.agent_id}.flock")
    if has_daemon or typed_task.has_runner(home, held.claim):
        return True
    run = RunDirectory(home / "runs" / held.run)
    return bool(held.run) and (run.path / "pids").exists() and run.state() is RunState.ALIVE


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
