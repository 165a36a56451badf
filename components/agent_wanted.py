"""Whether an agent's attempt is still wanted, as its own runner asks the store: its worker may be dead."""

from __future__ import annotations

import contextlib

from components import cancelling
from components.agent import AgentStatus, WorkflowStatus
from components.config import Config
from components.execution_index import ExecutionFiles
from components.short_id import SHORT
from components.store_queries import AFTER_HEX
from components.store_reader import StoreReader
from components.typed_task import TypedTask

SECONDS = 15.0
"""How often it asks at least: so late is a cancelling seen of an agent whose worker is dead."""
_FOUND = (
    "SELECT a.execution_id, a.status, a.reason, coalesce(w.status, '') FROM agents a LEFT JOIN workflows w"
    " ON w.id = a.workflow_id WHERE a.id >= :low AND a.id < :high"
)


def is_unwanted(config: Config, typed: TypedTask) -> bool:
    """Was an attempt cancelled, or has another taken its place? Not one that nobody knows: a store that was lost.

    Raises as the store where it cannot be asked.
    """
    short = typed.task.id.removeprefix("agent-")[:SHORT]
    with contextlib.closing(StoreReader(config.store)) as reader:  # a server has so many connections and no more
        rows = reader.rows((_FOUND, {"low": short, "high": short + AFTER_HEX}))
    known = {str(execution): tuple(map(str, row)) for execution, *row in rows}
    status, reason, whole = known.get(typed.claim, ("", "", ""))
    is_superseded = bool(known) and status != AgentStatus.ACTIVE
    return is_superseded or WorkflowStatus.CANCELLED in (reason, whole)


def require(config: Config, typed: TypedTask) -> None:
    """Have an attempt end that nobody wants any more. Raises as `is_unwanted`."""
    if is_unwanted(config, typed):
        cancelling.ask(config.home, typed.claim)
        for run in ExecutionFiles(config.home, typed.claim, typed.task.id).runs().values():
            cancelling.stop(run)
