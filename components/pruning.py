"""Deletes what old executions have left, but for what lives, what is in hand, and the newest failures.

What goes is the run directories of an execution and the directory of a typed task; the history keeps its row. Git is
not touched: branches, worktrees and snapshots stay. An execution is moved to `<home>/removed` before it is deleted, so
that what a crash leaves of it can never pass for a whole one; the next pruning finishes that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from components import bygone, cancelling, durable, execution_names, history_entry, journal_format, remains, typed_task
from components.errors import NotFound, StateCorrupt
from components.execution import Selection
from components.execution_index import verdict
from components.remains import Remains, is_typed
from components.run_directory import RunDirectory, RunState
from components.short_id import SHORT
from components.states import ExecutionStatus
from components.store_reader import StoreReader

KEPT_FAILURES = 20
"""How many of the newest failures always stay: somebody may want to know why."""
DAY = 86_400.0
REMOVED = "removed"
LEAST_AGE = 3600.0
"""Seconds for which an execution stays whatever was asked: somebody may be about to look at it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What may stay: what is younger than `days`, and of that the newest `total_bytes`. None is: no matter."""

    days: float | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes, oldest first, with how many bytes; how many stay, and how many of them only for their protection.

    Where many go, their sizes are not measured but estimated: `is_exact` says so.
    """

    going: tuple[Remains, ...]
    staying: int
    protected: int
    is_exact: bool = True

    @property
    def size(self) -> int:
        """How many bytes go."""
        return sum(one.size for one in self.going)


def plan(home: Path, rule: Rule, reader: StoreReader | None, now: float | None = None) -> Plan:
    """Return what would go. Raises StateCorrupt while a journal cannot be read: it may be of any execution.

    Only what the rule has go is looked into for what protects it: mostly that is little of what there is.
    """
    now = time.time() if now is None else now
    old_first = sorted(remains.find(home), key=lambda one: one.at)
    if rule.total_bytes is None:
        asked = [one for one in old_first if rule.days is not None and now - one.at > rule.days * DAY]
    else:
        asked = old_first
    asked = [one for one in asked if now - one.at > LEAST_AGE]
    kept = _protected(home, asked, old_first, reader)
    may_go = [one for one in asked if one.short_id not in kept]
    protected = len(asked) - len(may_go)
    if rule.total_bytes is None:
        going, is_exact = remains.sized(may_go)
        return Plan(tuple(going), len(old_first) - len(going), protected, is_exact)
    measured, is_exact = remains.sized(old_first)
    going = _by_size(measured, {one.short_id for one in may_go}, rule, now)
    return Plan(tuple(going), len(old_first) - len(going), protected, is_exact)


def carry_out(home: Path, planned: Plan, tick: Callable[[], object] = int) -> list[Remains]:
    """Delete what goes, and return what has gone, measured: what has come to life meanwhile stays.

    `tick` is called for each directory that was deleted.
    """
    removed = durable.make_directory(home / REMOVED)
    _delete(removed)
    gone = []
    kept = {claim[:SHORT] for claim in in_hand(home)}
    for one in planned.going:
        if one.short_id in kept or any(map(_is_alive, one.paths)):
            continue
        exact = one if planned.is_exact else remains.measured(one)
        if _set_aside(one, removed):
            gone.append(exact)
            for path in map(Path, one.paths):
                if journal_format.CLAIM.fullmatch(path.name):
                    cancelling.forget(home, path.name)
    _delete(removed, tick)
    return gone


def _protected(home: Path, asked: list[Remains], old_first: list[Remains], reader: StoreReader | None) -> set[str]:
    """Return which of those that are asked for stay all the same, and all that is in hand or failed of late."""
    kept = {claim[:SHORT] for claim in in_hand(home)}
    if not asked:
        return kept
    kinds = ("runs", typed_task.DIRECTORY)  # a task is deleted under its runner's lock, so what is known is enough
    over = {f"{home}/{kind}/{name}" for kind in kinds for name in bygone.names(home, kind)}
    kept |= {one.short_id for one in asked if any(path not in over and _is_alive(path) for path in one.paths)}
    failures = _failures(reader) if reader is not None and reader.newest_ids(1) else _failures_by_files(home, old_first)
    return kept | set(failures)


