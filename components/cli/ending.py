"""How an execution stands, in a word."""

from __future__ import annotations

from components import history_entry
from components.execution import Execution
from components.states import FINAL


def ending(one: Execution) -> str:
    """Return in a word how an execution stands: the reason tells more than that it failed."""
    is_told = one.status in FINAL and one.reason and history_entry.ended_by(one.reason) is one.status
    return one.reason if is_told else str(one.status)
