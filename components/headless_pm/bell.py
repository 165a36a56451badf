"""A bell that wakes every waiting poll of this server when a task may have become free."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class Bell:
    """Rung from any thread, heard in the event loop. A poll listens first and looks second, so no ring is missed."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rung = asyncio.Event()
        self.closed = threading.Event()

    def listen(self) -> asyncio.Event:
        """Return the event that the next ring sets. Called in the event loop."""
        self._loop = asyncio.get_running_loop()
        return self._rung

    def ring(self) -> None:
        """Wake whoever listens."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._strike)

    def close(self) -> None:
        """Wake everybody for the last time: the server stops."""
        self.closed.set()
        self.ring()

    def _strike(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()