def in_hand(home: Path) -> Iterable[str]:
    """Yield the executions in hand. Raises StateCorrupt while a journal cannot be read: it may be of any of them.

    That of a typed task's agent can be of that task only.
    """
    for name in execution_names.names(home / "locks"):
        if name.startswith("agent-") and name.endswith(".lock"):
            path = home / "locks" / name
            held = execution_names.journal_at(path)
            if held is None and (typed := _typed_of(home, name)):
                yield from typed
            elif held is None and path.exists():
                raise StateCorrupt(
                    f"the journal {path} cannot be read, so nothing is pruned; `status` tells more of it"
                )
            if held is not None:
                yield held.claim


def _typed_of(home: Path, name: str) -> list[str]:
    """Return the typed tasks that the journal of this name can be of."""
    return [one for one in typed_task.claims(home) if name == f"agent-{typed_task.agent_of(one)}.lock"]


def _is_alive(path: str) -> bool:
    """Does anything hold a run, or does a typed task have a runner, or somebody who is about to start one?"""
    try:
        if not durable.is_held(f"{path}/alive"):
            return is_typed(path) and durable.is_held(f"{path}/{typed_task.QUEUED}")
        return is_typed(path) or RunDirectory(Path(path)).state() is RunState.ALIVE
    except OSError:
        return True


def _failures(reader: StoreReader) -> list[str]:
    failed = (ExecutionStatus.FAILED, ExecutionStatus.INTERRUPTED)
    return [one.short_id for one in reader.select(Selection(statuses=failed, limit=KEPT_FAILURES))]


def _failures_by_files(home: Path, old_first: list[Remains]) -> list[str]:
    """Return the newest failures by their receipts; one without a verdict counts as one."""
    failed: list[str] = []
    for one in reversed(old_first):
        if len(failed) == KEPT_FAILURES:
            break
        if not _did_well(home, one):
            failed.append(one.short_id)
    return failed


def _did_well(home: Path, one: Remains) -> bool:
    typed = next((Path(path).name for path in one.paths if is_typed(path)), "")
    with contextlib.suppress(NotFound):
        kept = typed_task.verdict_of(home, typed) if typed else None
        if kept is not None:
            return kept.reason in history_entry.DONE_WELL
    runs = [path for path in one.paths if not is_typed(path)]
    last = max(runs, key=lambda path: int(path.rsplit("-", 1)[1]), default="")
    told = verdict(RunDirectory(Path(last))) if last else None
    return told is not None and told.reason in history_entry.DONE_WELL


def _by_size(old_first: list[Remains], may_go: set[str], rule: Rule, now: float) -> list[Remains]:
    """Return what goes by age, and then, oldest first, until the rest is small enough."""
    assert rule.total_bytes is not None
    left = sum(one.size for one in old_first)
    going = []
    for one in old_first:
        is_old = rule.days is not None and now - one.at > rule.days * DAY
        if one.short_id in may_go and (is_old or left > rule.total_bytes):
            going.append(one)
            left -= one.size
    return going


def _set_aside(one: Remains, removed: Path) -> bool:
    """Move all of an execution aside; a typed task only under the lock that its runner would need."""
    paths = [Path(path) for path in one.paths]
    for path in paths:
        lock = None
        if path.parent.name == typed_task.DIRECTORY:
            lock = durable.try_lock(path / "alive")
            if lock is None:
                return False
        try:
            path.rename(removed / path.name)
            if lock is not None:
                _forget_agent(removed.parent, path.name)
        except OSError:
            return False
        finally:
            if lock is not None:
                os.close(lock)
    for directory in {path.parent for path in paths}:
        durable.sync_directory(directory)
    return True


def _forget_agent(home: Path, claim: str) -> None:
    """Remove what the agent of a typed task left outside its directory; we hold the lock that its runner would need."""
    typed_task.forget_agent(home, claim)
    (home / "spend" / f"{typed_task.agent_of(claim)}.json").unlink(missing_ok=True)


def _delete(removed: Path, tick: Callable[[], object] = int) -> None:
    """Delete what was moved aside; what an agent made undeletable stays there, and is tried again next time."""
    for path in removed.iterdir():
        shutil.rmtree(path, ignore_errors=True)
        tick()
