"""Makes the history agree with what is true on this machine: a dead execution is never shown as at work."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path

from components import (
    durable,
    execution_names,
    history_entry,
    history_left,
    history_telling,
    journal_format,
    receipts,
    store_file,
    store_rebuild,
)
from components.errors import StateCorrupt
from components.execution import Execution
from components.model import Held
from components.run_directory import JOURNAL, RunDirectory, RunState
from components.states import Door, ExecutionStatus
from components.store import Store
from components.task_persistence import host_name

MANY = 500
"""Where so many runs are to be read again, which takes some seconds, this is said before it is done."""
BEGINNING_SECONDS = 10.0
"""How long a typed task may be without a runner before it counts as interrupted."""


def opened(
    home: Path,
    url: str,
    say: Callable[[str], object],
    *,
    is_suspect: bool = False,
    has_past: bool = True,
    is_lost: bool = False,
    tick: Callable[[int], object] = int,
    patience: float = store_file.BUSY_SECONDS,
) -> Store:
    """Return the store, ready to be asked. A damaged file is set aside and the history is built again, said once.

    With `is_suspect` the whole file is examined, not only what a question touches. Without `has_past` this home was
    new when the caller began: a file that is not there yet was not lost. With `is_lost` the file that the caller knew
    is gone, and another may be in its place: what the runs tell is added to what that has. `tick` is told how many
    runs have been read again. A file that another process has locked is waited for, `patience` seconds at most; only to
    build the history again takes all the time that a writer has.
    Raises StoreTooNew, StateForeign and StoreUnavailable; StateCorrupt only for a server.
    """
    store = Store(url, patience)
    trouble: object = _damage(store, is_suspect) or (
        f"the store {store.path} was taken away" if is_lost else _loss(home, store) if has_past else None
    )
    if trouble is None or store.path is None:
        return store
    with durable.locked(home / "rebuild.flock"):
        is_damaged = _damage(store, is_suspect) is not None
        if not is_damaged and not is_lost and _loss(home, store) is None:
            return store
        kept = f"; it was kept as {store_file.set_aside(store.path).name}" if is_damaged else ""
        told, runs = f"{trouble}{kept}", len([*execution_names.names(home / "runs")])
        if runs >= MANY:
            say(f"{told}; the history is built again from the {runs} runs in {home / 'runs'}")
            told = "the history is there again"
        with contextlib.closing(Store(url)) as writer:
            count = store_rebuild.rebuild(home, writer, tick)
    say(f"{told}; {count} executions were entered again from {home / 'runs'}")
    return store


def _loss(home: Path, store: Store) -> str | None:
    """Return that the store's file is gone, or empty, where receipts tell that something was in it.

    An empty one has nothing to be kept. Whoever makes the file fills it under a lock: that is waited for.
    """
    if store.path is None or _has_content(store.path) or not receipts.are_in(home / "runs"):
        return None
    if not store.path.exists():
        return f"the store {store.path} is gone"
    with durable.locked(store_file.lock_of(store.path)):
        return None if _has_content(store.path) else f"the store {store.path} is empty"


def _has_content(path: Path) -> bool:
    return store_file.identity(path) is not None


def sync(
    home: Path, store: Store, *, agent_id: str = "", in_hand: Collection[str] = (), host: str = ""
) -> list[Execution]:
    """Bring what counts as at work on this machine to where it stands, and return what was changed, as it is now.

    `agent_id` is who asks, where a runner asks for itself: it knows best that it does nothing but what its journal
    says, and what is `in_hand` by id. Of others nothing is touched while their runner lives.
    """
    host = host or host_name()
    history_left.tell_all(home, store)
    store_rebuild.enter_ended(home, store)
    changed = []
    for one in store.live(host=host):
        if one.id not in in_hand and _settled(home, store, one, agent_id):
            changed.append(store.get(one.id))
    return changed


def _settled(home: Path, store: Store, one: Execution, asker: str) -> bool:
    """Settle one execution; False where it is as it should be."""
    if one.agent_id != asker and _has_runner(home, one):
        return False
    journal = journal_of(home, one.agent_id)
    held = journal if journal is not None and journal.claim == one.id else None
    if (held is not None and one.agent_id == asker) or _is_beginning(home, one):
        return False
    runs = home / "runs"
    last = _last_run(runs, one)
    if last is not None and last.state() is RunState.ALIVE:
        return False
    known = held or (_copy(last) if last else None)
    found = list(receipts.of(known, runs, one.project)) if known else []
    store.spend([receipt.used for receipt in found])
    status, reason, error = _end(home, one, held, found)
    facts = {"reason": reason, "error": error, **({"completed_at": found[-1].at} if found else {})}
    return history_telling.moved(store, one, status, **facts)


def _end(
    home: Path, one: Execution, held: Held | None, found: list[receipts.Receipt]
) -> tuple[ExecutionStatus, str, str]:
    """Return how an execution without a runner stands: one that a journal tells of may be gone on with."""
    verdict = found[-1].verdict if found else None
    if held is not None:
        return ExecutionStatus.INTERRUPTED, one.reason, "its runner is gone; the next start goes on with it"
    if one.door is not Door.RUN:
        from components import typed_task

        verdict = typed_task.verdict_of(home, one.id) if _is_typed(home, one) else verdict
    if verdict is None and one.reason:
        return history_entry.ended_by(one.reason), one.reason, one.error
    if verdict is None:
        return ExecutionStatus.INTERRUPTED, one.reason, "its runner is gone, and nothing of it lives"
    if one.status is ExecutionStatus.FINISHING and one.reason:
        return history_entry.ended_by(one.reason), one.reason, one.error
    return history_entry.ended_by(verdict.reason), str(verdict.reason), verdict.detail


def _has_runner(home: Path, one: Execution) -> bool:
    """Does somebody look after it? A daemon does as long as it lives, for it tells what becomes of its tasks."""
    if _is_typed(home, one) and durable.is_held(home / "tasks" / one.id / "alive"):
        return True
    return bool(one.agent_id) and durable.is_held(home / "locks" / f"agent-{one.agent_id}.flock")


def _is_typed(home: Path, one: Execution) -> bool:
    return (home / "tasks" / one.id).is_dir()


def _is_beginning(home: Path, one: Execution) -> bool:
    """Is it about to get a runner: just entered, or waiting for its turn in a process that lives?

    Of a typed task that anybody has attended to, locks tell it.
    """
    if one.status is not ExecutionStatus.PENDING or one.step:
        return False
    if _is_typed(home, one):
        from components import typed_task

        if typed_task.was_attended(home, one.id):
            return typed_task.is_queued(home, one.id)
    if one.runner_pid and Path("/proc", str(one.runner_pid)).exists():
        return True
    return time.time() - datetime.fromisoformat(one.created_at).timestamp() < BEGINNING_SECONDS


def journal_of(home: Path, agent_id: str) -> Held | None:
    """Return what an agent has in hand by its journal, None where that says nothing."""
    if not journal_format.AGENT_ID.fullmatch(agent_id):
        return None
    return _read(home / "locks" / f"agent-{agent_id}.lock")


def _last_run(runs: Path, one: Execution) -> RunDirectory | None:
    for attempt in (one.attempt + 1, one.attempt):
        run = RunDirectory.of(runs, one.task_id, one.id, attempt)
        if os.path.lexists(run.path):
            return run
    return None


def _copy(run: RunDirectory) -> Held | None:
    return _read(run.path / JOURNAL)


def _read(path: Path) -> Held | None:
    try:
        return journal_format.parse(path.read_bytes())
    except (OSError, ValueError):
        return None


def _damage(store: Store, is_suspect: bool) -> StateCorrupt | None:
    """Return what is wrong with the store's file, if anything is. Raises StateCorrupt for a server."""
    try:
        store.last_transition()
        if is_suspect and store.path is not None:
            store_file.examine(store.path)
    except StateCorrupt as error:
        if store.path is None:
            raise
        store.close()
        return error
    return None
