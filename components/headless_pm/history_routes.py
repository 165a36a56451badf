"""The endpoints that tell what happened and how the server is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends

from components.headless_pm.document_routes import Limit
from components.headless_pm.office import Here, Json, Office, authorized
from components.headless_pm.schemas import spelled
from components.headless_pm.settings import Defects
from components.headless_pm.tables import agent, changelog, document, now, task

NAME, VERSION = "headless-pm-api", "1.0.0"
ACTIVE_SECONDS = 300.0

routes = APIRouter()
open_routes = APIRouter()


@routes.get("/changelog", tags=["changes"])
def history(office: Here, limit: Limit = 50) -> list[Json]:
    """List status changes, newest first."""
    query = sa.select(changelog).order_by(changelog.c.changed_at.desc(), changelog.c.id.desc()).limit(max(0, limit))
    with office.reading() as connection:
        rows = connection.execute(query).all()
    return [dict(row._mapping) | _spelled(row, office.defects) for row in rows]


def _spelled(row: sa.Row[Any], defects: Defects) -> Json:
    return {"old_status": spelled(row.old_status, defects), "new_status": spelled(row.new_status, defects)}


@routes.get("/changes", tags=["changes"])
def changes(office: Here, since: datetime, agent_id: str) -> Json:  # noqa: ARG001 - the original demands it
    """Return what is newer than `since`, oldest first; `last_timestamp` is the next `since`."""
    if since.tzinfo is not None and office.defects.naive_since:
        return {"changes": [], "last_timestamp": since.isoformat().replace("+00:00", "Z")}
    moment = since.astimezone(UTC).replace(tzinfo=None) if since.tzinfo else since
    after = moment.isoformat(timespec="microseconds")
    with office.reading() as connection:
        found = _moves(connection, after, office) + _documents(connection, after, "created")
        found += _documents(connection, after, "updated")
    found.sort(key=lambda change: str(change["timestamp"]))
    last = found[-1]["timestamp"] if found else moment.isoformat()
    return {"changes": found, "last_timestamp": last}


def _moves(connection: sa.Connection, after: str, office: Office) -> list[Json]:
    query = sa.select(changelog, task.c.title).join(task, task.c.id == changelog.c.task_id)
    rows = connection.execute(query.where(changelog.c.changed_at > after).order_by(changelog.c.id))
    return [
        {
            "type": "task_updated",
            "timestamp": row.changed_at,
            "data": {"task_id": row.task_id, "title": row.title}
            | _spelled(row, office.defects)
            | {"changed_by": row.changed_by, "notes": row.notes},
        }
        for row in rows
    ]


def _documents(connection: sa.Connection, after: str, what: str) -> list[Json]:
    when = document.c[f"{what}_at"]
    query = sa.select(document, when.label("at")).where(when > after)
    if what == "updated":
        query = query.where(document.c.updated_at > document.c.created_at)
    return [
        {
            "type": f"document_{what}",
            "timestamp": row.at,
            "data": {
                "document_id": row.id,
                "doc_type": row.doc_type,
                "title": row.title,
                "author_id": row.author_id,
            },
        }
        for row in connection.execute(query.order_by(document.c.id))
    ]


def context_router(defects: Defects) -> APIRouter:
    """Build `/context`, with or without a key."""
    routes = APIRouter(dependencies=[Depends(authorized)] if defects.closed_context else [])
    routes.add_api_route("/context", context, tags=["server"])
    return routes


def context() -> Json:
    """Return where the project keeps its things."""
    return {
        "project_name": "Headless PM",
        "shared_path": "./shared",
        "instructions_path": "./agent_instructions",
        "project_docs_path": "./docs",
        "database_type": "sqlite",
    }


@open_routes.get("/")
async def root() -> Json:
    """Say hello."""
    return {"message": "Headless PM API", "docs": "/api/v1/docs", "health": "ok"}


@open_routes.get("/health")
def health(office: Here) -> Json:
    """Say how the server is, and what it can do beyond the original."""
    database = "healthy"
    try:
        with office.reading() as connection:
            connection.execute(sa.select(sa.literal(1)))
    except sa.exc.SQLAlchemyError as error:
        database = f"unhealthy: {type(error).__name__}"
    shown: Json = {
        "status": "healthy" if database == "healthy" else "degraded",
        "service": NAME,
        "version": VERSION,
        "database": database,
        "dashboard": "stopped",
        "timestamp": now(),
    }
    capabilities = office.defects.capabilities
    return shown | ({"capabilities": list(capabilities)} if capabilities else {})


@open_routes.get("/status")
def status(office: Here) -> Json:
    """Count what there is."""
    with office.reading() as connection:
        counts = {
            f"total_{table.name}s": connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (agent, task, document)
        }
        awake = sa.select(sa.func.count()).where(agent.c.last_seen > now(ago=ACTIVE_SECONDS))
        active = connection.execute(awake).scalar_one()
    metrics = {
        "total_agents": counts["total_agents"],
        "active_agents": active,
        "total_tasks": counts["total_tasks"],
        "total_documents": counts["total_documents"],
        "total_services": 0,
    }
    return {"service": NAME, "version": VERSION, "metrics": metrics, "timestamp": now()}
