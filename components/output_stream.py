"""Writes text to a stream whose other end may be gone, full or slow, without ever failing for it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
from typing import TextIO

GONE = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO})
"""Errors of a write after which nobody will ever read again: a closed pipe, a terminal that hung up."""

PATIENCE_MILLISECONDS = 1000
"""How long a reader that has set the stream to non-blocking may keep us waiting."""

WIDTH = 80


class OutputStream:
    """A text stream that swallows what can happen to it.

    Once the reader is gone everything is dropped, also what Python flushes when it exits: the descriptor is pointed
    to /dev/null, so that the exit code stays what it was. On a full disk the text at hand is dropped and the next one
    tried again. Text goes straight to the descriptor: none is left in a buffer to fail later.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._is_torn = False
        self._fd = _descriptor(stream)
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    @property
    def is_terminal(self) -> bool:
        """Whether the stream is a terminal that is still there."""
        return self._fd is not None and os.isatty(self._fd)

    @property
    def width(self) -> int:
        """The columns of the terminal; 80 where there is none, or where it does not tell."""
        with contextlib.suppress(OSError):
            if self._fd is not None:
                return os.get_terminal_size(self._fd).columns or WIDTH
        return WIDTH

    def can_show(self, characters: str) -> bool:
        """Whether the stream's encoding has these characters."""
        try:
            characters.encode(self.encoding)
        except (UnicodeError, LookupError):
            return False
        return True

    def write(self, text: str) -> None:
        """Write the text, or drop it. One thread at a time."""
        if self._stream is None:
            return
        try:
            self._write(self._stream, text)
        except ValueError:  # closed by somebody else
            self._stream = None
        except OSError as error:
            if error.errno in GONE:
                self._let_go(points_nowhere=error.errno != errno.EBADF)

    def _write(self, stream: TextIO, text: str) -> None:
        if self._fd is None:
            stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
            stream.flush()
            return
        stream.flush()  # what others have printed comes first
        whole = (("\n" if self._is_torn else "") + text).encode(self.encoding, "backslashreplace")
        left = memoryview(whole)
        while left:
            left = left[self._write_some(self._fd, left) :]
            self._is_torn = 0 < len(left) < len(whole)

    def _write_some(self, fd: int, view: memoryview) -> int:
        try:
            return os.write(fd, view)
        except BlockingIOError:
            poller = select.poll()
            poller.register(fd, select.POLLOUT)
            if not poller.poll(PATIENCE_MILLISECONDS):
                raise
            return 0

    def _let_go(self, *, points_nowhere: bool) -> None:
        """Drop everything from now on. A descriptor that is closed may be somebody else's by now: it is left alone."""
        self._stream = None
        if self._fd is not None and points_nowhere:
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nowhere, self._fd, inheritable=os.get_inheritable(self._fd))
            os.close(nowhere)
        self._fd = None


def _descriptor(stream: TextIO | None) -> int | None:
    try:
        return stream.fileno() if stream is not None else None
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
        return None
