"""How many live streams may be open at once: each takes a place for as long as it is open."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator

from components.errors import TooManyTasks

MOST_FILES = 65_536


def files_allowed() -> int:
    """Have this process open as many files as this machine lets it, and return how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST_FILES if soft == resource.RLIM_INFINITY else soft
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class TooManyStreams(TooManyTasks):
    """As many live streams are open as may be."""


class Places:
    """The places for live streams. `limit` is the setting `max_streams`, `files` how many files the process may open.

    A stream costs a file, so there are no more places than there are files but for RESERVED.
    """

    RESERVED = 256
    """Files that stay for ordinary requests, the store, and the output that streams read."""

    def __init__(self, limit: int, files: int) -> None:
        self.limit = max(1, min(limit, files - self.RESERVED))
        self._setting = limit
        self.taken = 0

    def require(self) -> None:
        """Raise TooManyStreams where no place is free."""
        if self.taken >= self.limit:
            raise TooManyStreams(f"{self.taken} live streams are open, and {self._why()}; close one")

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Have a place. Raises TooManyStreams where none is free."""
        self.require()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    def _why(self) -> str:
        if self.limit == self._setting:
            return f"max_streams is {self.limit}"
        return f"this machine lets the service have no more than {self.limit} (raise `ulimit -n`)"
