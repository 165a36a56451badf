"""A terminal of 80 by 24 as the program sees one: keys go in, and what was written can be waited for."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.waiting import until

ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[=>]")


class Screen:
    """A program on a terminal of its own."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, columns: int = 80, lines: int = 24
    ) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns, lines)
        given = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            argv,
            env={"TERM": "xterm-256color", **given},
            cwd=cwd,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - Ctrl-C reaches whom the terminal controls
        )
        os.close(slave)
        self.raw = ""

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Type; \\x03 is Ctrl-C."""
        os.write(self._master, keys.encode())

    @property
    def text(self) -> str:
        """All that was written, without escapes."""
        self._read()
        return ESCAPE.sub("", self.raw).replace("\r\n", "\n")

    @property
    def picture(self) -> str:
        """What a live view has drawn last."""
        self._read()
        return ESCAPE.sub("", self.raw.rpartition("\x1b[H")[2]).replace("\r\n", "\n")

    def shows(self, words: str, seconds: float = 20.0) -> None:
        """Wait until these words were written."""
        until(lambda: words in self.text, f"{words!r} on the screen", seconds)

    def code(self, seconds: float = 20.0) -> int:
        """Wait for the end of the program and return its exit code."""
        until(lambda: (self._read(), self.process.poll() is not None)[1], "the program's end", seconds)
        self._read()
        return int(self.process.returncode)

    def is_sane(self) -> bool:
        """Does the terminal echo what is typed, line by line, as before?"""
        flags = termios.tcgetattr(self._master)[3]
        return bool(flags & termios.ECHO and flags & termios.ICANON)

    def close(self) -> None:
        """End the program, and hang up."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other side is closed
            while select.select([self._master], [], [], 0)[0]:
                piece = os.read(self._master, 65536)
                if not piece:
                    return
                self.raw += piece.decode(errors="replace")
