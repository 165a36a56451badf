"""Whether an agent's attempt is still wanted, as its own runner asks the store: its worker may be dead."""

from __future__ import annotations

from components import cancelling
from components.agent import AgentStatus
from components.config import Config
from components.short_id import SHORT
from components.store_queries import AFTER_HEX
from components.store_reader import StoreReader
from components.typed_task import TypedTask

CANCELLED = "cancelled"
SECONDS = 15.0
"""How often it asks at least: so late is a cancelling seen of an agent whose worker is dead."""
_FOUND = (
    "SELECT a.execution_id, a.status, a.reason, coalesce(w.status, '') FROM agents a LEFT JOIN workflows w"
    " ON w.id = a.workflow_id WHERE a.id >= :low AND a.id < :high"
)


def require(config: Config, typed: TypedTask) -> None:
    """Have an attempt end that was cancelled, or that another has taken the place of; one nobody knows goes on.

    Raises as the store where it cannot be asked.
    """
    short = typed.task.id.removeprefix("agent-")[:SHORT]
    rows = StoreReader(config.store).rows((_FOUND, {"low": short, "high": short + AFTER_HEX}))
    known = {str(execution): tuple(map(str, row)) for execution, *row in rows}
    status, reason, whole = known.get(typed.claim, ("", "", ""))
    is_superseded = bool(known) and status != AgentStatus.ACTIVE
    if is_superseded or CANCELLED in (reason, whole):
        cancelling.ask(config.home, typed.claim)
