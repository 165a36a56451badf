"""The things that are due every so often while the runner waits: the heartbeat, the health check."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pulse:
    """Actions, each with its interval in seconds of monotonic time."""

    def __init__(self) -> None:
        self._beats: list[tuple[float, Callable[[], None]]] = []
        self._due: list[float] = []

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        """Have an action done every so many seconds, for the first time after the first interval."""
        self._beats.append((seconds, action))
        self._due.append(time.monotonic() + seconds)

    def due_in(self) -> float:
        """Return how long one may rest before something is due, in seconds."""
        return max(0.0, min(self._due) - time.monotonic()) if self._due else 3600.0

    def beat(self) -> None:
        """Do what is due. What was missed, by a machine asleep for instance, is done once."""
        for number, (seconds, action) in enumerate(self._beats):
            if time.monotonic() >= self._due[number]:
                self._due[number] = time.monotonic() + seconds
                action()
