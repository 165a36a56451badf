"""Lines on standard output: a table, a fold, a colour, each only where it is of use."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import click

from components.log_line import duration
from components.pm_wire import one_line
from components.task_card import cells, fit

PIPE_WIDTH = 80
GAP = "  "
TEXT_LIMIT = 500
LAST_COLUMN = 8
"""Columns that the last cell of a row has at least, also where the line then gets too long."""


def show(line: str = "", colour: str = "", *, bold: bool = False) -> None:
    """Print a line: coloured on a terminal unless NO_COLOR is set; what the encoding lacks is spelt out."""
    if (colour or bold) and sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        line = click.style(line, fg=colour or None, bold=bold or None)
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(line.encode(encoding, "backslashreplace").decode(encoding))


def width() -> int:
    """Return the columns of the terminal, 80 in a pipe."""
    return shutil.get_terminal_size((PIPE_WIDTH, 24)).columns if sys.stdout.isatty() else PIPE_WIDTH


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines with columns as wide as their widest cell; the last one is cut to fit the line."""
    clean = [[one_line(cell, TEXT_LIMIT) for cell in row] for row in rows]
    widths = [max(cells(row[column]) for row in clean) for column in range(len(clean[0]) - 1)]
    room = max(width() - sum(widths) - len(GAP) * len(widths), LAST_COLUMN)
    for row in clean:
        padded = [cell + " " * (size - cells(cell)) for cell, size in zip(row, widths, strict=False)]
        yield GAP.join([*padded, _cut(row[-1], room)]).rstrip()


def folded(text: str, first: str = "", rest: str = "") -> Iterable[str]:
    """Return a text as lines that fit a terminal, or as one line in a pipe, where programs read it."""
    text = one_line(text, 20 * TEXT_LIMIT)
    if not sys.stdout.isatty():
        return [first + text]
    return textwrap.wrap(
        text,
        max(width(), 40),
        initial_indent=first,
        subsequent_indent=rest or " " * len(first),
        break_on_hyphens=False,
        break_long_words=False,
    )


def age(then: str) -> str:
    """Return how long ago a time (ISO 8601) was, or "-" for none."""
    seconds = seconds_since(then)
    return "-" if seconds is None else duration(int(seconds))


def seconds_since(then: str) -> float | None:
    """Return the seconds of wall time since a time (ISO 8601), or None for what is none."""
    try:
        moment = datetime.fromisoformat(then)
    except ValueError:
        return None
    return max(0.0, (datetime.now(UTC) - moment.astimezone(UTC)).total_seconds())


def _cut(text: str, room: int) -> str:
    return text if cells(text) <= room else fit(text, room - 3).rstrip() + "..."
