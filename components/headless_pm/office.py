"""What every endpoint works with: the database, the settings, the bell."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyHeader

from components.headless_pm import tables
from components.headless_pm.bell import Bell
from components.headless_pm.settings import Defects, Settings

AGENT_UNKNOWN = (
    "Agent '{}' not found. Please ensure the agent is registered using POST /api/v1/register "
    "before attempting this operation."
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Office:
    """One server's state. Lives as long as the application."""

    settings: Settings
    engine: sa.Engine
    bell: Bell = field(default_factory=Bell)

    @property
    def defects(self) -> Defects:
        """Return the switches."""
        return self.settings.defects

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a snapshot; whatever others write meanwhile is not seen."""
        with self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, *, wakes: bool = False) -> Iterator[sa.Connection]:
        """Open a transaction that excludes all other writers; `wakes` rings the bell once it is durable."""
        with self.engine.execution_options(writes=True).begin() as connection:
            yield connection
        if wakes:
            self.bell.ring()

    def insert(self, connection: sa.Connection, table: sa.Table, **values: Any) -> int:
        """Insert a row and return its id."""
        if self.defects.reused_ids:
            values["id"] = connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0) + 1)).scalar_one()
        key = connection.execute(sa.insert(table).values(**values)).inserted_primary_key
        assert key is not None
        return int(key[0])


async def _office(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


Here = Annotated[Office, Depends(_office)]
Header = Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))]


async def authorized(office: Here, key: Header) -> None:
    """Let only holders of a key in; the time it takes tells nothing of a key."""
    given = (key or "").encode()
    matches = [hmac.compare_digest(given, accepted) for accepted in office.settings.accepted_keys]
    if not any(matches):
        raise HTTPException(401, "Invalid API key")


def require_agent(connection: sa.Connection, agent_id: str) -> sa.Row[Any]:
    """Return the agent's row. 404 when it is not registered."""
    row = connection.execute(sa.select(tables.agent).where(tables.agent.c.agent_id == agent_id)).one_or_none()
    if row is None:
        raise HTTPException(404, AGENT_UNKNOWN.format(agent_id))
    return row


def require_role(connection: sa.Connection, agent_id: str, *roles: str) -> None:
    """Refuse (403) an agent whose role is none of these; 404 when it is not registered."""
    if require_agent(connection, agent_id).role not in roles:
        raise HTTPException(403, f"Only {', '.join(roles)} agents can perform this operation")
