"""Agents that leave processes behind in every way that there is, and a look at what still lives of them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

EIGHT_KINDS = """
import os, subprocess, sys, time
def child(**kw):
    return subprocess.Popen(["sleep", "600"], **kw)
def forked(*acts):
    if os.fork() == 0:
        for act in acts:
            act()
        os.execvp("sleep", ["sleep", "600"])
def again():
    if os.fork():
        os._exit(0)
child()
subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
child(process_group=0)
child(start_new_session=True)
forked(again)
forked(os.setsid, again)
hidden = "import os, time; os.closerange(0, 999); os.fork() and os._exit(0); time.sleep(600)"
subprocess.Popen(["env", "-i", "setsid", sys.executable, "-I", "-S", "-c", hidden])
"""
"""Child, deaf child, own group, own session, double fork, both, without environment and descriptors; and the agent."""

HYDRA = """
import os
def head():
    while True:
        if os.fork():
            os._exit(0)
        os.setsid()
for _ in range(2):
    if os.fork() == 0:
        head()
"""
"""Two heads that fork again and again, each time into a session of their own, faster than a look at them takes."""

UNKNOWN = """
import os, sys
if "AGENT_RUNNER_COOKIE" in os.environ:
    os.execve(sys.executable, sys.orig_argv, {})
os.closerange(3, 999)
"""
"""What an agent does first of whose run nothing tells any more: no cookie in its environment, no lock of its run."""

STAY = """
open("ready", "w").close()
import time
time.sleep(600)
"""
"""What an agent does that waits to be ended, once its descendants are there."""

LEAVE = """
open("ready", "w").close()
"""


LOOKS = 20
"""How many looks must find nothing: a process that forks faster than a look takes may be missed by one."""


def living(directory: Path) -> list[int]:
    """Return the processes that work in a directory: an agent and its descendants, whatever else they changed.

    The newest first: by the time that the oldest were read, one that forks without pause has another number.
    """
    found = []
    for pid in sorted((int(entry) for entry in os.listdir("/proc") if entry.isdigit()), reverse=True):
        try:
            cwd = os.readlink(f"/proc/{pid}/cwd")
            state = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if Path(cwd).is_relative_to(directory) and state != "Z":
            found.append(pid)
    return found


def nobody_lives(directory: Path) -> bool:
    """Whether no look finds a process that works in a directory."""
    return not any(living(directory) for _ in range(LOOKS))


def end_all(directory: Path) -> None:
    """Kill whatever works in a directory, until nobody does: for the end of tests that went wrong."""
    while not nobody_lives(directory):
        for pid in living(directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
