"""Whether places on the disk take a write, before work is begun that would need it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 3.0
"""How often to look whether a disk that took nothing takes something again."""
PROBE_BYTES = 1 << 16
"""The least that a place must take: a journal, a run's directory and the files of a worktree's entry are smaller."""
FEW_INODES = 16
GROWTH = 1.1
"""What has become more by this factor may be enough now; a disk that others write on goes up and down by less."""


@dataclass(frozen=True, slots=True)
class Room:
    """What is free at some places, in their order; `refusal` says why one of them takes nothing, or is ""."""

    refusal: str
    free: tuple[tuple[int, int], ...]
    """Bytes and inodes."""

    def is_more_than(self, before: Room) -> bool:
        """Is a trouble that was met with what was free before likely to be over?"""
        if self.refusal:
            return False
        return bool(before.refusal) or any(map(_has_grown, before.free, self.free))


def look(places: Sequence[Path]) -> Room:
    """Look at places; those that are not there do not count."""
    there = [place for place in places if place.is_dir()]
    return Room(next(filter(None, map(refusal, there)), ""), tuple(map(_free, there)))


def refusal(place: Path) -> str:
    """Return why a directory takes nothing, or "".

    It is tried with a file that has no name, so that nothing is ever left of it: quotas, inodes, a mount that has
    become read-only and rights count as well as room.
    """
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(bytes(PROBE_BYTES))
    except OSError as error:
        return f"{place} takes no file ({error.strerror or error})"
    return ""


def _free(place: Path) -> tuple[int, int]:
    try:
        seen = os.statvfs(place)
    except OSError:
        return 0, 0
    return seen.f_bavail * seen.f_frsize, seen.f_favail


def _has_grown(before: tuple[int, int], now: tuple[int, int]) -> bool:
    return now[0] >= GROWTH * before[0] + PROBE_BYTES or now[1] >= GROWTH * before[1] + FEW_INODES
