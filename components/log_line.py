"""Words a message as a line: for a person, or as JSON for a program."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from components.redact import plain, shorten

SIGNS = {"debug": "· ", "success": "✓ ", "warning": "⚠ ", "error": "✗ "}
ASCII_SIGNS = {"debug": "- ", "success": "OK: ", "warning": "WARNING: ", "error": "ERROR: "}
COLOURS = {"success": "GREEN", "warning": "YELLOW", "error": "RED"}
"""Names in colorama's Fore."""

CHARACTERS = "✓⚠✗·…╭─╮│╰╯"
"""What an encoding must have so that we need not do with ASCII."""

MESSAGE_CHARACTERS = 8000


@dataclass(frozen=True, slots=True)
class LogLine:
    """How lines are worded. Text is made plain, then `redact` takes the secrets out, then it is cut."""

    redact: Callable[[str], str]
    json_lines: bool = False
    has_fields: bool = False
    has_colours: bool = False
    ascii_only: bool = False

    def line(self, level: str, message: str, fields: Mapping[str, object]) -> str:
        """Return a message as one line with its newline; fields are shown to a person only with `has_fields`."""
        if self.json_lines:
            return self._json(level, message, fields)
        details = "".join(f" {name}={value}" for name, value in fields.items()) if self.has_fields else ""
        sign = (ASCII_SIGNS if self.ascii_only else SIGNS).get(level, "")
        # Further lines begin with blanks, so that nothing in a message can pass for a line of ours.
        text = self.clean(message + details).strip("\n").replace("\n", "\n" + " " * len(stamp()))
        return f"{stamp()}{self._painted(sign + text, level)}\n"

    def clean(self, text: str) -> str:
        """Return a text that may be shown."""
        text = shorten(self.redact(plain(text)[: 4 * MESSAGE_CHARACTERS]), MESSAGE_CHARACTERS)
        return text.replace("…", "...") if self.ascii_only else text

    def one_line(self, text: str) -> str:
        """Return a text that may be shown as one line of characters whose width can be told."""
        line = " ".join(self.clean(text).split())
        return line.encode("ascii", "replace").decode() if self.ascii_only else line

    def _json(self, level: str, message: str, fields: Mapping[str, object]) -> str:
        said = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level}
        values = {
            name: value if isinstance(value, int | float | None) else self.clean(str(value))
            for name, value in fields.items()
            if name not in ("time", "level", "message")
        }
        return json.dumps({**said, "message": self.clean(message), **values}) + "\n"

    def _painted(self, text: str, level: str) -> str:
        if not self.has_colours or level not in COLOURS:
            return text
        from colorama import Fore

        return f"{getattr(Fore, COLOURS[level])}{text}{Fore.RESET}"


def stamp() -> str:
    """Return the local time as lines begin with it."""
    return time.strftime("[%H:%M:%S] ")


def duration(seconds: float) -> str:
    """Return a length of time in words: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 9.95 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02} min" if hours else f"{minutes} min {rest:02} s"
