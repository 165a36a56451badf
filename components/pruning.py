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
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from components import cancelling, durable, execution_names, history_entry, journal_format, typed_task
from components.branch_names import SHORT
from components.errors import NotFound, StateCorrupt
from components.execution import Selection
from components.execution_index import ExecutionFiles, verdict
from components.run_directory import RunDirectory, RunState
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
class Remains:
    """What an execution has left. `at` is when it changed last, in seconds since 1970."""

    short_id: str
    task_id: str
    paths: tuple[str, ...]
    at: float
    size: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes, oldest first, with how many bytes; what stays, and why some of it does."""

    going: tuple[Remains, ...]
    staying: int
    protected: int

    @property
    def size(self) -> int:
        """How many bytes go."""
        return sum(one.size for one in self.going)


def plan(home: Path, rule: Rule, reader: StoreReader | None, now: float | None = None) -> Plan:
    """Return what would go. Raises StateCorrupt while a journal cannot be read: it may be of any execution."""
    now = time.time() if now is None else now
    remains = _all(home)
    old_first = sorted(remains, key=lambda one: one.at)
    kept = _protected(home, old_first, reader)
    may_go = [one for one in old_first if one.short_id not in kept and now - one.at > LEAST_AGE]
    if rule.total_bytes is None:
        limit = now - (rule.days or 0.0) * DAY
        going = [_sized(one) for one in may_go if rule.days is not None and one.at < limit]
    else:
        going = _by_size([_sized(one) for one in old_first], {one.short_id for one in may_go}, rule, now)
    return Plan(tuple(going), len(remains) - len(going), len(kept))


def carry_out(home: Path, planned: Plan) -> list[Remains]:
    """Delete what goes, and return what has gone: what has come to life meanwhile stays."""
    removed = durable.make_directory(home / REMOVED)
    _delete(removed)
    gone = []
    kept = {claim[:SHORT] for claim in in_hand(home)}
    for one in planned.going:
        if one.short_id not in kept and not any(map(_is_alive, one.paths)) and _set_aside(one, removed):
            gone.append(one)
            for path in map(Path, one.paths):
                if journal_format.CLAIM.fullmatch(path.name):
                    cancelling.forget(home, path.name)
    _delete(removed)
    return gone


def _all(home: Path) -> list[Remains]:
    """Return what each execution has left: text and one `stat` a directory, for there may be ten thousand."""
    paths: dict[tuple[str, str], list[str]] = {}
    runs, tasks = str(home / "runs"), str(home / typed_task.DIRECTORY)
    for name in execution_names.names(home / "runs"):
        if parts := execution_names.parts_of(name):
            paths.setdefault((parts[1], parts[0]), []).append(f"{runs}/{name}")
    for name in execution_names.names(home / typed_task.DIRECTORY):
        if journal_format.CLAIM.fullmatch(name):
            key = (name[:SHORT], f"t{name[:SHORT]}")
            paths.setdefault(key, []).append(f"{tasks}/{name}")
    found = []
    for (short, task), listed in paths.items():
        with contextlib.suppress(OSError):
            at = max(os.stat(path).st_mtime for path in listed)  # noqa: PTH116
            found.append(Remains(short, task, tuple(listed), at))
    return found


def _protected(home: Path, old_first: list[Remains], reader: StoreReader | None) -> set[str]:
    """Return the executions that stay whatever their age."""
    kept = {claim[:SHORT] for claim in in_hand(home)}
    kept |= {one.short_id for one in old_first if any(map(_is_alive, one.paths))}
    failures = _failures(reader) if reader is not None else []
    return kept | set(failures or _failures_by_files(home, old_first))


def in_hand(home: Path) -> Iterable[str]:
    """Yield the executions in hand. Raises StateCorrupt while a journal cannot be read: it may be of any of them."""
    for name in execution_names.names(home / "locks"):
        if name.startswith("agent-") and name.endswith(".lock"):
            path = home / "locks" / name
            held = execution_names.journal_at(path)
            if held is None and path.exists():
                raise StateCorrupt(
                    f"the journal {path} cannot be read, so nothing is pruned; `status` tells more of it"
                )
            if held is not None:
                yield held.claim


def _is_alive(path: str) -> bool:
    """Does anything hold a run, or does a typed task have a runner, or somebody who is about to start one?"""
    try:
        if not durable.is_held(f"{path}/alive"):
            return _is_typed(path) and durable.is_held(f"{path}/{typed_task.QUEUED}")
        return _is_typed(path) or RunDirectory(Path(path)).state() is RunState.ALIVE
    except OSError:
        return True


def _is_typed(path: str) -> bool:
    return path.split("/")[-2] == typed_task.DIRECTORY


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
    typed = next((Path(path).name for path in one.paths if _is_typed(path)), "")
    with contextlib.suppress(NotFound):
        kept = typed_task.verdict_of(home, typed) if typed else None
        if kept is not None:
            return kept.reason in history_entry.DONE_WELL
    told = [verdict(run) for run in ExecutionFiles(home, one.short_id, one.task_id).runs().values()]
    return bool(told) and told[-1] is not None and told[-1].reason in history_entry.DONE_WELL


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


def _sized(one: Remains) -> Remains:
    size = sum(_size(path) for path in one.paths)
    return Remains(one.short_id, one.task_id, one.paths, one.at, size)


def _size(directory: str) -> int:
    """Return how many bytes of disk a directory takes; links are not followed."""
    total, left = 0, [directory]
    while left:
        with contextlib.suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


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
        except OSError:
            return False
        finally:
            if lock is not None:
                os.close(lock)
    for directory in {path.parent for path in paths}:
        durable.sync_directory(directory)
    return True


def _delete(removed: Path) -> None:
    """Delete what was moved aside; what an agent made undeletable stays there, and is tried again next time."""
    for path in removed.iterdir():
        shutil.rmtree(path, ignore_errors=True)
