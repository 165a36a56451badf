"""A view that is drawn again and again, until somebody types q or Ctrl-C, or nobody reads it any more."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterable, Iterator

from components.cli.output import Line, show_all, styled
from components.task_card import fit

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, END_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def run(draw: Callable[[], Iterable[Line]], seconds: float) -> None:
    """Draw every so many seconds: on a terminal in place, in a pipe one picture after another.

    Ctrl-C ends it, which is no error. Raises BrokenPipeError when nobody reads the pipe any more.
    """
    with contextlib.suppress(KeyboardInterrupt):
        if not sys.stdout.isatty():
            _run_in_pipe(draw, seconds)
            return
        with _screen(), _keys() as keys:
            while True:
                _paint(list(draw()))
                if _is_ended(keys, seconds):
                    return


def _run_in_pipe(draw: Callable[[], Iterable[Line]], seconds: float) -> None:
    while True:
        show_all(draw())
        sys.stdout.write("\n")
        sys.stdout.flush()
        poller = select.poll()
        poller.register(sys.stdout.fileno(), 0)  # errors are always told
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poller.poll(seconds * 1000)):
            raise BrokenPipeError


def _paint(lines: list[Line]) -> None:
    """Write a picture in one go, cut to the screen: a line that wrapped would push the others out of it."""
    columns, height = shutil.get_terminal_size()
    shown = lines if len(lines) <= height else [*lines[: height - 1], Line(f"... {len(lines) - height + 1} more lines")]
    text = f"{END_OF_LINE}\r\n".join(styled(line._replace(text=fit(line.text, columns))) for line in shown)
    sys.stdout.write(HOME + text + END_OF_LINE + REST_OF_SCREEN)
    sys.stdout.flush()


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """The other screen of the terminal: what was there before is there again afterwards."""
    sys.stdout.write(ENTER)
    try:
        yield
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()


@contextlib.contextmanager
def _keys() -> Iterator[int | None]:
    """Single keys of the terminal, None where there is none to type at."""
    fd = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    if fd is None:
        yield None
        return
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _is_ended(keys: int | None, seconds: float) -> bool:
    """Rest; True as soon as somebody typed q, or hung up."""
    if keys is None:
        time.sleep(seconds)
        return False
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([keys], [], [], left)[0] and os.read(keys, 1) in (b"q", b"Q", b"\x1b", b""):
            return True
    return False
