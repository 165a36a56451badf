"""A cgroup of its own for each agent, where this machine lets us make one: it can be killed at one stroke."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PREFIX = "agent-runner-"
MOUNTS = Path("/proc/mounts")
OWN = Path("/proc/self/cgroup")


def make(name: str) -> Path | None:
    """Make a leaf below our own cgroup (version 2) for a run, or return None where that is not possible."""
    parent = _own()
    if parent is None:
        return None
    leaf = parent / f"{PREFIX}{name}"
    with contextlib.suppress(OSError):
        leaf.mkdir(exist_ok=True)
        if os.access(leaf / "cgroup.procs", os.W_OK) and (leaf / "cgroup.kill").exists():
            return leaf
    return None


def kill(leaf: Path | None) -> None:
    """Kill all that is in a run's cgroup, if it has one."""
    if leaf is not None:
        with contextlib.suppress(OSError):
            (leaf / "cgroup.kill").write_text("1", encoding="ascii")


def remove(leaf: Path | None) -> None:
    """Remove a run's empty cgroup, if it has one."""
    if leaf is not None:
        with contextlib.suppress(OSError):
            leaf.rmdir()


def _own() -> Path | None:
    """Return the directory of our own cgroup in the version 2 hierarchy, wherever that is mounted."""
    with contextlib.suppress(OSError, StopIteration, IndexError):
        mount = next(line.split()[1] for line in MOUNTS.read_text().splitlines() if line.split()[2] == "cgroup2")
        path = next(line[3:] for line in OWN.read_text().splitlines() if line.startswith("0::"))
        return Path(mount + path.rstrip("/"))
    return None
