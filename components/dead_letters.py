"""Reports that the source refused for good, kept until a person has seen to them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from components import durable
from components.model import Held, Task

DIRECTORY = "dead-letters"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One report that could not be delivered: what was to be set, and what the source said. `at` is UTC, ISO 8601."""

    task_id: str
    created_at: str
    title: str
    agent_id: str
    claim: str
    attempt: int
    wanted: tuple[str, ...]
    reason: str
    detail: str
    said: str
    at: str


def keep(home: Path, held: Held, wanted: tuple[str, ...], said: str) -> Path:
    """Write a report down, for good."""
    directory = durable.make_directory(home / DIRECTORY)
    letter = DeadLetter(
        task_id=held.task.id,
        created_at=held.task.created_at,
        title=held.task.title,
        agent_id=held.agent_id,
        claim=held.claim,
        attempt=held.attempt,
        wanted=wanted,
        reason=held.verdict.reason if held.verdict else "",
        detail=held.verdict.detail if held.verdict else "",
        said=said,
        at=held.updated_at,
    )
    path = directory / f"{held.task.id}-{held.claim[:8]}-{held.attempt}.json"
    durable.write(path, json.dumps(asdict(letter), indent=2, ensure_ascii=False).encode(errors="replace"))
    return path


def letters(home: Path) -> list[DeadLetter]:
    """Return all letters; a file that is none is passed over."""
    found = []
    for path in sorted((home / DIRECTORY).glob("*.json")):
        try:
            data = json.loads(path.read_bytes())
            found.append(DeadLetter(**{**data, "wanted": tuple(data["wanted"])}))
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return found


def has(home: Path, task: Task) -> bool:
    """Whether a report about this task lies here."""
    return any((letter.task_id, letter.created_at) == (task.id, task.created_at) for letter in letters(home))
