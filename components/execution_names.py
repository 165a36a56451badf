"""What the names of files in a home tell of executions, and the journals that live."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from components import journal_format, text_file
from components.model import Held
from components.short_id import SHORT

STATE_LIMIT = 64 << 20
"""Bytes of a state file that are read."""


class KnownExecution(NamedTuple):
    """An execution as the listings tell it: `trace` is the newest path in the home that tells of it."""

    id: str
    task_id: str
    trace: str


def known(home: Path, like: str = "") -> list[KnownExecution]:
    """Return all executions, or those at least that have the letters `like` in their names, each once.

    Text only, and no more of it is taken apart than has to be: with ten thousand executions a Path for each costs more
    than all the rest.
    """
    newest: dict[tuple[str, str], tuple[int, str]] = {}
    for name in names(home / "runs"):
        if (not like or like in name.lower()) and (parts := parts_of(name)):
            *key, attempt = parts
            if attempt > newest.get((key[0], key[1]), (0, ""))[0]:
                newest[key[0], key[1]] = attempt, f"runs/{name}/spec.json"
    living = {held.claim: (held.task.id, path) for path, held in journals(home)}
    shorts = {short for _, short in newest}
    listed = [name for name in names(home / "tasks") if like in name or name[:SHORT] in shorts]
    typed = [name for name in listed if journal_format.CLAIM.fullmatch(name)]
    whole = {claim[:SHORT]: claim for claim in (*typed, *living)}
    for claim, (task_id, path) in living.items():
        newest.setdefault((task_id, claim[:SHORT]), (0, f"locks/{path.name}"))
    found = [KnownExecution(whole.pop(short, short), task_id, trace) for (task_id, short), (_, trace) in newest.items()]
    return [*found, *(KnownExecution(claim, "", f"tasks/{claim}") for claim in whole.values())]


def parts_of(name: str) -> tuple[str, str, int] | None:
    """Return the task, the 8 letters and the attempt that the name of a run directory tells."""
    parts = name.rsplit("-", 2)
    if len(parts) != 3 or len(parts[1]) != SHORT or not (parts[2].isascii() and parts[2].isdigit() and parts[0]):
        return None
    return parts[0], parts[1], int(parts[2])


def journals(home: Path) -> Iterator[tuple[Path, Held]]:
    """Yield the living journals that can be read, with their files."""
    for name in names(home / "locks"):
        if name.startswith("agent-") and name.endswith(".lock"):
            held = journal_at(home / "locks" / name)
            if held is not None:
                yield home / "locks" / name, held


def journal_at(path: Path) -> Held | None:
    """Return what a journal says, None for one that is not there or may not be believed."""
    try:
        return journal_format.parse(text_file.read(path, limit=STATE_LIMIT).text.encode())
    except (OSError, ValueError):
        return None


def names(directory: Path) -> Iterable[str]:
    """Return the names in a directory; one that is not there has none."""
    try:
        return os.listdir(directory)  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return ()
