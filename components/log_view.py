"""Turns what an agent prints, line by line, into lines that a person reads."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from components.redact import plain, shorten
from components.task_card import cells, fit

SAID_CHARACTERS = 20_000
LINE_CHARACTERS = 2_000
WINDOW = 65_536
"""Characters of a text, from its beginning and from its end, that are looked at: a result may have ten million."""
WHOLE_ROWS = 3
"""A result with more lines than these is told by its first line, their number, and its last line."""
LEAST_ROOM = 20
KEY_ROWS = 200
"""A private key of 16,384 bits has as many lines."""
KEY_BEGINS, KEY_ENDS = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"), re.compile(r"-----END [A-Z ]{0,40}")


class Kind(StrEnum):
    """What a readable line is."""

    ATTEMPT = "attempt"
    SAID = "said"
    THOUGHT = "thought"
    TOLD = "told"
    TOOL = "tool"
    RESULT = "result"
    FAILURE = "failure"
    NOTICE = "notice"
    WARNING = "warning"
    DONE = "done"
    FAILED = "failed"
    TEXT = "text"
    STDERR = "stderr"
    OVER = "over"


COLOURS: Mapping[Kind, str] = {
    Kind.FAILURE: "red",
    Kind.WARNING: "yellow",
    Kind.DONE: "green",
    Kind.FAILED: "red",
}
SIGNS: Mapping[Kind, str] = {
    Kind.ATTEMPT: "== ",
    Kind.SAID: "agent: ",
    Kind.THOUGHT: "thinks: ",
    Kind.TOLD: "told: ",
    Kind.TOOL: "  > ",
    Kind.RESULT: "    ",
    Kind.FAILURE: "    ! ",
    Kind.NOTICE: "-- ",
    Kind.WARNING: "!! ",
    Kind.DONE: "== ",
    Kind.FAILED: "== ",
    Kind.STDERR: "stderr: ",
    Kind.OVER: "== ",
}
FOLDED = frozenset({Kind.SAID, Kind.THOUGHT, Kind.TEXT, Kind.STDERR, Kind.WARNING, Kind.FAILED, Kind.OVER})
"""What is folded where a line is too short for it; all else is cut."""
ABRIDGED = frozenset({Kind.RESULT, Kind.FAILURE, Kind.TOLD})
FREE = frozenset({Kind.SAID, Kind.THOUGHT})
"""What may have as many lines as it likes."""


@dataclass(frozen=True, slots=True)
class Line:
    """One readable line. `is_more` says that it goes on with what the line before it began.

    `depth` is 0 for the agent itself and more for what its subagents do. `time` is the agent's own word of when, ISO
    8601, mostly "". `attempt` is 0 where it belongs to none.
    """

    kind: Kind
    text: str
    depth: int = 0
    time: str = ""
    attempt: int = 0
    is_more: bool = False

    @property
    def sign(self) -> str:
        """What the line begins with, which tells whose it is."""
        sign = SIGNS.get(self.kind, "")
        if self.depth and self.kind is Kind.SAID:
            sign = "subagent: "
        return "    " * self.depth + (" " * len(sign) if self.is_more else sign)


class Dialect(Protocol):
    """Understands the messages of one kind of agent."""

    def knows(self, message: Mapping[str, Any]) -> bool:
        """Is this a message of this kind of agent?"""
        ...

    def hear(self, message: Mapping[str, Any]) -> Iterator[Line]:
        """Yield what a message says, whole: in any number of characters and lines, with whatever is in it."""
        ...


class LogView:
    """Reads one stream of one run. Text is made plain, secrets are taken out, then it is shortened.

    Whatever a line is, something readable comes of it or nothing; no line raises.
    """

    def __init__(self, dialects: Iterable[Dialect], redact: Callable[[str], str], *, is_verbose: bool = False) -> None:
        self._dialects = tuple(dialects)
        self._redact = redact
        self._is_verbose = is_verbose
        self._key_rows = 0
        self._has_messages = False

    def lines(self, line: bytes) -> Iterator[Line]:
        """Yield what one line of output says, given without its newline."""
        message = _message(line) if line.lstrip()[:1] == b"{" else None
        dialect = next((one for one in self._dialects if message is not None and one.knows(message)), None)
        if dialect is not None and message is not None:
            self._has_messages = True
            yield from self._shaped(dialect.hear(message))
        elif message is None and self._has_messages and line.startswith(b'{"'):
            yield Line(Kind.NOTICE, f"a message that is torn or cannot be read ({len(line):,} bytes)")
        else:
            yield from self.text(line, Kind.TEXT)

    def text(self, line: bytes, kind: Kind) -> Iterator[Line]:
        """Yield one line of plain text; a private key that comes line by line is left out."""
        shown = line[: 4 * WINDOW].decode(errors="replace").rstrip("\r\n").rpartition("\r")[2]
        ends = KEY_ENDS.search(shown) is not None
        if self._key_rows:
            self._key_rows = 0 if ends else self._key_rows - 1
            return
        self._key_rows = KEY_ROWS if KEY_BEGINS.search(shown) and not ends else 0
        yield from self._shaped([Line(kind, shown)])

    def own(self, line: Line) -> Iterator[Line]:
        """Yield a line of ours as it may be shown: it quotes what others said."""
        return self._shaped([line])

    def _shaped(self, said: Iterable[Line]) -> Iterator[Line]:
        for line in said:
            if line.kind is Kind.THOUGHT and not self._is_verbose:
                continue
            for number, row in enumerate(self._rows(line)):
                yield replace(line, text=row, is_more=number > 0)

    def _rows(self, line: Line) -> list[str]:
        if line.kind in ABRIDGED:
            return self._abridged(line.text)
        if line.kind in FREE:
            text = shorten(self._clean(line.text[: 4 * SAID_CHARACTERS]), SAID_CHARACTERS)
            return [shorten(row.rstrip(), LINE_CHARACTERS) for row in text.strip("\n").split("\n")] if text else []
        text = self._clean(line.text[:WINDOW])
        if line.kind not in (Kind.TEXT, Kind.STDERR):
            text = " ".join(text.split())
        return [shorten(text.rstrip(), LINE_CHARACTERS)]

    def _abridged(self, text: str) -> list[str]:
        first = _rows_of(self._clean(text[:WINDOW]))
        last = first if len(text) <= WINDOW else _rows_of(self._clean(text[-WINDOW:]))
        count = len(first) if len(text) <= WINDOW else text.count("\n") + 1
        if count <= WHOLE_ROWS and len(text) <= WINDOW:
            return first
        more = f"... {count - 2:,} more lines" if count > WHOLE_ROWS else "..."
        return [*first[:1], more, *last[-1:]]

    def _clean(self, text: str) -> str:
        return self._redact(plain(text)).expandtabs(4)


def rows(line: Line, width: int | None = None) -> list[str]:
    """Return a line as it is shown: in a pipe as one row, on a terminal in rows of at most `width` columns."""
    room = None if width is None else max(width - cells(line.sign), LEAST_ROOM)
    if room is None or cells(line.text) <= room:
        return [(line.sign + line.text).rstrip()]
    if line.kind not in FOLDED:
        return [line.sign + fit(line.text, room - 3).rstrip() + "..."]
    blank = " " * len(line.sign)
    folded = [part for row in _wrapped(line.text, room) for part in _fitted(row, room)]
    return [((line.sign if number == 0 else blank) + row).rstrip() for number, row in enumerate(folded)]


def _wrapped(text: str, room: int) -> list[str]:
    indent = text[: len(text) - len(text.lstrip())][: room // 2]
    return textwrap.wrap(text, room, subsequent_indent=indent, break_on_hyphens=False) or [""]


def _fitted(row: str, room: int) -> Iterator[str]:
    """Yield a row in parts that fit: characters of two columns make it longer than it counts."""
    while cells(row) > room:
        part = fit(row, room)
        yield part
        row = row[len(part) :]
    yield row


def _rows_of(text: str) -> list[str]:
    found = [shorten(" ".join(row.split()), LINE_CHARACTERS) for row in text.split("\n")]
    return [row for row in found if row]


def _message(line: bytes) -> Mapping[str, Any] | None:
    """Return the JSON object of a line, None for what is none."""
    try:
        message = json.loads(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
