"""The end of a run, noticed through a handle on its process."""

from __future__ import annotations

import os
import select

from components import process
from components.run_directory import RunDirectory


class RunEnd:
    """Tells without any cost that a run cannot be over yet: its process lives."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self.fd: int | None = None

    def may_have_come(self) -> bool:
        if self.fd is None:
            self.fd = process.end_of(self._run)
        if self.fd is None:
            return True
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        if not poller.poll(0):
            return False
        self.close()  # while something else of the run lives, it is looked for again
        return True

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
