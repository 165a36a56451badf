"""The kinds of value a setting may have: each reads text or a YAML value, or says why it cannot.

Text is what the environment and the command line give; a YAML value has a type already, which is taken at its word.
What cannot be read raises ValueError with a message of two halves: what is wrong; what to write instead.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from components.states import Level

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # the last: what is left of bytes that are not UTF-8
UNUSABLE = re.compile(r"[\x00\ud800-\udfff]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
YES = frozenset({"1", "true", "yes", "on"})
NO = frozenset({"0", "false", "no", "off"})
TYPE_NAMES = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}


class Kind(Protocol):
    """One kind of value."""

    @property
    def words(self) -> str:
        """Return what a value must be, to stand after "write" or "give"."""
        ...

    def from_text(self, text: str) -> object:
        """Return the value that a text means."""
        ...

    def from_yaml(self, value: object) -> object:
        """Return the value that a typed value means."""
        ...


def nearest(word: str, known: tuple[str, ...]) -> str:
    """Return "; did you mean X?" for the most similar known word, else nothing."""
    import difflib

    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _text_of(value: object) -> str:
    """Return a YAML value that must be text. Raises ValueError for any other type."""
    if isinstance(value, str):
        return value
    remedy = "write text" if isinstance(value, list | dict) or value is None else "put it in quotes"
    raise ValueError(f"{TYPE_NAMES.get(type(value), 'empty' if value is None else 'a date')}, not text; {remedy}")


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; empty means not given."""

    words: str = "text"
    pattern: re.Pattern[str] | None = None

    def from_text(self, text: str) -> str:
        if CONTROL.search(text):
            raise ValueError(f"has control characters; write {self.words}")
        if text and self.pattern and not self.pattern.fullmatch(text):
            raise ValueError(f"not allowed; write {self.words}")
        return text

    def from_yaml(self, value: object) -> str:
        return self.from_text(_text_of(value))


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words. `hints` are remedies for wrong words that people are known to try."""

    options: tuple[str, ...]
    make: Callable[[str], object] = str
    hints: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> str:
        return f"one of {', '.join(self.options)}"

    def from_text(self, text: str) -> object:
        if text in self.options:
            return self.make(text)
        raise ValueError(f"not known; write {self.words}{self.hints.get(text) or nearest(text, self.options)}")

    def from_yaml(self, value: object) -> object:
        return self.from_text(_text_of(value))


@dataclass(frozen=True, slots=True)
class Number:
    """A number within bounds, both included, in `unit` (in the plural, for people)."""

    minimum: float
    maximum: float
    unit: str = ""
    whole: bool = False

    @property
    def words(self) -> str:
        number = f"a{' whole' if self.whole else ''} number{' of ' if self.unit else ''}{self.unit}"
        return f"{number} from {self.minimum:.15g} to {self.maximum:.15g}"

    def from_text(self, text: str) -> float:
        if not NUMBER.fullmatch(text.strip()):
            raise ValueError(f"not a number; write {self.words}, without a unit")
        number = float(text)
        return self.from_yaml(int(number) if number.is_integer() else number)

    def from_yaml(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"not a number; write {self.words}, without quotes or a unit")
        if not self.minimum <= value <= self.maximum:  # also refuses nan
            raise ValueError(f"out of range; write {self.words}")
        if self.whole and value != int(value):
            raise ValueError(f"not whole; write {self.words}")
        return int(value) if self.whole else float(value)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    words: str = "true or false"

    def from_text(self, text: str) -> bool:
        word = text.strip().lower()
        if word not in YES | NO:
            raise ValueError(f"neither yes nor no; write {self.words}")
        return word in YES

    def from_yaml(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"neither yes nor no; write {self.words}, without quotes")
        return value


@dataclass(frozen=True, slots=True)
class FilePath:
    """A path as it was written; the reader makes it absolute. `must_be` is "", "file" or "directory"."""

    must_be: str = ""

    @property
    def words(self) -> str:
        return f"the path of a {self.must_be}" if self.must_be else "a path"

    def from_text(self, text: str) -> Path:
        if not text or CONTROL.search(text):
            raise ValueError(f"not a path; write {self.words}")
        if text.startswith("~") and not text.startswith("~/") and text != "~":
            raise ValueError("another user's home is not looked up; write the whole path")
        return Path(text)

    def from_yaml(self, value: object) -> Path:
        return self.from_text(_text_of(value))


def _items(value: object, words: str) -> list[str]:
    """Return a YAML list of texts. Raises ValueError that names the item that is none."""
    if not isinstance(value, list):
        raise ValueError(f"not a list; write {words}")
    for number, item in enumerate(value, 1):
        if not isinstance(item, str):
            raise ValueError(f"item {number} is not text; put it in quotes")
        if UNUSABLE.search(item):
            raise ValueError(f"item {number} has a NUL character, or bytes that are not UTF-8; take them out")
    return value


@dataclass(frozen=True, slots=True)
class Names:
    """A list of names: comma-separated in text, or a YAML list."""

    words: str = "a list such as [A, B], or A,B"
    pattern: re.Pattern[str] = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")

    def from_text(self, text: str) -> tuple[str, ...]:
        return self.from_yaml([name.strip() for name in text.split(",") if name.strip()])

    def from_yaml(self, value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            return self.from_text(value)
        names = _items(value, self.words)
        for name in names:
            if not self.pattern.fullmatch(name):
                raise ValueError(f"{name!r} is not a name; write {self.words}")
        return tuple(names)


@dataclass(frozen=True, slots=True)
class Argv:
    """A program with its arguments: quoted as in a shell (nothing is expanded), or a YAML list."""

    words: str = "a command line such as `my-agent --fast`, or a list of its words"

    def from_text(self, text: str) -> tuple[str, ...]:
        try:
            return self.from_yaml(shlex.split(text))
        except ValueError as error:
            raise ValueError(f"cannot be split into words ({error}); close every quotation") from None

    def from_yaml(self, value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            return self.from_text(value)
        words = _items(value, self.words)
        if words and not words[0].strip():
            raise ValueError("names no program; write the program first")
        return tuple(words)


@dataclass(frozen=True, slots=True)
class PerLevel:
    """A text for some or all of the levels; a level that is not named keeps what it had."""

    words: str = "a table such as {junior: sonnet, principal: opus}"

    def from_text(self, text: str) -> Mapping[str, str]:
        return self.from_yaml(dict(pair.strip().partition("=")[::2] for pair in text.split(",") if pair.strip()))

    def from_yaml(self, value: object) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise ValueError(f"not a table; write {self.words}")
        for level, text in value.items():
            Choice(tuple(Level)).from_yaml(level)
            if not isinstance(text, str) or not text.strip() or CONTROL.search(text):
                raise ValueError(f"{level} has no name of a model; write {self.words}")
        return {str(level): text for level, text in value.items()}


@dataclass(frozen=True, slots=True)
class Commands:
    """Command lines for a shell: one a line in text, or a YAML list."""

    words: str = "a list of command lines such as [make test, npm run lint], or one a line"

    def from_text(self, text: str) -> tuple[str, ...]:
        return self.from_yaml([line.strip() for line in text.splitlines() if line.strip()])

    def from_yaml(self, value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            return self.from_text(value)
        commands = _items(value, self.words)
        if not all(command.strip() for command in commands):
            raise ValueError("one of them is empty; take it out")
        return tuple(commands)


@dataclass(frozen=True, slots=True)
class Places:
    """A directory for each of some names."""

    words: str = "a table such as {shop: /srv/shop, site: ~/src/site}"

    def from_text(self, text: str) -> Mapping[str, str]:
        return self.from_yaml(dict(pair.strip().partition("=")[::2] for pair in text.split(",") if pair.strip()))

    def from_yaml(self, value: object) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise ValueError(f"not a table; write {self.words}")
        for name, path in value.items():
            if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
                raise ValueError(f"{name!r} is not a name: 1 to 64 of the characters A-Z a-z 0-9 _ . -")
            if not isinstance(path, str) or CONTROL.search(path) or not path.startswith(("/", "~/")):
                raise ValueError(f"{name} has no whole path; write one that begins with / or ~/")
        return {str(name): path for name, path in value.items()}
