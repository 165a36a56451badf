"""Whether another runner signs in under our agent id: the server tells only when the id was last seen."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from components import durable
from components.ports import Registration, TaskSource

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 600.0
"""Two heartbeats and some: a runner that lives has signed in within this time."""
QUIET_BEATS = 2


class Presence:
    """Signs in, and remembers in a file when the server saw us do it; another time there is another runner's.

    `is_alone` is False while another runner of our id may live: tasks of our id that nothing here tells of may be its.
    """

    def __init__(self, source: Callable[[], TaskSource], file: Path) -> None:
        self._source = source
        self._file = file
        self._ours = ""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            self._ours = file.read_text(encoding="utf-8").strip()
        self._quiet = QUIET_BEATS
        self.is_alone = False

    def sign_in(self) -> Registration:
        """Register, after a look whether we were the last who did under our id.

        Somebody else's sign-in counts until two of ours in a row found none, or it is 10 min old.
        """
        before = self._source().last_seen()
        stored = self._source().register()
        is_another = before not in ("", self._ours) and _seconds(before, stored.last_seen) < SILENCE_SECONDS
        self._quiet = 0 if is_another else self._quiet + 1
        self.is_alone = self._quiet >= QUIET_BEATS
        if stored.last_seen != self._ours:
            self._ours = stored.last_seen
            self._note()
        return stored

    def _note(self) -> None:
        """Keep it for the next start; a disk that takes nothing costs that start a little time."""
        try:
            durable.make_directory(self._file.parent)
            durable.write(self._file, self._ours.encode())
        except OSError as error:
            logger.debug("when we signed in could not be noted: %s", error)

    def look(self) -> bool:
        """Look who signed in last, and return whether we are alone."""
        if self._source().last_seen() not in ("", self._ours):
            self.doubt()
        return self.is_alone

    def doubt(self) -> None:
        """Believe that another runner of our id lives, until it has been quiet for as long as after a start."""
        self._quiet = 0
        self.is_alone = False


def _seconds(before: str, after: str) -> float:
    """Return what lies between two of the server's times; 0 where they cannot be read."""
    try:
        return (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
