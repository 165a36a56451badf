"""Rows of the store as values, and values as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from components.execution import Cost, Execution, Transition, WorkspaceEntry
from components.redact import shorten
from components.states import Door, ExecutionStatus

Row = Sequence[Any]
NAMES = tuple(field.name for field in fields(Execution))
SETTABLE = frozenset(NAMES) - {"id", "status"}
"""What may be told of an execution later; its status is moved, never set."""
TEXT_LIMIT = 4096
LIMITS: Mapping[str, int] = {"error": TEXT_LIMIT, "summary": TEXT_LIMIT, "title": 1000}
"""Characters that are kept of texts that somebody else wrote."""


def execution(row: Row) -> Execution:
    """Return what a row of all columns, in the order of the fields, says."""
    kept = Execution(*row)
    return replace(kept, door=Door(kept.door), status=ExecutionStatus(kept.status))


def transition(row: Row) -> Transition:
    """Return what a row of the event bus says."""
    number, execution_id, before, after, *rest = row
    return Transition(number, execution_id, ExecutionStatus(before) if before else None, ExecutionStatus(after), *rest)


def workspace(row: Row) -> WorkspaceEntry:
    """Return what a row of the workspaces says."""
    return WorkspaceEntry(*row)


def cost(row: Row) -> Cost:
    """Return what a row of sums says; PostgreSQL's sums are decimals."""
    key, runs, usd, *counts = row
    return Cost(key, int(runs), float(usd), *map(int, counts))


def facts(given: Mapping[str, object]) -> dict[str, object]:
    """Return facts of an execution as its columns take them. Raises ValueError naming what is no such fact."""
    unknown = sorted(set(given) - SETTABLE)
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: not a fact of an execution; known are {', '.join(sorted(SETTABLE))}")
    return {name: _kept(name, value) for name, value in given.items()}


def columns(one: Execution) -> dict[str, object]:
    """Return an execution as its columns take it."""
    return {name: _kept(name, getattr(one, name)) for name in NAMES}


def _kept(name: str, value: object) -> object:
    """Return a value in the plain type of its column; PostgreSQL takes no NUL, and neither takes half a character."""
    if isinstance(value, str):
        whole = str(value).replace("\0", "").encode(errors="replace").decode()
        return shorten(whole, LIMITS.get(name, TEXT_LIMIT))
    return value
