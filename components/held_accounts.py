"""The accounts of a model's service that are on hold now, as their files tell it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components import execution_names, policy

DIRECTORY = "accounts"


@dataclass(frozen=True, slots=True)
class HeldAccount:
    """An account on hold: `until` in seconds since 1970, why, and the agent that met the limit last.

    `account` is a digest of the credentials: it tells one account from another, and nothing else.
    """

    account: str
    until: float
    reason: str
    agent_id: str
    path: str


def find(home: Path) -> Iterator[HeldAccount]:
    """Yield the holds that are in force; one that is over, or cannot be read, holds nobody."""
    now = time.time()
    for name in sorted(execution_names.names(home / DIRECTORY)):
        path = home / DIRECTORY / name
        if path.suffix != ".json":
            continue
        try:
            data = json.loads(path.read_bytes())
            held = HeldAccount(path.stem, float(data["until"]), str(data["reason"]), str(data["agent_id"]), str(path))
        except (OSError, ValueError, LookupError, TypeError):
            continue
        if now < held.until <= now + policy.LONGEST_WAIT_SECONDS:
            yield held
