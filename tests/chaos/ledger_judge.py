"""Judges chaos from outside: by the ledger that the agents wrote, the server's changelog, and /proc.

It asks nothing of the runner, and reads of its state only which files are there.
"""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.pm_server import PmServer

AGENT = Path(__file__).with_name("ledger_agent.py")
MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Line:
    """What an agent noted. `ticks` and `at` (monotonic seconds) tell when it started and when it wrote."""

    event: str
    task: int
    attempt: int
    run: str
    pid: int
    ticks: int
    at: float


class Ledger:
    """The notes of all agents of a test, and the gate they wait at."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()

    def command(self, *mode: str) -> str:
        """Return the AGENT_COMMAND of an agent that writes here."""
        return " ".join([sys.executable, "-I", "-S", "-B", str(AGENT), str(self.directory), *mode])

    def lines(self, event: str = "") -> list[Line]:
        """Return what was noted, or the notes of one event."""
        try:
            text = (self.directory / "ledger").read_text()
        except FileNotFoundError:
            return []
        rows = [line.split() for line in text.splitlines()]
        lines = [Line(r[0], int(r[1]), int(r[2]), r[3], int(r[4]), int(r[5]), float(r[6])) for r in rows]
        return [line for line in lines if event in ("", line.event)]

    def living(self) -> list[Line]:
        """Return the starts of the agents that live now, told by /proc and the time of their start."""
        return [line for line in self.lines("start") if _lives(line.pid, line.ticks)]

    def say(self, how: str, pid: int | None = None) -> None:
        """Tell one agent, or all that are and will be, how to end: success, failure, crash."""
        name = "gate-all" if pid is None else f"gate-{pid}"
        draft = self.directory / f"{name}.tmp"
        draft.write_text(how)
        draft.rename(self.directory / name)

    def complaints(self) -> list[str]:
        """Return what must never be, at any moment: two agents on a task, a run that began twice, a fourth attempt."""
        found = [f"task {line.task}: two agents at once: {line}" for line in self.lines("overlap")]
        for task, number in Counter(line.task for line in self.living()).items():
            if number > 1:
                found.append(f"task {task}: {number} agents live now")
        for run, number in Counter(line.run for line in self.lines("start")).items():
            if number > 1:
                found.append(f"run {run} was started {number} times")
        return found + [f"attempt {line.attempt}: {line}" for line in self.lines() if line.attempt > MAX_ATTEMPTS]


def _lives(pid: int, ticks: int) -> bool:
    try:
        text = Path("/proc", str(pid), "stat").read_text(errors="replace")
    except OSError:
        return False
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0] not in ("Z", "X") and int(fields[19]) == ticks


def changelog(pm: PmServer) -> list[dict[str, Any]]:
    """Return all that the server ever recorded, oldest first, also while it is down."""
    with contextlib.closing(sqlite3.connect(f"file:{pm.database}?mode=ro", uri=True, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM changelog ORDER BY id")]


def tasks(pm: PmServer) -> dict[int, dict[str, Any]]:
    """Return all tasks by their id, also while the server is down."""
    with contextlib.closing(sqlite3.connect(f"file:{pm.database}?mode=ro", uri=True, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        return {row["id"]: dict(row) for row in connection.execute("SELECT * FROM task")}


def has_ended(task: dict[str, Any], runs: Path) -> bool:
    """Whether a task is done, or parked after its third attempt; in either case nobody may hold it."""
    if task["locked_by"] is not None:
        return False
    return task["status"] == "dev_done" or (task["status"] == "pending" and was_tried_out(task["id"], runs))


def was_tried_out(task_id: int, runs: Path) -> bool:
    """Whether some claim of a task got to its last attempt."""
    return any(runs.glob(f"{task_id}-*-{MAX_ATTEMPTS}"))


def judge(pm: PmServer, ledger: Ledger, home: Path, mine: Iterable[int], struck: Collection[str] = ()) -> list[str]:
    """Return everything that is wrong after all has ended; [] is the proof. `struck` are the runs that we hurt."""
    now, rows = tasks(pm), changelog(pm)
    found = ledger.complaints()
    for task_id in mine:
        task = now[task_id]
        done = sum(row["task_id"] == task_id and row["new_status"] == "dev_done" for row in rows)
        ended = sum(line.task == task_id for line in ledger.lines("end"))
        if not has_ended(task, home / "runs"):
            found.append(f"task {task_id} has not ended: {task['status']}, locked by {task['locked_by']}")
        if done != (task["status"] == "dev_done"):
            found.append(f"task {task_id} is {task['status']} and was told done {done} times")
        if done and not ended:
            found.append(f"task {task_id} was told done, and no agent finished it")
    return found + unprovoked(ledger, home / "runs", struck) + leftovers(ledger, home)


def unprovoked(ledger: Ledger, runs: Path, struck: Collection[str]) -> list[str]:
    """Return the agents that died, and the attempts that were used up, though nobody had touched them."""
    finished, failed = ({line.run for line in ledger.lines(event)} for event in ("end", "failed"))
    begun = {line.run for line in ledger.lines("start")}
    found = [
        f"the agent of run {run} died, and nobody killed it" for run in sorted(begun - finished - failed - {*struck})
    ]
    for last in runs.glob(f"*-{MAX_ATTEMPTS}"):
        earlier = [f"{last.name.rpartition('-')[0]}-{attempt}" for attempt in range(1, MAX_ATTEMPTS)]
        found += [f"run {run} was given up, and nobody hurt it" for run in earlier if run not in failed | {*struck}]
    return found


def leftovers(ledger: Ledger, home: Path) -> list[str]:
    """Return what was left behind: lock files, agents, and whatever was started by them or for them."""
    found = [f"lock file left: {path.name}: {path.read_text()[:300]}" for path in (home / "locks").glob("*.lock")]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if any(word.startswith((bytes(ledger.directory), bytes(home))) for word in words):
                    found.append(f"process {entry.name} lives: {b' '.join(words).decode(errors='replace')}")
    return found


def repository_complaints(repository: Path) -> list[str]:
    """Return what git says of a repository that is not whole."""
    found = []
    for argv in (["worktree", "list"], ["fsck", "--connectivity-only"], ["worktree", "add", "--detach", "../probe"]):
        ended = subprocess.run(["git", *argv], cwd=repository, capture_output=True, text=True, check=False)
        if ended.returncode:
            found.append(f"git {' '.join(argv)}: {ended.stderr.strip()}")
    return found
