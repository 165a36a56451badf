"""Reads the output files of a run while the agent appends to them."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from components.errors import NotFound

CHUNK_BYTES = 64 * 1024
LINE_BYTES = 16 * 1024 * 1024
"""Above the longest lines that agents write (about 10 MB: a tool's whole result); it bounds the memory of a reader."""

REST_SECONDS = 0.25
ERROR, ERROR_LINES, ERROR_BYTES = "Error: ", 200, 1 << 20
"""How a runner's errors begin, and in how much of the end of its log they are looked for."""


def tail(path: Path, lines: int = 50, limit_bytes: int = CHUNK_BYTES) -> list[bytes]:
    """Return the last lines without their newlines, from the last `limit_bytes` at most; the last one may be torn.

    A line whose beginning is beyond the limit is left off, but for the last one, of which the end is returned.
    Raises NotFound.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = max(0, size - limit_bytes)
        file.seek(max(0, start - 1))
        text = file.read(min(size, limit_bytes + 1))
    if start:
        before, newline, rest = text.partition(b"\n")
        text = rest if newline and rest else before[1:]
    found = text.removesuffix(b"\n").split(b"\n") if text else []
    return found[-lines:] if lines > 0 else []


def last_error(log: Path) -> str:
    """Return the last error that a runner's log tells, "" for none."""
    with contextlib.suppress(NotFound):
        rows = [row.decode(errors="replace") for row in tail(log, ERROR_LINES, ERROR_BYTES)]
        return next((row.partition(ERROR)[2].strip() for row in reversed(rows) if ERROR in row), "")
    return ""


def start_of_last(path: Path, lines: int, limit_bytes: int | None = None) -> tuple[int, int]:
    """Return where the last lines begin, and how many they are: fewer only where the file has no more.

    A last line that is torn counts. Beyond `limit_bytes` from the end nothing is looked for: what is returned then
    may lie within a line. Memory is a chunk's, whatever the lines. Raises NotFound.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        least = 0 if limit_bytes is None else max(0, size - limit_bytes)
        end = size - 1  # the newline that ends the last line begins none
        found = 0
        while lines > 0 and end > least:
            start = max(least, end - CHUNK_BYTES)
            file.seek(start)
            chunk = file.read(end - start)
            place = len(chunk)
            while (place := chunk.rfind(b"\n", 0, place)) >= 0:
                found += 1
                if found == lines:
                    return start + place + 1, found
            end = start
        return (least, found + 1) if size and lines > 0 else (size, 0)


def lines(path: Path) -> Iterator[bytes]:
    """Yield each line without its newline, the last also when it is torn.

    Of a line over LINE_BYTES the beginning is yielded and the rest skipped. Raises NotFound.
    """
    with _opened(path) as file:
        while line := file.readline(LINE_BYTES + 1):
            if line.endswith(b"\n"):
                yield line[:-1]
                continue
            yield line[:LINE_BYTES]
            while line and not line.endswith(b"\n"):
                line = file.readline(CHUNK_BYTES)


def follow(
    path: Path, offset: int = 0, *, wait: Callable[[float], object], ended: Callable[[], bool]
) -> Iterator[tuple[int, bytes]]:
    """Yield the file from `offset` on in pieces of at most CHUNK_BYTES, each with its offset, as the file grows.

    Ends when `ended()` is true and everything was read that was there at that moment. While nothing comes it rests by
    `wait(seconds)`. Raises NotFound.
    """
    with _opened(path) as file:
        file.seek(offset)
        end: int | None = None
        while end is None or offset < end:
            if end is None and ended():
                end = os.fstat(file.fileno()).st_size
            chunk = file.read(CHUNK_BYTES if end is None else max(0, min(CHUNK_BYTES, end - offset)))
            if chunk:
                yield offset, chunk
                offset += len(chunk)
            elif end is None:
                wait(REST_SECONDS)
            else:
                return


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file. The agent can replace its files: a link or a pipe in their place is not followed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound(f"log {path}: {error.strerror}; the run it belongs to may have been cleaned up") from error
    with open(fd, "rb") as file:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise NotFound(f"log {path}: it is no regular file; something has replaced it, look at it by hand")
        yield file
