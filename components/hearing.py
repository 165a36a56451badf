"""Hears what a run prints while it grows, from the beginning on, in memory that does not grow with it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from components import execution_log
from components.errors import NotFound
from components.ports import HearsMany, Listener

LOOK_SECONDS = 0.1
"""How long one look may take: signals and the claim wait for it."""


class Hearing:
    """Reads one file of lines into a listener, from where it was. Of a line over LINE_BYTES the beginning is heard."""

    def __init__(self, path: Path, listener: Listener) -> None:
        self.listener = listener
        self.is_behind = False
        self._path = path
        self._offset = 0
        self._heard = 0
        self._torn = bytearray()
        self._hear_many = listener.hear_many if isinstance(listener, HearsMany) else self._one_by_one

    @property
    def unheard(self) -> int:
        """How many bytes were read that make no line yet."""
        return self._offset - self._heard

    def look(self, seconds: float = LOOK_SECONDS) -> bool:
        """Hear what has been printed since the last look, for so long at most; True when there is more.

        A file that is not there says nothing; one that was cut off is heard from its beginning.
        """
        deadline = time.monotonic() + seconds
        self.is_behind = False
        with contextlib.suppress(NotFound, FileNotFoundError):
            if self._path.lstat().st_size < self._offset:
                self._offset = self._heard = 0
                self._torn.clear()
            pieces = execution_log.follow(self._path, self._offset, wait=lambda _: None, ended=lambda: True)
            with contextlib.closing(pieces):  # type: ignore[type-var]
                for _, piece in pieces:
                    self._hear(piece)
                    if time.monotonic() >= deadline:
                        self.is_behind = True
                        break
        return self.is_behind

    def finish(self) -> None:
        """Hear the last line too, which is torn: the run is over."""
        if self._torn:
            self.listener.hear(bytes(self._torn))
            self._torn.clear()

    def _hear(self, piece: bytes) -> None:
        """Hear the line that the piece completes, those that are whole in it, and keep the beginning of the next."""
        first, last = piece.find(b"\n"), piece.rfind(b"\n")
        if first >= 0:
            self._add(piece[:first])
            self.listener.hear(bytes(self._torn))
            self._torn.clear()
            self._heard = self._offset + last + 1
        if first < last:
            self._hear_many(piece[first:last])
        self._add(piece[last + 1 :])
        self._offset += len(piece)

    def _one_by_one(self, lines: bytes) -> None:
        for line in lines[1:].split(b"\n"):
            self.listener.hear(line)

    def _add(self, part: bytes) -> None:
        self._torn += part[: execution_log.LINE_BYTES - len(self._torn)]
