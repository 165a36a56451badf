"""Rows of agents and workflows as values, and values as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from components.agent import Agent, AgentMove, AgentStatus, NodeKind, OnFailure, Workflow, WorkflowStatus
from components.store_rows import Row

TEXT_LIMIT = 1_000_000
"""Characters of a text of an agent that are kept."""
WHOLE = frozenset({"source"})
"""Texts that are of no use in part."""
AGENT_NAMES = tuple(field.name for field in fields(Agent))
WORKFLOW_NAMES = tuple(field.name for field in fields(Workflow))
MOVE_NAMES = tuple(field.name for field in fields(AgentMove))


def agent(row: Row) -> Agent:
    """Return what a row of all columns, in the order of the fields, says."""
    one = Agent(*row)
    return replace(one, kind=NodeKind(one.kind), on_failure=OnFailure(one.on_failure), status=AgentStatus(one.status))


def workflow(row: Row) -> Workflow:
    """Return what a row of all columns, in the order of the fields, says."""
    one = Workflow(*row)
    return replace(one, status=WorkflowStatus(one.status))


def move(row: Row) -> AgentMove:
    """Return what a row of the moves says."""
    one = AgentMove(*row)
    return replace(one, after=AgentStatus(one.after))


def columns(one: Agent | Workflow) -> dict[str, Any]:
    """Return an agent or a workflow as its columns take it."""
    return kept(asdict(one))


def kept(values: Mapping[str, object]) -> dict[str, Any]:
    """Return values as columns take them; no database takes NUL and half characters alike."""
    return {name: _kept(name, value) for name, value in values.items()}


def _kept(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    text = str(value).replace("\0", "").encode(errors="replace").decode()
    return text if name in WHOLE else text[:TEXT_LIMIT]
