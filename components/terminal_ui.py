"""Speaks to the operator, at a terminal or in a log."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from components import keyboard, log_line, task_card
from components.log_line import LogLine, duration, stamp
from components.model import Task
from components.output_stream import OutputStream
from components.redact import shorten

LEAST_VERBOSITY = {"debug": 1, "info": 0, "success": 0, "warning": -1, "error": -9}
TITLE_CHARACTERS = 400
TICK_SECONDS = 1.0
ERASE_LINE = "\r\x1b[K"


class TerminalUI:
    """Messages, the card of a task, the time that passes, and questions.

    Everything goes to one stream, standard output, errors and warnings too: a `nohup` log is read in the order in
    which things happened. A stream that is closed or full never ends the runner (OutputStream). Text is made plain
    (no terminal escapes), then `redact` takes the secrets out. Safe to call from any thread.

    `verbosity` below 0 shows warnings and errors only, below -1 errors only; above 0 also debug lines, and the fields
    of a message. `environ` is asked for NO_COLOR, FORCE_COLOR and TERM; without it there are no colours unless
    `colour` says so. With `json_lines` each line is an object: time (UTC), level, message, and the fields.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        verbosity: int = 0,
        json_lines: bool = False,
        colour: bool | None = None,
        redact: Callable[[str], str] | None = None,
        interactive: bool = False,
        stdin: TextIO | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._out = OutputStream(sys.stdout if stream is None else stream)
        self._stdin = sys.stdin if stdin is None else stdin
        self._verbosity = verbosity
        self._words = LogLine(
            redact=redact or (lambda text: text),
            json_lines=json_lines,
            has_fields=verbosity > 0,
            has_colours=_wants_colours(environ, self._out.is_terminal) if colour is None else colour,
            ascii_only=not self._out.can_show(log_line.CHARACTERS),
        )
        talks = self._out.is_terminal and not json_lines
        self._asks = interactive and talks
        self._can_erase = talks and (environ is None or environ.get("TERM") != "dumb")
        self._running: list[tuple[str, float]] = []
        self._question = ""
        self._has_bottom = False
        self._lock = threading.RLock()  # a signal's handler may speak while its own thread does

    def debug(self, message: str, /, **fields: object) -> None:
        """Say what helps to find a fault."""
        self._say("debug", message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        """Say what goes on."""
        self._say("info", message, fields)

    def success(self, message: str, /, **fields: object) -> None:
        """Say what went well."""
        self._say("success", message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        """Say what somebody should look at."""
        self._say("warning", message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        """Say what failed."""
        self._say("error", message, fields)

    def task_card(self, task: Task, *, model: str, branch: str, attempt: int, directory: Path) -> None:
        """Show which task an agent begins with, and how."""
        facts = {
            "role": task.role,
            "level": task.level,
            "complexity": task.complexity.value,
            "model": model,
            "branch": branch,
            "attempt": str(attempt),
            "directory": str(directory),
        }
        if self._words.json_lines:
            self._say("info", f"Task {task.id}: {shorten(task.title, TITLE_CHARACTERS)}", {"task": task.id, **facts})
        elif self._verbosity >= 0:
            shown = {name: self._words.one_line(value) for name, value in facts.items()}
            heading, title = self._words.one_line(f"Task {task.id}"), self._words.one_line(task.title)
            width, ascii_only = self._out.width, self._words.ascii_only
            self._write(task_card.draw(heading, title, shown, width=width, ascii_only=ascii_only) + "\n")

    @contextlib.contextmanager
    def elapsed(self, label: str) -> Iterator[None]:
        """Show how long something takes: on a terminal by a line that counts and then goes, in a log by two lines."""
        started = time.monotonic()
        if self._can_erase and self._verbosity >= 0:
            with self._counting(self._words.one_line(label), started):
                yield
            return
        self._say("info", f"{label} …", {})
        try:
            yield
        finally:
            seconds = time.monotonic() - started
            self._say("info", f"{label}: {duration(seconds)}", {"seconds": round(seconds, 3)})

    def ask(
        self,
        question: str,
        options: Sequence[str],
        default: str,
        timeout: float | None = None,
        gives_up: Callable[[], bool] = lambda: False,
    ) -> str:
        """Return the option that the operator types (its beginning suffices), or the default.

        Waits only when this UI is interactive, both ends are a terminal and we are in its foreground; then at most
        `timeout` seconds, and until `gives_up()`. An empty line, and the end of input, mean the default too.
        """
        fd = keyboard.descriptor(self._stdin) if self._asks else None
        if fd is None:
            self.info(f"{question} There is nobody to ask: {default}")
            return default
        within = "" if timeout is None else f" in {duration(timeout)}"
        text = self._words.clean(f"{question} [{'/'.join(options)}] (default{within}: {default}) ")
        deadline = None if timeout is None else time.monotonic() + timeout
        keyboard.forget_typed(fd)
        while True:
            answer = self._answer(fd, text, deadline, gives_up)
            if answer is None:
                self.info(f"No answer: {default}")
            if not answer:
                return default
            if meant := _meant(answer, options):
                return meant
            self.info(f"{answer!r} is none of {', '.join(options)}")

    def _answer(self, fd: int, text: str, deadline: float | None, gives_up: Callable[[], bool]) -> str | None:
        """Show a question and return the line that was typed."""
        answer = None
        with self._lock:
            self._question = stamp() + text
            self._write("")
        try:
            answer = keyboard.read_line(fd, deadline, gives_up)
        finally:
            with self._lock:
                self._question, self._has_bottom = "", False
                if answer is None:  # no Enter was typed that would have ended the line
                    self._out.write("\n")
        return answer

    def _say(self, level: str, message: str, fields: Mapping[str, object]) -> None:
        if self._verbosity >= LEAST_VERBOSITY[level]:
            self._write(self._words.line(level, message, fields))

    def _write(self, lines: str) -> None:
        """Write whole lines, and below them again what stands at the bottom: a question, or the time that passes."""
        with self._lock:
            bottom = self._question or (self._counted() if self._running else "")
            if self._has_bottom:
                lines = (ERASE_LINE if self._can_erase else "\n") + lines
            self._has_bottom = bool(bottom)
            self._out.write(lines + bottom)

    @contextlib.contextmanager
    def _counting(self, label: str, started: float) -> Iterator[None]:
        over = threading.Event()
        entry = (label, started)
        with self._lock:
            self._running.append(entry)
        thread = threading.Thread(target=self._tick, args=(over,), name="elapsed", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            with self._lock:
                self._running.remove(entry)
                self._write("")
            thread.join(TICK_SECONDS)

    def _tick(self, over: threading.Event) -> None:
        while not over.is_set():
            with self._lock:
                if self._running and not self._question:  # a question keeps what is typed below it
                    self._write("")
            over.wait(TICK_SECONDS)

    def _counted(self) -> str:
        """Return the counting line: of the last thing that began, when several run at once."""
        label, started = self._running[-1]
        more = f" (+{len(self._running) - 1})" if len(self._running) > 1 else ""
        passed = f" {duration(int(time.monotonic() - started))}{more}"
        room = self._out.width - 1 - len(stamp()) - len(passed)
        return stamp() + task_card.fit(label, max(0, room)) + passed


def _wants_colours(environ: Mapping[str, str] | None, is_terminal: bool) -> bool:
    """NO_COLOR comes before FORCE_COLOR, and both before TERM, as for Python itself."""
    if environ is None or environ.get("NO_COLOR"):
        return False
    forced = environ.get("FORCE_COLOR")
    return forced != "0" if forced else is_terminal and environ.get("TERM") != "dumb"


def _meant(answer: str, options: Sequence[str]) -> str | None:
    """Return the one option that an answer is the beginning of."""
    typed = answer.lower()
    found = [option for option in options if option.lower() == typed]
    found = found or [option for option in options if option.lower().startswith(typed)]
    return found[0] if len(found) == 1 else None
