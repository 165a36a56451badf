"""A drill and its judge: something is done to a runner at a boundary, and what it did is told from outside.

The judge believes four witnesses, none of which is the runner: the ledger that the agents append to, the changelog of
the PM server, /proc, and the files. The agent of a drill holds a lock for life, so that the kernel itself tells when
two of them live at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from itertools import cycle, product
from pathlib import Path
from typing import Any

from components.run_directory import RunState
from tests.pm_server import PmServer
from tests.runner import Runner, git
from tests.waiting import until

FULL = os.environ.get("CHAOS") == "full"
"""Whether the whole product of boundaries and faults is wanted (`make chaos`), or the part that fits in two minutes."""

BEFORE = (
    *("after.CLAIMING", "claim.locked", "acted.CLAIMING", "after.CLAIMED", "settle.begun", "acted.CLAIMED"),
    *("after.ANNOUNCED", "acted.ANNOUNCED", "after.PREPARING", "acted.PREPARING", "after.SPAWNING"),
)
"""Boundaries that are reached before there is an agent."""
AT_WORK = ("spawn.started", "acted.SPAWNING", "after.RUNNING")
"""Boundaries that are reached while the agent works."""
AFTERWARDS = (
    *("acted.RUNNING", "after.EXITED", "report.commented", "report.moved", "acted.EXITED", "after.REPORTED"),
    *("acted.REPORTED", "after.CLEANING", "acted.CLEANING", "after.DONE"),
)
"""Boundaries that are reached when the agent has ended."""
BOUNDARIES = BEFORE + AT_WORK + AFTERWARDS

KINDS = ("major", "minor")


def cells(boundaries: Sequence[str]) -> list[tuple[str, str]]:
    """Return boundaries with kinds of tasks: all with both, or by default each with one."""
    return list(product(boundaries, KINDS) if FULL else zip(boundaries, cycle(KINDS), strict=False))


AGENT = """
import contextlib, fcntl, os, subprocess, sys, time
ledger, mode = sys.argv[1], sys.argv[2:]
sys.stdin.read()
task, attempt = os.environ["AGENT_RUNNER_TASK_ID"], os.environ["AGENT_RUNNER_ATTEMPT"]
def note(event):
    fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{event} {task} {attempt} {os.getpid()} {time.monotonic():.3f}\\n".encode())
    os.close(fd)
def say(text):
    with contextlib.suppress(OSError):
        os.write(1, text)
