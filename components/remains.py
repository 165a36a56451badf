"""What executions have left in a home, and how much room that takes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from components import execution_names, typed_task
from components.short_id import SHORT

MEASURED = 100
"""Of more than so many, the sizes are estimated from so many: to measure ten thousand takes 0.4 s of CPU."""
BLOCK_BYTES = 512
GROWING = ("out", "log")
"""The file of a run, or of a typed task, that may be of any size. The others are much alike."""


class Remains(NamedTuple):
    """What an execution has left. `at` is when it changed last, in seconds since 1970; `size` is in bytes of disk."""

    short_id: str
    task_id: str
    paths: tuple[str, ...]
    at: float
    size: int = 0


def find(home: Path) -> list[Remains]:
    """Return what each execution has left: text and one `stat` of each, for there may be ten thousand."""
    found: dict[tuple[str, str], Remains] = {}
    runs, tasks = str(home / "runs"), str(home / typed_task.DIRECTORY)
    for name in execution_names.names(home / "runs"):
        if parts := execution_names.parts_of(name):
            _add(found, parts[1], parts[0], f"{runs}/{name}")
    for claim in typed_task.claims(home):
        short, path = claim[:SHORT], f"{tasks}/{claim}"
        known = found.get((short, f"t{short}"))
        if known is None:
            _add(found, short, f"t{short}", path)
        else:  # it was over moments after its last run
            found[short, f"t{short}"] = known._replace(paths=(*known.paths, path))
    return list(found.values())


def _add(found: dict[tuple[str, str], Remains], short: str, task: str, path: str) -> None:
    try:
        at = os.stat(path).st_mtime  # noqa: PTH116
    except OSError:
        return
    known = found.get((short, task))
    paths, newest = ((*known.paths, path), max(at, known.at)) if known else ((path,), at)
    found[short, task] = Remains(short, task, paths, newest)


def measured(one: Remains) -> Remains:
    """Return the same with its size."""
    return one._replace(size=sum(_size(path) for path in one.paths))


def sized(many: Sequence[Remains]) -> tuple[list[Remains], bool]:
    """Return the same with their sizes, and whether they are exact.

    Of many, only the file that grows is looked at, and the rest is taken to be as much as it is in a sample.
    """
    if len(many) <= MEASURED:
        return [measured(one) for one in many], True
    sample = many[:: -(-len(many) // MEASURED)]
    rest = sum(measured(one).size - _grown(one.paths) for one in sample) / sum(len(one.paths) for one in sample)
    return [one._replace(size=_grown(one.paths) + round(rest) * len(one.paths)) for one in many], False


def is_typed(path: str) -> bool:
    """Is this the directory of a typed task, and not of a run?"""
    return path.rsplit("/", 2)[1] == typed_task.DIRECTORY


def _grown(paths: Iterable[str]) -> int:
    total = 0
    for path in paths:
        try:
            total += os.lstat(f"{path}/{GROWING[is_typed(path)]}").st_blocks
        except OSError:
            continue
    return total * BLOCK_BYTES


def _size(directory: str) -> int:
    """Return how many bytes of disk a directory takes; links are not followed."""
    total, left = 0, [directory]
    while left:
        with contextlib.suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_blocks * BLOCK_BYTES
    return total
