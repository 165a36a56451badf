"""The bodies and the words that requests may hold."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from components.headless_pm.settings import Defects
from components.states import Complexity, Level, Role

BIGGEST_ID = 2**63 - 1  # SQLite's

Id = Annotated[int, Field(le=BIGGEST_ID, ge=-BIGGEST_ID)]


class ConnectionType(StrEnum):
    """How an agent reaches the server."""

    MCP = "mcp"
    CLIENT = "client"


class DocumentType(StrEnum):
    """What a document is for."""

    STANDUP = "standup"
    CRITICAL_ISSUE = "critical_issue"
    SERVICE_STATUS = "service_status"
    UPDATE = "update"


class Registering(BaseModel):
    """An agent that signs in."""

    agent_id: str
    role: Role
    level: Level
    connection_type: ConnectionType | None = None


class NewEpic(BaseModel):
    """An epic to make."""

    name: str
    description: str


class NewFeature(BaseModel):
    """A feature to make in an epic."""

    epic_id: Id
    name: str
    description: str


class NewTask(BaseModel):
    """A task to make in a feature."""

    feature_id: Id
    title: str
    description: str
    target_role: Role
    difficulty: Level
    complexity: Complexity = Complexity.MAJOR
    branch: str


class StatusChange(BaseModel):
    """Where a task goes. Which words are known depends on the server: see `known_status`."""

    status: Any
    notes: str | None = None


class Comment(BaseModel):
    """Something said about a task."""

    comment: str


class NewDocument(BaseModel):
    """A document to publish."""

    doc_type: DocumentType
    title: Annotated[str, Field(max_length=200)]
    content: str
    meta_data: dict[str, Any] | None = None
    expires_at: datetime | None = None


class DocumentChange(BaseModel):
    """What changes in a document; what is absent stays."""

    title: Annotated[str | None, Field(max_length=200)] = None
    content: str | None = None
    meta_data: dict[str, Any] | None = None


def known_status(value: Any, defects: Defects, *where: str) -> str:
    """Return the status in lower case; 422 naming `where` for a word this server does not know."""
    text = value.lower() if isinstance(value, str) and defects.upper_case else value
    if isinstance(text, str) and text in defects.statuses:
        return text
    quoted = [f"'{spelled(status, defects)}'" for status in defects.statuses]
    expected = f"{', '.join(quoted[:-1])} or {quoted[-1]}"
    raise RequestValidationError(
        [
            {
                "type": "enum",
                "loc": where,
                "msg": f"Input should be {expected}",
                "input": value,
                "ctx": {"expected": expected},
            }
        ]
    )


def spelled(status: str, defects: Defects) -> str:
    """Return a status as this server writes it."""
    return status.upper() if defects.upper_case else status
