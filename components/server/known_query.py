"""Refuses what a query asks for by a name that its route does not know: a misspelt one would be passed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from components.setting_kinds import nearest

SHOWN_LETTERS = 80


def require(asked: HTTPConnection) -> None:
    """Raise the error of a field for each parameter of a query that is not its route's."""
    if not asked.query_params:
        return
    known = tuple(_names(asked.scope["route"].dependant))
    unknown = [name for name in dict.fromkeys(asked.query_params) if name not in known]
    if unknown:
        kind = RequestValidationError if asked.scope["type"] == "http" else WebSocketRequestValidationError
        raise kind([_problem(name[:SHOWN_LETTERS], known) for name in unknown])


def _names(asked_for: Dependant) -> Iterator[str]:
    """Yield the parameters of a query that a route, or what it depends on, asks for."""
    for field in asked_for.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):  # its fields are the parameters
            yield from kind.model_fields
        else:
            yield field.alias
    for inner in asked_for.dependencies:
        yield from _names(inner)


def _problem(name: str, known: tuple[str, ...]) -> dict[str, Any]:
    words = f"; known are: {', '.join(known)}" if known else "; none is known here"
    told = f"there is no such parameter{nearest(name, known) or words}"
    return {"type": "unknown_parameter", "loc": ("query", name), "msg": told}
