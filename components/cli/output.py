"""Lines on standard output: a table, a fold, a colour, each only where it is of use."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import click

from components.pm_wire import one_line
from components.task_card import cells, fit

GAP = "  "
TEXT_LIMIT = 500
SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
LAST_COLUMN = 8
"""Columns that the last cell of a row has at least, also where the line then gets too long."""


def show(line: str = "", colour: str = "", *, bold: bool = False) -> None:
    """Print a line: coloured on a terminal unless NO_COLOR is set; what the encoding lacks is spelt out."""
    click.echo(styled(Line(line, colour, bold)))


class Line(NamedTuple):
    """A line that is not shown yet."""

    text: str = ""
    colour: str = ""
    bold: bool = False


def show_all(lines: Iterable[Line]) -> None:
    """Print lines."""
    for line in lines:
        show(line.text, line.colour, bold=line.bold)


def styled(line: Line) -> str:
    """Return a line as it is written to where standard output leads."""
    text = line.text
    if (line.colour or line.bold) and has_colours():
        text = click.style(text, fg=line.colour or None, bold=line.bold or None)
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def has_colours() -> bool:
    """Whether colours may be used: on a terminal unless NO_COLOR is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Return the columns of the terminal; in a pipe lines have no end, as programs read them."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines with columns as wide as their widest cell; the last one is cut to fit the line."""
    clean = [[one_line(cell, TEXT_LIMIT) for cell in row] for row in rows]
    widths = [max(cells(row[column]) for row in clean) for column in range(len(clean[0]) - 1)]
    room = max(width() - sum(widths) - len(GAP) * len(widths), LAST_COLUMN)
    for row in clean:
        padded = [cell + " " * (size - cells(cell)) for cell, size in zip(row, widths, strict=False)]
        yield GAP.join([*padded, _cut(row[-1], room)]).rstrip()


def told_columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return a table, its heading first, without columns that no row tells anything in: the last one needs room."""
    told = [column for column in range(len(rows[0])) if any(row[column] != "-" for row in rows[1:])]
    return [[row[column] for column in told] for row in rows]


def folded(text: str, first: str = "", rest: str = "") -> list[str]:
    """Return a text as lines that fit a terminal, or as one line in a pipe."""
    text = one_line(text, 20 * TEXT_LIMIT)
    return textwrap.wrap(
        text,
        max(width(), 40),
        initial_indent=first,
        subsequent_indent=rest or " " * len(first),
        break_on_hyphens=False,
        break_long_words=False,
    )


def age(then: str) -> str:
    """Return how long ago a time (ISO 8601) was, in its largest unit, or "-" for none."""
    try:
        moment = datetime.fromisoformat(then)
    except ValueError:
        return "-"
    return span(max(0.0, (datetime.now(UTC) - moment.astimezone(UTC)).total_seconds()))


def span(seconds: float) -> str:
    """Return how long something takes in its largest unit: `45 s`, `3 min`, `2 h`."""
    size, unit = next((one for one in SPANS if seconds >= one[0]), SPANS[-1])
    return f"{int(seconds // size)} {unit}"


def usd(amount: float, *, is_whole: bool = True) -> str:
    """Return money: to the cent, smaller amounts closer; "-" for nothing, with a + where it is at least that much."""
    if amount <= 0:
        return "-"
    digits = 2 if amount >= 0.1 else 4
    return f"${amount:.{digits}f}{'' if is_whole else '+'}"


def known_usd(amount: float) -> float | None:
    """Return money for programs: None where no agent has told any, which is not the same as nothing."""
    return amount if amount > 0 else None


def short(text: str, columns: int) -> str:
    """Return a text that takes at most so many columns; a dot at its end says that it was cut."""
    return text if cells(text) <= columns else fit(text, columns - 1) + "."


def _cut(text: str, room: int) -> str:
    return text if cells(text) <= room else fit(text, room - 3).rstrip() + "..."
