"""Tells whether this machine and the runner's lock files look well.

Reads the payload of the moment `health_check` (JSON) on stdin; prints one line, `healthy (...)` or `degraded: ...`.
Exit code 0: healthy; 1: degraded. Writes nothing. Uses psutil where it is installed, and stands alone: copy it where
you like and change it.

    HEADLESS_PM_MAX_LOAD=4           degraded, with more processes per core that want to run (mean of 5 minutes)
    HEADLESS_PM_MIN_MEMORY_MB=256    degraded, with less available
    HEADLESS_PM_MIN_DISK_MB=1024     degraded, with less free on the file system of the repository or the runner's home
    HEADLESS_PM_MAX_LOCK_HOURS=24    degraded, when a task has been in hand longer without a step forward
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

try:
    import psutil
except ImportError:
    psutil = None  # type: ignore[assignment]

HEALTHY, DEGRADED = 0, 1
MEGABYTE = 1 << 20


class Unclear(Exception):
    """What was given cannot be understood; the text says what to correct."""


def main() -> int:
    try:
        payload = read_payload()
        found = [look_at_load(), look_at_memory(), *look_at_disks(payload), look_at_locks(payload)]
    except Unclear as unclear:
        print(f"degraded: {unclear}")
        return DEGRADED
    faults = [text for is_fault, text in found if is_fault]
    if faults:
        print(f"degraded: {'; '.join(faults)}")
        return DEGRADED
    print(f"healthy ({', '.join(text for _, text in found)})")
    return HEALTHY


def read_payload() -> dict[str, Any]:
    try:
        payload: dict[str, Any] = json.loads(sys.stdin.buffer.read())
        if not {"repository", "home", "locks_directory"} <= payload.keys():
            raise ValueError("`repository`, `home` or `locks_directory` is missing")
    except (ValueError, AttributeError) as error:
        raise Unclear(f"stdin is not the JSON of a health_check moment ({error}); see docs/hooks.md") from error
    return payload


def setting(name: str, default: float) -> float:
    text = os.environ.get(name, "").strip()
    try:
        return float(text) if text else default
    except ValueError:
        raise Unclear(f"{name}: {text!r} is not a number; set it to one, such as {default:g}") from None


def look_at_load() -> tuple[bool, str]:
    cores = (psutil.cpu_count() if psutil else os.cpu_count()) or 1
    load = os.getloadavg()[1] / cores
    most = setting("HEADLESS_PM_MAX_LOAD", 4)
    return load > most, f"load {load:.2f} per core" + (f", more than {most:g}" if load > most else "")


def look_at_memory() -> tuple[bool, str]:
    available = (psutil.virtual_memory().available if psutil else memory()) // MEGABYTE
    least = setting("HEADLESS_PM_MIN_MEMORY_MB", 256)
    short = available < least
    return short, f"{available} MB of memory available" + (f", less than {least:g} MB" if short else "")


def memory() -> int:
    """Return the bytes that can be had without swapping, where there is no psutil to ask."""
    words = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return next(int(word[1]) * 1024 for word in words if word[0] == "MemAvailable:")


def look_at_disks(payload: dict[str, Any]) -> list[tuple[bool, str]]:
    least = setting("HEADLESS_PM_MIN_DISK_MB", 1024)
    found = []
    for name in ("repository", "home"):
        path = Path(payload[name])
        place = next((place for place in (path, *path.parents) if place.exists()), Path("/"))
        free = shutil.disk_usage(place).free // MEGABYTE
        short = free < least
        found.append((short, f"{free} MB of disk free for the {name}" + (f", less than {least:g} MB" if short else "")))
    return found


def look_at_locks(payload: dict[str, Any]) -> tuple[bool, str]:
    """Look at the age of the lock files: each is written when its task goes a step forward."""
    hours = setting("HEADLESS_PM_MAX_LOCK_HOURS", 24)
    ages = sorted(((age(path), path.name) for path in Path(payload["locks_directory"]).glob("*.lock")), reverse=True)
    if not ages:
        return False, "no lock files"
    oldest, name = ages[0]
    if oldest <= hours * 3600:
        return False, f"oldest lock file {oldest / 60:.0f} min"
    stale = sum(seconds > hours * 3600 for seconds, _ in ages)
    return True, f"{stale} lock files older than {hours:g} h, oldest {name} with {oldest / 3600:.1f} h"


def age(path: Path) -> float:
    """Return the seconds since a file was written; 0 for one that has just been removed, or is of the future."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
