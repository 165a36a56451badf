"""Leaving alone for a while what did not go well here: one task, or all of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from components import policy, room
from components.room import Room
from components.states import Reason

FOR_WANT_OF_ROOM = frozenset({Reason.WORKSPACE_FAILED, Reason.HOOK_POSTPONED})
"""Ends that a disk without room may be behind."""


class LeftAlone:
    """Tasks that did not go well here, each left alone for a while that doubles every time."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def add(self, task_id: str) -> None:
        """Leave a task alone from now on, for longer than the last time."""
        self._times[task_id] = self._times.get(task_id, 0) + 1
        self._until[task_id] = time.monotonic() + policy.backoff(self._times[task_id])

    def take_back(self, task_id: str) -> None:
        """Leave a task alone no longer: what was in its way is gone."""
        self._until.pop(task_id, None)

    def ids(self) -> frozenset[str]:
        """Return the tasks that are to be left alone now."""
        now = time.monotonic()
        return frozenset(task_id for task_id, until in self._until.items() if until > now)


class Cooldown:
    """The time in which nothing is taken, as this machine was the trouble: other tasks would fare no better.

    It doubles with each trouble in a row. Where a disk may have been the trouble, it is over early when there is more
    room than there was when it began.
    """

    def __init__(self) -> None:
        self.task_id = ""
        self._times = 0
        self._until = 0.0
        self._places: Sequence[Path] = ()
        self._before = Room("", ())

    def begin(self, task_id: str, places: Sequence[Path] = ()) -> float:
        """Begin it and return how long it lasts, in seconds. `places` are those whose room may have been too little."""
        self._times += 1
        self.task_id, self._places, self._before = task_id, places, room.look(places)
        seconds = policy.backoff(self._times)
        self._until = time.monotonic() + seconds
        return seconds

    def end(self) -> None:
        """All is well: the next one is as short as the first."""
        self._times, self._until = 0, 0.0

    @property
    def is_on(self) -> bool:
        return time.monotonic() < self._until

    def ends_early(self) -> bool:
        """Look whether the disk was the trouble and is so no longer; if so, it is over, though it happened."""
        if not self._places or not room.look(self._places).is_more_than(self._before):
            return False
        self._until = 0.0
        return True
