"""The agent of the chaos tests: run by itself, it notes its life in a ledger and does what it is told.

    python -I -S -B ledger_agent.py LEDGER_DIRECTORY work LOW HIGH     works for LOW to HIGH seconds
    python -I -S -B ledger_agent.py LEDGER_DIRECTORY gate              waits until it is told how to end

A lock of the kernel's, one per task, witnesses whether two are alive at once: it is free the instant its holder is
gone. A line of the ledger: event, task, attempt, run, pid, start ticks, monotonic seconds.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

DYING = 0x4  # PF_EXITING of linux/sched.h


def main() -> None:
    directory, mode, *numbers = sys.argv[1:]
    os.read(0, 1 << 20)
    os.chdir(directory)
    hold(f"task-{os.environ['AGENT_RUNNER_TASK_ID']}.held")
    note("start")
    end(wait_at_gate() if mode == "gate" else work(*map(float, numbers)))


def work(low: float, high: float) -> str:
    """Take some time: random, and the same for nobody."""
    share = int.from_bytes(os.urandom(2)) / 0xFFFF
    time.sleep(low + share * (high - low))
    return "success"


def wait_at_gate() -> str:
    """Wait until somebody says how this agent, or every agent, is to end."""
    while True:
        for name in (f"gate-{os.getpid()}", "gate-all"):
            try:
                with open(name, encoding="ascii") as file:
                    return file.read()
            except FileNotFoundError:
                time.sleep(0.01)


def end(how: str) -> None:
    """End as told: success, failure or crash."""
    if how == "crash":
        os.kill(os.getpid(), 9)
    note("end" if how == "success" else "failed")
    sys.exit(how != "success")


def hold(name: str) -> None:
    """Hold the task's lock for life; one that is held by somebody who is not about to die is an overlap."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if is_living(os.pread(fd, 100, 0).split()):
            note("overlap")
            return
        fcntl.flock(fd, fcntl.LOCK_EX)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()} {start_ticks(os.getpid())}".encode(), 0)


def is_living(holder: list[bytes]) -> bool:
    """Tell whether the holder is alive and not on its way out; one that has not named itself yet is."""
    try:
        pid, ticks = map(int, holder)
        fields = stat(pid)
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return int(fields[19]) == ticks and fields[0] not in ("Z", "X") and not int(fields[6]) & DYING


def note(event: str) -> None:
    """Append a line to the ledger, in one write."""
    words = [os.environ[f"AGENT_RUNNER_{name}"] for name in ("TASK_ID", "ATTEMPT", "COOKIE")]
    line = f"{event} {' '.join(words)} {os.getpid()} {start_ticks(os.getpid())} {time.monotonic()}\n"
    fd = os.open("ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    os.write(fd, line.encode())
    os.close(fd)


def start_ticks(pid: int) -> int:
    """Return when a process started, in ticks since boot."""
    return int(stat(pid)[19])


def stat(pid: int) -> list[str]:
    """Return the fields of a process's stat from the state on."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        text = file.read()
    return text[text.rindex(")") + 2 :].split()


if __name__ == "__main__":
    main()
