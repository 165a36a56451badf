"""Draws the card that is shown when an agent begins with a task."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

WIDTH = 76
LABEL_WIDTH = 11
TITLE_ROWS = 2

BOX = ("╭", "─", "╮", "│", "╰", "╯", "…")
ASCII_BOX = ("+", "-", "+", "|", "+", "+", "~")


def draw(heading: str, title: str, facts: Mapping[str, str], *, width: int = WIDTH, ascii_only: bool = False) -> str:
    """Return a bordered card with a line for each fact that has a value; at most 76 columns wide, or `width`.

    Texts are one line each, without control characters. What is too long is cut: of a fact the beginning, because
    the end of a path or of a branch tells more.
    """
    left_top, line, right_top, side, left_bottom, right_bottom, sign = ASCII_BOX if ascii_only else BOX
    inner = max(min(width, WIDTH), 2 * LABEL_WIDTH) - 4
    heading = _head(heading, inner - 4, sign)
    rows = [*_wrapped(title, inner, sign)]
    for label, value in facts.items():
        if value:
            rows.append(f"{label:{LABEL_WIDTH}}{_end(value, inner - LABEL_WIDTH, sign)}")
    top = f"{left_top}{line} {heading} {line * (inner - 1 - cells(heading))}{right_top}"
    middle = [f"{side} {row}{' ' * (inner - cells(row))} {side}" for row in rows]
    return "\n".join([top, *middle, f"{left_bottom}{line * (inner + 2)}{right_bottom}"])


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(map(_cells_of, text))


def fit(text: str, width: int) -> str:
    """Return as much of the beginning of a text as takes at most `width` columns."""
    taken = 0
    for index, character in enumerate(text):
        taken += _cells_of(character)
        if taken > width:
            return text[:index]
    return text


def _cells_of(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _head(text: str, width: int, sign: str) -> str:
    return text if cells(text) <= width else fit(text, width - 1) + sign


def _end(text: str, width: int, sign: str) -> str:
    if cells(text) <= width:
        return text
    return sign + fit(text[::-1], width - 1)[::-1]


def _wrapped(text: str, width: int, sign: str) -> Iterator[str]:
    """Yield a text in at most TITLE_ROWS rows, broken at a blank where one is near the end of a row."""
    for row in range(TITLE_ROWS):
        if row == TITLE_ROWS - 1 or cells(text) <= width:
            yield _head(text, width, sign)
            return
        first = fit(text, width)
        blank = first.rfind(" ", width // 2)
        first = first[:blank] if blank > 0 else first
        yield first
        text = text[len(first) :].lstrip()
