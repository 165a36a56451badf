"""Where the API key of the Headless PM server is found, when nobody gave the key itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from components import text_file
from components.settings import API_KEY, BY_NAME

NAMES = BY_NAME["api_key"].variables
GENERIC = "API_KEY"
EMBEDDED = "pm.key"
LINE = re.compile(r"\s*(?:export\s+)?([A-Z_]+)\s*=")


@dataclass(frozen=True, slots=True)
class Found:
    """A key with where it was; `warning` is for people, or empty."""

    key: str
    origin: str
    warning: str = ""


def in_file(path: Path) -> Found:
    """Return the key that a file of its own holds. Raises ValueError with the remedy."""
    try:
        opened = text_file.read(path, limit=8192)
    except FileNotFoundError:
        raise ValueError("there is no such file; make it, or name another") from None
    key = opened.text.strip()
    if not key:
        raise ValueError("the file is empty; write the key into it")
    if not opened.is_private:
        raise ValueError(f"other users may read this file; run: chmod 600 {shlex.quote(str(path))}")
    try:
        return Found(API_KEY.from_text(key), f"file {path}")
    except ValueError:
        raise ValueError("holds no key; write nothing but the key into it, on one line") from None


def in_home(home: Path) -> Found | None:
    """Return the key that the embedded server of this machine made for itself, or None."""
    try:
        return in_file(home / EMBEDDED)
    except ValueError:
        return None


def in_dotenv(directories: Iterable[Path], *, generic: bool) -> Found | None:
    """Return the key that the first `.env` with one holds, or None.

    `generic` admits the name API_KEY, which may be the key of some other service: only for a server on this machine.
    A file that cannot be used is passed over, as it is not ours.
    """
    names = [name for name in NAMES if generic or name != GENERIC]
    for path in dict.fromkeys(directory / ".env" for directory in directories):
        try:
            opened = text_file.read(path)
        except (FileNotFoundError, text_file.Unreadable):
            continue
        given = _variables(opened.text)
        for name in names:
            if API_KEY.pattern and API_KEY.pattern.fullmatch(given.get(name, "")):
                open_to = "" if opened.is_private else f"{path}: other users may read the API key in it; chmod 600 it"
                return Found(given[name], f"file {path} ({name})", open_to)
    return None


def _variables(text: str) -> dict[str, str]:
    """Return the key's variables of a `.env` text; a line that no shell would take is passed over."""
    found = {}
    for line in text.splitlines():
        match = LINE.match(line)
        if match and match[1] in NAMES:
            try:
                words = shlex.split(line[match.end() :], comments=True)
            except ValueError:
                continue
            found[match[1]] = words[0] if len(words) == 1 else ""
    return found
