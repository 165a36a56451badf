"""Brings a row of the history to where its execution stands, however often and however late it is told."""

from __future__ import annotations

import logging
from dataclasses import replace

from components import history_entry, store_rows, workspace_record
from components.errors import AlreadyLive, NotFound, StateCorrupt, StateForeign, StoreUnavailable
from components.execution import Execution
from components.history_spool import Event
from components.states import FINAL, LIVE, ExecutionStatus, Reason
from components.store import Store

logger = logging.getLogger(__name__)

FROM_JOURNAL = (
    *("title", "role", "level", "complexity", "agent_id", "host", "reason", "attempt", "step", "model"),
    *("session_id", "run", "workspace", "branch", "base_commit", "error"),
)
"""Fields that the journal tells; one that it does not know yet leaves what stands there."""
ALWAYS = frozenset({"reason", "error", "attempt", "step"})
"""... but for these: another attempt has no reason yet."""


def tell(store: Store, event: Event) -> None:
    """Enter an event; whoever sees an end sees its cost. Telling it again, or after a later one, changes nothing.

    Raises what `Store` raises, but neither AlreadyLive nor IllegalMove: the runner that has the task is right.
    """
    entry, used, told = event
    try:
        now = store.get(entry.id)
    except NotFound:
        if entry.status is ExecutionStatus.CANCELLED and not entry.reason:
            return  # a claim that came to nothing
        _add(store, entry)
        now = store.get(entry.id)
    if used:
        store.spend(used)
    workspace_record.note(store, entry)
    if entry.step >= now.step and not (_lost_its_claim(now) and entry.status in LIVE):
        _bring(store, now, entry, _facts(now, entry, told))


def tell_or_leave(store: Store, event: Event) -> None:
    """Enter an event; one that the store can do nothing with is left out, or nothing after it would be told.

    Raises StoreUnavailable, StateCorrupt, StateForeign and OSError.
    """
    try:
        tell(store, event)
    except (StoreUnavailable, StateCorrupt, StateForeign, OSError):
        raise
    except Exception:
        logger.exception("the history of agent %s leaves out an event of %s", event[0].agent_id, event[0].id)


def moved(store: Store, now: Execution, after: ExecutionStatus, **facts: object) -> bool:
    """Move an execution to a status by as many moves as it takes, the facts with the last; False where none lead there.

    Also False where somebody else moved it meanwhile.
    """
    way = history_entry.way(now.status, after)
    if not way:
        return False
    before = now.status
    for status in way:
        if not store.move(now.id, before, status, **(facts if status is way[-1] else {})):
            return False
        before = status
    return True


def _add(store: Store, entry: Execution) -> None:
    """Enter an execution. One that was not over and has the same task lost its claim, or it would have been over."""
    new = replace(entry, step=0, status=ExecutionStatus.PENDING, reason="", error="", completed_at="")
    for _ in range(3):
        try:
            store.add(new)
            return
        except AlreadyLive:
            _give_way(store, entry)
    store.add(new)


def _give_way(store: Store, entry: Execution) -> None:
    task = (entry.task_id, entry.task_digest)
    for rival in store.live(entry.project):
        if (rival.task_id, rival.task_digest) == task and rival.id != entry.id:
            store.move(rival.id, rival.status, ExecutionStatus.INTERRUPTED, reason=str(Reason.LOST_CLAIM))


def _bring(store: Store, now: Execution, entry: Execution, facts: dict[str, object]) -> None:
    if entry.status is not now.status:
        try:
            is_there = moved(store, now, entry.status, **facts)
        except AlreadyLive:
            _give_way(store, entry)
            is_there = moved(store, store.get(entry.id), entry.status, **facts)
        if is_there:
            return
    if now.status not in FINAL:
        store.note(entry.id, **facts)


def _lost_its_claim(now: Execution) -> bool:
    """Has another execution of its task been entered since? Then only its end is of interest."""
    return now.status is ExecutionStatus.INTERRUPTED and now.reason == Reason.LOST_CLAIM


def _facts(now: Execution, entry: Execution, told: frozenset[str]) -> dict[str, object]:
    """Return what is new; when it first started to run stays."""
    names = {name for name in FROM_JOURNAL if name in ALWAYS or getattr(entry, name)} | (told & store_rows.SETTABLE)
    names |= {"completed_at"} if entry.completed_at else set()
    names |= {"started_at"} if entry.started_at and not now.started_at else set()
    return {name: getattr(entry, name) for name in names}
