"""When a task that no list of a server shows is believed to be gone."""

from __future__ import annotations

from collections.abc import Callable

from components.model import Task

BELIEVED_AFTER_SECONDS = 60.0
BELIEVED_AFTER_LOOKS = 3


class PmAbsence:
    """Counts the looks that missed a task: one proves nothing, as a list may be empty for a moment.

    `clock` returns seconds that only ever grow. A task without `created_at` was never seen at the server by whoever
    asks for it, so its first miss is believed.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._missed: dict[tuple[str, str], tuple[float, int]] = {}

    def is_believed(self, task: Task) -> bool:
        """Take note of one more miss, and return whether there were enough of them over a long enough time."""
        key = (task.id, task.created_at)
        since, looks = self._missed.get(key, (self._clock(), 0))
        self._missed[key] = (since, looks + 1)
        is_long_ago = self._clock() - since >= BELIEVED_AFTER_SECONDS
        return not task.created_at or (is_long_ago and looks + 1 >= BELIEVED_AFTER_LOOKS)

    def end(self, task: Task) -> None:
        """Forget the misses of a task: it was seen."""
        self._missed.pop((task.id, task.created_at), None)
