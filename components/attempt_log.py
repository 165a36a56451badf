"""The output of one attempt, read bit by bit into readable lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from components import execution_log, execution_names
from components.errors import NotFound
from components.execution_log import LINE_BYTES
from components.log_view import Kind, Line, LogView
from components.model import Held, Verdict
from components.run_directory import JOURNAL, RunDirectory

ERROR_ROWS = 10
"""How many of the last lines of the error output are shown beside the output, where the end of both is wanted."""


class Growing:
    """One file, read from an offset on, and further as it grows. One that is not there (yet) has nothing."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset

    def pieces(self) -> Iterator[bytes]:
        """Yield what is there at this moment and was not yielded before. Raises NotFound for what is no file."""
        try:
            for offset, piece in execution_log.follow(self.path, self.offset, wait=_never, ended=_always):
                self.offset = offset + len(piece)
                yield piece
        except NotFound:
            if os.path.lexists(self.path):
                raise


class AttemptLog:
    """The readable log of one attempt, from the beginning or from its last so many lines of output on.

    `opening` and `ending` say what they have to say once, whoever asks again. `is_whole` says that it begins with the
    beginning, `is_at_limit` that it does not for `limit_bytes`.
    """

    def __init__(
        self,
        number: int,
        run: RunDirectory,
        make_view: Callable[[], LogView],
        *,
        last: int | None = None,
        limit_bytes: int | None = None,
    ) -> None:
        self.number = number
        self.run = run
        start, size = _start(run.out, last, limit_bytes)
        rows = last if last is None or not size else min(last, ERROR_ROWS)
        error_start, error_size = _start(run.err, rows, limit_bytes)
        self.streams = (Growing(run.out, start), Growing(run.err, error_start))
        self.is_whole = start == 0
        self.is_at_limit = limit_bytes is not None and size - start >= limit_bytes
        is_cut = limit_bytes is not None and error_size - error_start >= limit_bytes
        self._splitters = (Splitter(is_torn=self.is_at_limit and start > 0), Splitter(is_torn=is_cut))
        self._views = (make_view(), make_view())
        self._is_opened = not self.is_whole

    def opening(self, before: Verdict | None = None, entry: Held | None = None) -> Iterator[Line]:
        """Yield how the attempt before ended, and what this one is about.

        `entry` is the living journal: a run that begins just now has no copy of it yet.
        """
        if self._is_opened:
            return
        self._is_opened = True
        if before is not None:
            text = f"attempt {self.number - 1} {before.reason}: {before.detail}".rstrip(": ")
            yield from self._mine(self._views[0].own(Line(Kind.WARNING, text)))
        yield from self._mine(self._views[0].own(Line(Kind.ATTEMPT, self._title(entry))))

    def take(self, stream: int, piece: bytes) -> Iterator[Line]:
        """Yield the readable lines that a piece of a stream completes."""
        for line in self._splitters[stream].feed(piece):
            yield from self._mine(self._read(stream, line))

    def ending(self) -> Iterator[Line]:
        """Yield the last lines, which have no newline because the agent was ended in them."""
        for stream, splitter in enumerate(self._splitters):
            for line in splitter.rest():
                yield from self._mine(self._read(stream, line))

    def _read(self, stream: int, line: bytes) -> Iterator[Line]:
        view = self._views[stream]
        return view.lines(line) if stream == 0 else view.text(line, Kind.STDERR)

    def _mine(self, lines: Iterator[Line]) -> Iterator[Line]:
        return (replace(line, attempt=self.number) for line in lines)

    def _title(self, entry: Held | None) -> str:
        held = execution_names.journal_at(self.run.path / JOURNAL) or entry
        return f"attempt {self.number}" + (f" of task {held.task.id}: {held.task.title}" if held is not None else "")


class Splitter:
    """Cuts a stream into lines; of one over LINE_BYTES the beginning is kept. The first may be the end of a line."""

    def __init__(self, *, is_torn: bool = False) -> None:
        self._line = bytearray()
        self._is_skipping = is_torn

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the lines that a piece completes, without their newlines."""
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            self._keep(piece[start:end])
            start = end + 1
            if not self._is_skipping:
                yield bytes(self._line)
            self._line.clear()
            self._is_skipping = False
        self._keep(piece[start:])

    def rest(self) -> Iterator[bytes]:
        """Yield what is there of a line that was not completed."""
        if self._line and not self._is_skipping:
            yield bytes(self._line)
        self._line.clear()

    def _keep(self, part: bytes) -> None:
        if not self._is_skipping:
            self._line += part[: LINE_BYTES - len(self._line)]


def _start(path: Path, last: int | None, limit_bytes: int | None) -> tuple[int, int]:
    """Return where to begin in a file, and its size."""
    try:
        size = path.stat(follow_symlinks=False).st_size
        return (0 if last is None else execution_log.start_of_last(path, last, limit_bytes)[0]), size
    except (OSError, NotFound):
        return 0, 0


def _never(_seconds: float) -> None:
    """Not rest: what is there now is all that is wanted."""


def _always() -> bool:
    return True
