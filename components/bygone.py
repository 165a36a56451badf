"""Remembers by name what is over for good, so that nobody has to look at it again.

`<home>/bygone/runs` and `<home>/bygone/tasks` list names of those directories, one a line. They spare looks and prove
nothing else: what is in no list is looked at, so a list that is lost, or cannot be written, costs time only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from components import durable, execution_names

DIRECTORY = "bygone"
LEAST = 50
"""So many have to be new before a list is written again: until then it takes less to look at them."""


def names(home: Path, kind: str) -> frozenset[str]:
    """Return what is known to be over in a directory of the home."""
    try:
        return frozenset(os.fsdecode((home / DIRECTORY / kind).read_bytes()).split("\n"))
    except OSError:
        return frozenset()


def others(home: Path, kind: str, is_over: Callable[[str], bool]) -> list[str]:
    """Return the names in a directory of the home that are not over, in their order.

    `is_over` is asked by the path, once in a life: what it says yes to may never come to life again.
    """
    present = set(execution_names.names(home / kind))
    known = names(home, kind)
    place = os.path.join(home, kind)  # noqa: PTH118 - text: a Path for each of ten thousand takes longer than the look
    left = sorted(present - known)
    over = {name for name in left if is_over(f"{place}/{name}")}
    if len(over) >= LEAST:
        _remember(home, kind, over | (present & known))
    return [name for name in left if name not in over]


def _remember(home: Path, kind: str, over: set[str]) -> None:
    """Write a list again; whoever finds another at it, or a home that cannot be written, leaves it as it is."""
    with contextlib.suppress(OSError):
        directory = durable.make_directory(home / DIRECTORY)
        lock = durable.try_lock(directory / f"{kind}.flock")
        if lock is None:
            return
        try:
            listed = "\n".join(sorted(name for name in over if "\n" not in name))
            durable.write(directory / kind, os.fsencode(listed))
        finally:
            os.close(lock)
