"""Reads what somebody types at a terminal, with a time limit."""

from __future__ import annotations

import contextlib
import io
import os
import select
import termios
import time
from collections.abc import Callable
from typing import TextIO

LOOK_SECONDS = 0.25
LINE_BYTES = 4096


def descriptor(stream: TextIO | None) -> int | None:
    """Return the descriptor of a terminal that we may read from; None where there is none.

    A process in the background is stopped by the kernel when it reads from its terminal: for it there is none.
    """
    try:
        fd = stream.fileno() if stream is not None else -1
    except (OSError, ValueError, io.UnsupportedOperation):
        return None
    if fd < 0 or not os.isatty(fd):
        return None
    with contextlib.suppress(OSError):  # a terminal that does not control us stops nobody
        if os.tcgetpgrp(fd) != os.getpgrp():
            return None
    return fd


def forget_typed(fd: int) -> None:
    """Drop what was typed before: it was no answer to a question that is asked only now."""
    with contextlib.suppress(termios.error):
        termios.tcflush(fd, termios.TCIFLUSH)


def read_line(fd: int, deadline: float | None, gives_up: Callable[[], bool]) -> str | None:
    """Return one line without white space around it; None when the time is over or nobody can answer any more.

    `deadline` is in monotonic seconds. `gives_up` is looked at four times a second.
    """
    typed = b""
    while not typed.endswith(b"\n") and len(typed) < LINE_BYTES:
        left = LOOK_SECONDS if deadline is None else deadline - time.monotonic()
        if left <= 0 or gives_up():
            return None
        if not select.select([fd], [], [], min(left, LOOK_SECONDS))[0]:
            continue
        try:
            more = os.read(fd, LINE_BYTES)
        except OSError:  # the terminal hung up
            return None
        if not more:
            return None
        typed += more
    return typed.decode(errors="replace").strip()
