"""Percent done and time left of what runs, from how long its like took before; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LEAST = 3
"""How many past durations it takes to say anything: from fewer the guess is worth nothing."""
MOST = 0.99
"""What runs is not done, however late it is."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How far something is. `fraction` lies between 0 and 0.99 and `seconds_left` above 0; None is not known.

    `is_late` says that it takes longer than every one before it: nobody can tell when it ends.
    """

    fraction: float | None = None
    seconds_left: float | None = None
    is_late: bool = False


UNKNOWN = Estimate()


def estimate(elapsed: float, durations: Iterable[float]) -> Estimate:
    """Return how far something is that has taken `elapsed` seconds, where its like took `durations` seconds.

    Those that were over by now say nothing about it any more: it will take as long as the middle one of the others.
    """
    past = [seconds for seconds in durations if seconds > 0]
    if len(past) < LEAST or elapsed < 0:
        return UNKNOWN
    longer = sorted(seconds for seconds in past if seconds > elapsed)
    if not longer:
        return Estimate(is_late=True)
    whole = (longer[(len(longer) - 1) // 2] + longer[len(longer) // 2]) / 2
    return Estimate(min(elapsed / whole, MOST), whole - elapsed)