life = os.open(f"{ledger}.task-{task}", os.O_RDWR | os.O_CREAT)
try:
    fcntl.flock(life, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    note("overlap")
note("start")
say(b"working\\n")
while not os.path.exists(ledger + ".gate"):
    time.sleep(0.01)
with open("work.txt", "a") as work:
    work.write("work\\n")
if "commit" in mode:
    subprocess.run(["git", "add", "work.txt"], check=True)
    subprocess.run(["git", "commit", "-qm", "Do the work"], check=True)
say(b"finished\\n")
note("end")
"""

Change = tuple[str, str]
ONCE: tuple[Change, ...] = (("created", "under_work"), ("under_work", "dev_done"))
"""The transitions of a task that was done once."""


class Drill(Runner):
    """One runner with one task, its home and repository on `place`, its witnesses in `outside`."""

    def __init__(self, place: Path, outside: Path, pm: PmServer, complexity: str = "major", **env: str) -> None:
        place.mkdir(exist_ok=True)
        super().__init__(place, pm, agent_id=f"dev_{uuid.uuid4().hex[:8]}")
        self.ledger_file = outside / "ledger"
        self.log = outside / "daemon.log"
        script = outside / "agent.py"
        script.write_text(AGENT)
        self.env |= {
            "AGENT_COMMAND": f"{sys.executable} {script} {self.ledger_file} commit",
            "HEADLESS_PM_MIN_DISK_MB": "0",
            "HEADLESS_PM_MIN_INODES": "0",
            **env,
        }
        self.outside = outside
        self.is_major = complexity == "major"
        self.task = pm.api.task("Drill", complexity=complexity)

    # what is done to the runner

    def daemon(self, fault: str = "", **env: str) -> subprocess.Popen[bytes]:
        """Start a daemon that ends when there is nothing left to do, with a fault armed."""
        return self.start("--idle-timeout", "0.1", AGENT_RUNNER_FAULT=fault, **env)

    def daemon_stopped_at(self, boundary: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a daemon and return it when it has stopped (SIGSTOP) at a boundary; an agent there is at work.

        A boundary may carry the first term of a plan: `durable.renamed:2*off`.
        """
        daemon = self.daemon(f"{boundary}{'->' if ':' in boundary else ':'}1*stop->off", **env)
        until(lambda: is_stopped(daemon), f"the daemon to stop at {boundary}")
        if boundary in AT_WORK:
            until(self.starts, "the agent at work")
        return daemon

    def agent_pid(self) -> int:
        """Return the process of the agent that was started last."""
        return int([line for line in self.ledger() if line[0] == "start"][-1][3])

    def kill_agent(self) -> None:
        """SIGKILL the agent, and nothing else."""
        os.kill(self.agent_pid(), signal.SIGKILL)

    def kill_all(self, daemon: subprocess.Popen[bytes]) -> None:
        """SIGKILL the daemon, the shim and the agent, whichever of them there are, as near to at once as can be."""
        for pid in (daemon.pid, *(pid for pid in self.processes_left() if pid != daemon.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.wait()
        until(lambda: not self.processes_left(), "all to be dead")

    def finish(self, **env: str) -> None:
        """Start daemons without a fault until nothing is left to do, letting the agent end once one looks after it."""
        daemon = self.daemon(**env)
        if self.ledger() and not self.is_gate_open():
            until(lambda: self.said("Recovering previously locked task..."), "the recovery")
        self.open_gate()
        assert daemon.wait(40) == 0, self.log.read_text()

    def is_gate_open(self) -> bool:
        """Whether agents may go on."""
        return self.ledger_file.with_name("ledger.gate").exists()

    # what is judged

    def processes_left(self) -> list[int]:
        """Return the processes that name this drill's directory on their command line or in their environment."""
        mark = os.fsencode(self.outside)
        return [pid for pid, words in other_processes() if mark in words or os.fsencode(self.directory) in words]

    def changes(self) -> tuple[Change, ...]:
        """Return the transitions that are not the PM's own, as the changelog has them, oldest first."""
        rows: list[dict[str, Any]] = self.pm.api.get("/changelog", limit=1000).json()
        own = [row for row in rows if row["task_id"] == self.task["id"] and row["changed_by"] != "pm_1"]
        return tuple((row["old_status"].lower(), row["new_status"].lower()) for row in reversed(own))

    def now(self) -> dict[str, Any]:
        """Return the task as the PM has it."""
        return self.pm.api.look(self.task["id"])

    def judge(self, *runs: int) -> None:
        """Fail unless the task was done exactly once, by one of these numbers of runs, and nothing is left behind."""
        self.judge_runs(runs or (1,))
        self.judge_pm()
        self.judge_files()

    def judge_runs(self, runs: Sequence[int]) -> None:
        """The ledger and /proc: so many starts, one end, never two alive, nobody left."""
        events = [line[0] for line in self.ledger()]
        assert "overlap" not in events, self.ledger()
        assert events.count("start") in runs, self.ledger()
        assert events.count("end") == 1, self.ledger()
        assert self.ledger()[-1][2] == str(events.count("start")), "the last attempt has the number of the runs"
        until(lambda: not self.processes_left(), "the last process of the drill to be gone")

    def judge_pm(self) -> None:
        """The PM: each transition once, the lock free, one comment."""
        assert self.changes() == ONCE
        now = self.now()
        assert (now["status"], now["locked_by"]) == ("dev_done", None)
        assert len(re.findall(r"\[agent-runner [0-9a-f]{8}/", now["notes"])) == 1, now["notes"]

    def judge_files(self) -> None:
        """The files: the work once, no journal, no half-written file, the repository clean and usable."""
        assert not list((self.home / "locks").glob("*.lock*"))
        assert not [path for path in self.home.rglob("*.tmp") if path.is_file()]
        assert self.work() == "work"
        judge_repository(self.repository)

    def work(self) -> str:
        """Return what the agents made, from the branch that it belongs on."""
        if not self.is_major:
            return git(self.repository, "show", "main:work.txt")
        (branch,) = [name for name in self.branches() if name != "main"]
        return git(self.repository, "show", f"{branch}:work.txt")

    def branches(self) -> list[str]:
        """Return the branches of the repository."""
        return git(self.repository, "branch", "--format=%(refname:short)").split()

    def is_run(self, state: RunState) -> bool:
        """Whether the last run is in a state; for waiting."""
        return bool(self.runs()) and self.runs()[-1].state() is state


def judge_repository(repository: Path) -> None:
    """Fail unless a repository is whole, clean, without locks or worktrees left over, and takes a new worktree."""
    words = ["git", "fsck", "--strict", "--no-dangling", "--no-progress"]
    fsck = subprocess.run(words, cwd=repository, check=False, capture_output=True, text=True)
    assert (fsck.returncode, fsck.stderr) == (0, ""), fsck.stderr
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "worktree", "list", "--porcelain").count("worktree ") == 1
    locks = {path.name for path in (repository / ".git").rglob("*.lock")}
    assert locks <= {"agent-runner.lock", "agent-runner-checkout.lock"}, "only ours, which are never removed"
    probe = repository.parent / "probe"
    git(repository, "worktree", "add", "--detach", str(probe))
    git(repository, "worktree", "remove", str(probe))


def other_processes() -> Iterator[tuple[int, bytes]]:
    """Yield every other process that is not a zombie, with its command line and environment."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if words and state_of(int(entry.name)) != "Z":
                    yield int(entry.name), words


def state_of(pid: int) -> str:
    """Return the state of a process in the kernel's letter."""
    text = Path("/proc", str(pid), "stat").read_text(errors="replace")
    return text[text.rindex(")") + 2]


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process is stopped by SIGSTOP. One that ended never will be: an error."""
    assert process.poll() is None, f"it ended with {process.returncode} before it was stopped"
    return state_of(process.pid) == "T"


def resume(process: subprocess.Popen[bytes]) -> None:
    """Let a stopped process go on."""
    process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def mounted(where: Path, *words: str) -> Iterator[Path]:
    """Mount something for the length of a test. Raises CalledProcessError where that is not allowed."""
    where.mkdir(exist_ok=True)
    subprocess.run(["mount", *words, str(where)], check=True, capture_output=True)
    try:
        yield where
    finally:
        unmount(where)


def unmount(where: Path) -> None:
    """Take a mount away, waiting for the last process that uses it."""
    deadline = time.monotonic() + 10
    while subprocess.run(["umount", str(where)], check=False, capture_output=True).returncode:
        assert os.path.ismount(where) and time.monotonic() < deadline, f"{where} stays mounted"
        time.sleep(0.05)
