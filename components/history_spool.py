"""What the history was to be told while it was away: lines of a private file, kept in order."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components import durable
from components.execution import Execution, Spend
from components.states import Door, ExecutionStatus

DIRECTORY = "spool"
"""Where in a home the files are, each with the name of its agent."""
LIMIT = 8 << 20
"""Bytes that are kept; of more the older half goes: what it told stands in journals and receipts as well."""

Event = tuple[Execution, tuple[Spend, ...], frozenset[str]]
"""Where an execution stands, what its runs have used, and the fields that are told besides those of its journal."""


def append(path: Path, events: list[Event]) -> None:
    """Keep events, durably. Raises OSError."""
    durable.make_directory(path.parent)
    content = b"".join(_line(event) for event in events)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, durable.FILE_MODE)
    try:
        os.write(fd, content)
        os.fsync(fd)
        is_full = os.fstat(fd).st_size > LIMIT
    finally:
        os.close(fd)
    if is_full:
        kept = path.read_bytes()[-LIMIT // 2 :]
        durable.write(path, kept[kept.index(b"\n") + 1 :])


def read(path: Path) -> list[Event]:
    """Return what is kept, oldest first; a torn line is left out. Raises OSError."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [event for event in map(_event, lines) if event is not None]


def keep_only(path: Path, events: list[Event]) -> None:
    """Forget all but these. Raises OSError."""
    if events:
        durable.write(path, b"".join(_line(event) for event in events))
    elif path.exists():
        durable.remove(path)


def _line(event: Event) -> bytes:
    entry, used, told = event
    data = {"execution": asdict(entry), "spend": [asdict(one) for one in used], "told": sorted(told)}
    return json.dumps(data).encode() + b"\n"


def _event(line: bytes) -> Event | None:
    try:
        data: dict[str, Any] = json.loads(line)
        return _execution(data["execution"]), tuple(Spend(**one) for one in data["spend"]), frozenset(data["told"])
    except (ValueError, LookupError, TypeError):
        return None


def _execution(data: Mapping[str, Any]) -> Execution:
    return Execution(**{**data, "door": Door(data["door"]), "status": ExecutionStatus(data["status"])})
