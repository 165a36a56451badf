"""Killing processes that nobody collects for us: the tree below one, and what carries a cookie in its environment."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

COOKIE = "AGENT_RUNNER_COOKIE"
SWEEP_SECONDS = 15.0
QUIET_LOOKS = 20
"""How many looks in a row must find nothing: one that forks faster than a look takes may be missed by it."""


def kill_marked(child: subprocess.Popen[bytes], cookie: str) -> None:
    """Kill a child, its group and whatever carries its cookie in its environment, until none is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    sweep(cookie)


def sweep(cookie: str) -> bool:
    """Kill every process that carries a cookie in its environment; True when several looks found none."""
    deadline, quiet = time.monotonic() + SWEEP_SECONDS, 0
    while quiet < QUIET_LOOKS and time.monotonic() < deadline:
        quiet = 0 if _kill_carriers(cookie) else quiet + 1
    return quiet == QUIET_LOOKS


def _kill_carriers(cookie: str) -> int:
    """Kill, each as it is found, the processes of this machine that carry a cookie; return how many there were.

    The newest first: one that forks without pause has another number before the turn of the oldest is over.
    """
    mark, killed = f"{COOKIE}={cookie}".encode(), 0
    for pid in sorted(_numbers(), reverse=True):
        with contextlib.suppress(OSError):
            if pid != os.getpid() and mark in Path("/proc", str(pid), "environ").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    return killed


def kill_tree(root: int, handle: int) -> None:
    """Kill a process, what descends from it, and its session. `handle` is a pidfd of it: the number is its own.

    All are stopped before any is killed: what is stopped neither forks nor hands its children to another parent.
    """
    deadline = time.monotonic() + SWEEP_SECONDS
    handles = {root: os.dup(handle)}
    try:
        _send(handle, signal.SIGSTOP)
        while (found := _related(root, handles)) and time.monotonic() < deadline:
            for pid in found:
                _pin(pid, root, handles)
        for one in handles.values():
            _send(one, signal.SIGKILL)
    finally:
        for one in handles.values():
            os.close(one)


def _related(root: int, handles: dict[int, int]) -> list[int]:
    """Return the processes that belong to the tree and are not held yet."""
    return [pid for pid in _numbers() if pid not in handles and _belongs(pid, root, handles)]


def _belongs(pid: int, root: int, handles: dict[int, int]) -> bool:
    """Whether a living process has a parent in the tree, or is in the session that the root leads."""
    with contextlib.suppress(OSError, ValueError):
        text = Path("/proc", str(pid), "stat").read_text(encoding="utf-8", errors="replace")
        state, parent, _group, session = text[text.rindex(")") + 2 :].split()[:4]
        return state not in "ZX" and (int(parent) in handles or int(session) == root)
    return False


def _pin(pid: int, root: int, handles: dict[int, int]) -> None:
    """Stop a process of the tree, once a descriptor keeps its number from meaning another one."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        if _belongs(pid, root, handles):
            _send(handle, signal.SIGSTOP)
            handles[pid] = handle
        else:
            os.close(handle)


def _send(handle: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        signal.pidfd_send_signal(handle, number)


def _numbers() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
