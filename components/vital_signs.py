"""What can be seen of a run from outside: its processes, their CPU time and memory, the agent's own record."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from components import killing, process
from components.run_directory import RunDirectory
from components.stall import Signs

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
ZOMBIE = "Z"


@dataclass(frozen=True, slots=True)
class Seen:
    """One process as /proc tells it: CPU times in seconds, of it and of its ended children; memory in bytes."""

    pid: int
    parent: int
    session: int
    start_ticks: int
    own_cpu: float
    children_cpu: float
    resident_bytes: int


def tree(run: RunDirectory) -> list[Seen]:
    """Return the run's processes without its shim: what descends from the shim, and what carries the run's cookie."""
    pids = run.pids()
    shim = pids["shim"].pid if "shim" in pids else 0
    alive = {seen.pid: seen for seen in map(_look_at, _numbers()) if seen is not None}
    mark = f"{killing.COOKIE}={run.name}".encode()
    ours = {pid for pid in alive if pid != shim and (_descends(pid, shim, alive) or _carries(pid, mark))}
    return [alive[pid] for pid in sorted(ours)]


def signs(run: RunDirectory, transcript: Path | None, unheard: int) -> Signs:
    """Return the signs of life of a run as they are now."""
    agent = run.pids().get("agent")
    seen = tree(run)
    of_agent = [one for one in seen if agent and (one.pid, one.start_ticks) == (agent.pid, agent.start_ticks)]
    others = [one for one in seen if one not in of_agent]
    sessions = {one.session for one in of_agent}
    return Signs(
        at=time.monotonic(),
        processes=frozenset((one.pid, one.start_ticks) for one in seen),
        agent_cpu=sum(one.own_cpu for one in of_agent),
        children_cpu=sum(one.own_cpu + one.children_cpu for one in others) + sum(one.children_cpu for one in of_agent),
        background=sum(one.session not in sessions for one in others),
        transcript=_size_and_age(transcript),
        unheard=unheard,
    )


def memory(run: RunDirectory, enough: float) -> int:
    """Return how much memory the run's processes use together, in bytes.

    Resident sizes count what is shared once for each sharer; so a sum of them above `enough` is looked at again with
    shares divided (PSS), which is exact and costs more.
    """
    seen = tree(run)
    resident = sum(one.resident_bytes for one in seen)
    return resident if resident < enough else sum(_proportional(one) for one in seen)


def age(run: RunDirectory) -> float:
    """Return how long ago the run's agent was started, in seconds; 0 while that is not known."""
    agent = run.pids().get("agent")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - agent.start_ticks * TICK) if agent else 0.0


def is_overdue(run: RunDirectory) -> bool:
    """Whether a run whose shim was killed is beyond the time or the output that its shim held it to."""
    limits = run.limits()
    if limits is None or process.lives(run, "shim"):
        return False
    printed = sum(path.lstat().st_size for path in (run.out, run.err) if path.exists())
    return age(run) > limits.timeout or printed > limits.output_bytes


def _numbers() -> Iterable[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdigit())  # noqa: PTH208


def _look_at(pid: int) -> Seen | None:
    """Read fields of /proc/PID/stat (proc_pid_stat(5)); None for what is gone, or ended and not yet collected."""
    try:
        text = Path("/proc", str(pid), "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *words = text[text.rindex(")") + 2 :].split()
    if state == ZOMBIE:
        return None
    numbers = [int(word) for word in words[:21]]
    return Seen(
        pid=pid,
        parent=numbers[0],
        session=numbers[2],
        start_ticks=numbers[18],
        own_cpu=(numbers[10] + numbers[11]) * TICK,
        children_cpu=(numbers[12] + numbers[13]) * TICK,
        resident_bytes=numbers[20] * PAGE_BYTES,
    )


def _descends(pid: int, ancestor: int, alive: dict[int, Seen]) -> bool:
    passed = set[int]()
    while pid in alive and pid not in passed:
        passed.add(pid)
        pid = alive[pid].parent
        if pid == ancestor != 0:
            return True
    return False


def _carries(pid: int, mark: bytes) -> bool:
    with contextlib.suppress(OSError):
        return mark in Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
    return False


def _proportional(one: Seen) -> int:
    """Return a process's share of memory in bytes (PSS of smaps_rollup), or its resident size where it is not told."""
    try:
        lines = Path("/proc", str(one.pid), "smaps_rollup").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return one.resident_bytes
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), one.resident_bytes)


def _size_and_age(path: Path | None) -> tuple[int, int]:
    if path is not None:
        with contextlib.suppress(OSError):
            found = path.stat()
            return found.st_size, found.st_mtime_ns
    return 0, 0
