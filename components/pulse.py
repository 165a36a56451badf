"""The things that are due every so often while the runner waits: the heartbeat, the health check."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from components.errors import Draining

logger = logging.getLogger(__name__)


class Pulse:
    """Actions, each with its interval in seconds of monotonic time. None of them can end the runner by failing."""

    def __init__(self) -> None:
        self._beats: list[tuple[float, Callable[[], None]]] = []
        self._due: list[float] = []
        self._failed: dict[int, str] = {}

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        """Have an action done every so many seconds, for the first time after the first interval."""
        self._beats.append((seconds, action))
        self._due.append(time.monotonic() + seconds)

    def due_in(self) -> float:
        """Return how long one may rest before something is due, in seconds."""
        return max(0.0, min(self._due) - time.monotonic()) if self._due else 3600.0

    def beat(self) -> None:
        """Do what is due. What was missed, by a machine asleep for instance, is done once.

        What fails is due again after its interval, and told once for as long as it fails. Raises Draining.
        """
        for number, (seconds, action) in enumerate(self._beats):
            if time.monotonic() >= self._due[number]:
                self._due[number] = time.monotonic() + seconds
                self._do(number, action)

    def _do(self, number: int, action: Callable[[], None]) -> None:
        try:
            action()
        except Draining:
            raise
        except Exception as error:
            kind = type(error).__name__
            if self._failed.get(number) != kind:
                logger.warning("It failed, and is done again when it is due: %s", error)
                logger.debug("what is due every so often failed", exc_info=True)
            self._failed[number] = kind
        else:
            self._failed.pop(number, None)
