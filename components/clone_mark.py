"""Our mark on a clone: without it a directory is nobody's to remove."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from components import durable

FILE = "agent-runner-clone.json"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a clone is a clone of, and the execution that it was made for, "" for a shared one."""

    url: str
    claim: str = ""


def put(path: Path, mark: Mark) -> None:
    """Put our mark on a clone that is being made; the caller makes it durable."""
    durable.create(path / ".git" / FILE, json.dumps(asdict(mark)).encode())


def of(path: Path) -> Mark | None:
    """Return the mark on a directory, or None where there is none that can be read, or a link in its place."""
    try:
        if path.is_symlink() or (path / ".git").is_symlink():
            return None
        return Mark(**json.loads((path / ".git" / FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
