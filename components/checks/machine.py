"""The machine: what the runner needs of Python, of the kernel and of whatever is process 1."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from components import cgroup, process
from components.checks import Check, Finding, Installation, ok, problem, warning

PYTHON = (3, 11)
FEW_FILES = 256
PR_GET_CHILD_SUBREAPER = 37
MANY_CORPSES = 4
CORPSE_SECONDS = 2.0
"""How long a process that ended may wait for process 1: some look for their dead once a second only."""


def python(_: Installation) -> Iterator[Finding]:
    """Is this Python new enough?"""
    told = f"Python {platform.python_version()} at {sys.executable}"
    if sys.version_info < PYTHON:
        yield problem(told, f"install Python {PYTHON[0]}.{PYTHON[1]} or newer, and the runner with it")
    else:
        yield ok(told)


def proc(_: Installation) -> Iterator[Finding]:
    """Can processes be told apart, and followed to their end?"""
    try:
        process.boot_id()
        process.start_ticks(os.getpid())
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        yield problem(
            f"processes cannot be told apart: {error}",
            "mount /proc, use Linux 5.4 or newer, and allow pidfd_open in the container's seccomp profile",
        )
    else:
        yield ok("readable; processes can be followed to their end")


def subreaper(_: Installation) -> Iterator[Finding]:
    """Can the shim take in the orphans of its agent?"""
    libc, answer = ctypes.CDLL(None, use_errno=True), ctypes.c_int()
    if libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0):
        why = os.strerror(ctypes.get_errno())
        yield warning(
            f"not available ({why}); what an agent leaves behind is found by its environment only",
            "allow prctl in the container's seccomp profile",
        )
    else:
        yield ok("available: what an agent leaves behind comes to its shim")


def control_group(_: Installation) -> Iterator[Finding]:
    """Can each agent have a cgroup of its own? It is made and removed."""
    name = f"doctor-{os.getpid()}"
    made = cgroup.make(name)
    cgroup.remove(made)
    if made is None:
        yield ok("no writable cgroup v2; agents are ended one process at a time, which is slower and as thorough")
    else:
        yield ok(f"version 2 at {made.parent}: an agent is ended with all its children at one stroke")


def limits(_: Installation) -> Iterator[Finding]:
    """May enough files be open?"""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = f"{_limit(soft)} open files (at most {_limit(hard)})"
    if soft != resource.RLIM_INFINITY and soft < FEW_FILES:
        yield warning(told, f"raise it before the runner starts: ulimit -n {max(FEW_FILES, 1024)}")
    else:
        yield ok(told)


def _limit(number: int) -> str:
    return "unlimited" if number == resource.RLIM_INFINITY else str(number)


def first_process(_: Installation) -> Iterator[Finding]:
    """Does process 1 collect the orphans that end?"""
    corpses, deadline = _uncollected(), time.monotonic() + CORPSE_SECONDS
    while len(corpses) >= MANY_CORPSES and time.monotonic() < deadline:
        time.sleep(0.1)
        corpses &= _uncollected()
    if len(corpses) >= MANY_CORPSES:
        yield warning(
            f"process 1 ({_name(1)}) does not collect processes that ended: {len(corpses)} wait for it",
            "start the container with an init, such as docker run --init",
        )
    else:
        yield ok(f"{_name(1)} collects processes that ended")


def _uncollected() -> set[int]:
    """Return the children of process 1 that have ended and are still there."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return {pid for pid in pids if _state(pid) == ("Z", "1")}


def _state(pid: int) -> tuple[str, ...]:
    """Return the state and the parent of a process, () for one that is gone."""
    try:
        text = Path("/proc", str(pid), "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(text[text.rindex(")") + 2 :].split()[:2])


def _name(pid: int) -> str:
    try:
        return Path("/proc", str(pid), "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "its name cannot be read"


CHECKS = (
    Check("python", python),
    Check("processes", proc),
    Check("subreaper", subreaper),
    Check("cgroup", control_group),
    Check("limits", limits),
    Check("process 1", first_process),
)
