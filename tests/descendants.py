"""Agents that leave processes behind in every way that there is, and a look at what still lives of them."""

from __future__ import annotations

import os
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
import os, time
def head():
    while True:
        if os.fork():
            os._exit(0)
        os.setsid()
        time.sleep(0.002)
if os.fork() == 0:
    head()
"""
"""Forks itself again, each time in a session of its own, faster than one look at the processes takes."""

STAY = """
open("ready", "w").close()
import time
time.sleep(600)
"""
"""What an agent does that waits to be ended, once its descendants are there."""

LEAVE = """
open("ready", "w").close()
"""


def living(directory: Path) -> list[int]:
    """Return the processes that work in a directory: an agent and its descendants, whatever else they changed."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                cwd = os.readlink(f"/proc/{entry}/cwd")
                state = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if Path(cwd).is_relative_to(directory) and state != "Z":
                found.append(int(entry))
    return found
