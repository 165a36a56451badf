"""A queue of agents within one process: threads that perform what is told, so that tests need no other."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Collection
from functools import partial

from components.ports import Performer, QueueEntry


class LocalQueue:
    """Performs entries by some threads, the lowest priority first, each key once. `close` waits for those at work."""

    def __init__(self, workers: int = 4) -> None:
        self.performer: Performer | None = None
        self.told: list[QueueEntry] = []
        self.failures: list[str] = []
        self._known: set[str] = set()
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()
        self._waiting: queue.PriorityQueue[tuple[int, int, QueueEntry | None]] = queue.PriorityQueue()
        self._threads = [threading.Thread(target=self._work, name="agents") for _ in range(workers)]

    def start(self, performer: Performer) -> None:
        self.performer = performer
        for thread in self._threads:
            thread.start()

    def enqueue(self, entries: Collection[QueueEntry]) -> None:
        with self._lock:
            for entry in entries:
                if entry.key not in self._known:
                    self._known.add(entry.key)
                    self.told.append(entry)
                    self._waiting.put((entry.priority, len(self.told), entry))

    def cancel(self, key: str) -> None:
        with self._lock:
            self._cancelled.add(key)

    def close(self) -> None:
        for _ in self._threads:
            self._waiting.put((-1, 0, None))
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(30)

    def _is_cancelled(self, key: str) -> bool:
        with self._lock:
            return key in self._cancelled

    def _work(self) -> None:
        assert self.performer is not None
        while True:
            *_, entry = self._waiting.get()
            if entry is None:
                return
            if self._is_cancelled(entry.key):
                continue
            try:
                self.performer.perform(entry, partial(self._is_cancelled, entry.key))
            except Exception:
                self.failures.append(traceback.format_exc())
