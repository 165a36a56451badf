"""What is still to be told, with a thread that begins with the first entry and ends with the last."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import tenacity

logger = logging.getLogger(__name__)

Entry = TypeVar("Entry")
WAIT_SECONDS, LONGEST_WAIT = 0.5, 10.0


class Outbox(Generic[Entry]):
    """At most `length` entries, the oldest first; `deliver` is called with each, and sees to its own errors.

    `name` is the thread's, and in the log that of the entries.
    """

    def __init__(self, name: str, length: int, deliver: Callable[[Entry], None]) -> None:
        self._name = name
        self._deliver = deliver
        self._entries: collections.deque[Entry] = collections.deque(maxlen=length)
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ends = threading.Event()

    def put(self, *entries: Entry) -> None:
        """Put entries into the queue, and see that somebody works on it. Of a full one the oldest are dropped."""
        with self._turn:
            dropped = len(self._entries) + len(entries) - (self._entries.maxlen or 0)
            if dropped > 0:
                logger.warning("the queue of %s is full: the oldest (%d) are dropped", self._name, dropped)
            self._entries.extend(entries)
            if self._thread is None and not self._ends.is_set():
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Deliver what is left for at most so many seconds; what is left then is dropped, which is logged."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        self._ends.set()
        if self._entries:
            logger.warning("%d %s were not told before the end", len(self._entries), self._name)

    def trying(self, tries: int, is_passing: Callable[[BaseException], bool]) -> tenacity.Retrying:
        """Return what repeats a try whose error is passing, so often at most, and not beyond our end."""
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_passing),
            stop=tenacity.stop_after_attempt(tries) | tenacity.stop_when_event_set(self._ends),
            wait=tenacity.wait_random_exponential(WAIT_SECONDS, LONGEST_WAIT),
            sleep=tenacity.sleep_using_event(self._ends),
            reraise=True,
        )

    def _work(self) -> None:
        while True:
            with self._turn:
                if not self._entries or self._ends.is_set():
                    self._thread = None
                    return
                entry = self._entries.popleft()
            self._deliver(entry)
