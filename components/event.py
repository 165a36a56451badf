"""What people may be told of, and how it is told: the words for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Event(StrEnum):
    """What happened. `parked` waits for a person; `auth` is an account that nothing can be done with."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PARKED = "parked"
    AUTH = "auth"
    BUDGET = "budget"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Notice:
    """One event in a title and a few lines for people; `facts` are the same for programs."""

    event: Event
    title: str
    text: str
    facts: Mapping[str, Any]
