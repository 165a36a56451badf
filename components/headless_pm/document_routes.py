"""The endpoints of documents and mentions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, HTTPException, Query

from components.headless_pm import tasks
from components.headless_pm.office import Here, Json
from components.headless_pm.schemas import BIGGEST_ID, DocumentChange, DocumentType, Id, NewDocument
from components.headless_pm.tables import agent, document, mention, now, task
from components.states import Role

LONGEST_CONTENT = 50_000
UNKNOWN = "Document with ID {} not found. Please verify the document ID exists."

Limit = Annotated[int, Query(le=BIGGEST_ID, ge=-BIGGEST_ID)]

routes = APIRouter()


@routes.post("/documents", tags=["documents"])
def create(office: Here, author_id: str, new: NewDocument) -> Json:
    """Publish a document; whoever it mentions gets a mention."""
    _check_length(new.content)
    at = now()
    values = new.model_dump(mode="json") | {"author_id": author_id, "expires_at": _naive(new.expires_at)}
    with office.writing() as connection:
        document_id = office.insert(connection, document, **values, created_at=at, updated_at=at)
        tasks.mention_all(office, connection, new.content, author_id, document_id=document_id)
        return _as_json(_required(connection, document_id))


@routes.get("/documents", tags=["documents"])
def listing(
    office: Here, doc_type: DocumentType | None = None, author_id: str | None = None, limit: Limit = 1000
) -> list[Json]:
    """List documents, newest first."""
    query = sa.select(document).order_by(document.c.created_at.desc(), document.c.id.desc()).limit(max(0, limit))
    if doc_type is not None:
        query = query.where(document.c.doc_type == doc_type)
    if author_id is not None:
        query = query.where(document.c.author_id == author_id)
    with office.reading() as connection:
        return [_as_json(row) for row in connection.execute(query)]


@routes.get("/documents/{document_id}", tags=["documents"])
def show(office: Here, document_id: Id) -> Json:
    """Return one document."""
    with office.reading() as connection:
        return _as_json(_required(connection, document_id))


@routes.put("/documents/{document_id}", tags=["documents"])
def change(office: Here, document_id: Id, new: DocumentChange) -> Json:
    """Change a document; what is absent stays, and new content mentions anew."""
    values = {name: value for name, value in new.model_dump().items() if value is not None}
    _check_length(values.get("content", ""))
    with office.writing() as connection:
        row = _required(connection, document_id)
        edit = sa.update(document).where(document.c.id == document_id)
        connection.execute(edit.values(**values, updated_at=now()))
        if "content" in values:
            connection.execute(sa.delete(mention).where(mention.c.document_id == document_id))
            tasks.mention_all(office, connection, values["content"], row.author_id, document_id=document_id)
        return _as_json(_required(connection, document_id))


@routes.delete("/documents/{document_id}", tags=["documents"])
def delete(office: Here, document_id: Id) -> Json:
    """Delete a document with its mentions."""
    with office.writing() as connection:
        _required(connection, document_id)
        connection.execute(sa.delete(document).where(document.c.id == document_id))
    return {"message": "Document deleted successfully"}


def _check_length(content: str) -> None:
    if len(content) > LONGEST_CONTENT:
        raise HTTPException(400, "Document content exceeds maximum length of 50,000 characters")


def _naive(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return (moment.astimezone(UTC) if moment.tzinfo else moment).replace(tzinfo=None).isoformat()


def _required(connection: sa.Connection, document_id: int) -> sa.Row[Any]:
    row = connection.execute(sa.select(document).where(document.c.id == document_id)).one_or_none()
    if row is None:
        raise HTTPException(404, UNKNOWN.format(document_id))
    return row


def _as_json(row: sa.Row[Any]) -> Json:
    names = ("id", "doc_type", "author_id", "title", "content", "meta_data", "created_at", "updated_at", "expires_at")
    return {name: getattr(row, name) for name in names} | {"mentions": tasks.mentioned(row.content)}


_mentions = (
    sa.select(mention, document.c.title.label("document_title"), task.c.title.label("task_title"))
    .outerjoin(document, document.c.id == mention.c.document_id)
    .outerjoin(task, task.c.id == mention.c.task_id)
    .order_by(mention.c.created_at.desc(), mention.c.id.desc())
)


def mentions_of(connection: sa.Connection, agent_id: str | None, *, unread_only: bool, limit: int) -> list[Json]:
    """Return an agent's mentions (everybody's for None), newest first."""
    query = _mentions if agent_id is None else _mentions.where(mention.c.mentioned_agent_id == agent_id)
    return _listed(connection, query, unread_only=unread_only, limit=limit)


def _listed(connection: sa.Connection, query: sa.Select[Any], *, unread_only: bool, limit: int) -> list[Json]:
    if unread_only:
        query = query.where(mention.c.is_read.is_(False))
    return [dict(row._mapping) for row in connection.execute(query.limit(max(0, limit)))]


@routes.get("/mentions", tags=["mentions"])
def mentions(office: Here, agent_id: str | None = None, unread_only: bool = False, limit: Limit = 50) -> list[Json]:
    """List mentions, newest first."""
    with office.reading() as connection:
        return mentions_of(connection, agent_id, unread_only=unread_only, limit=limit)


@routes.get("/mentions/by-role", tags=["mentions"])
def mentions_by_role(
    office: Here, role: Role | None = None, unread_only: bool = False, limit: Limit = 50
) -> list[Json]:
    """List the mentions of all agents of a role."""
    query = _mentions
    if role is not None:
        query = query.where(mention.c.mentioned_agent_id.in_(sa.select(agent.c.agent_id).where(agent.c.role == role)))
    with office.reading() as connection:
        return _listed(connection, query, unread_only=unread_only, limit=limit)


@routes.put("/mentions/{mention_id}/read", tags=["mentions"])
def read_mention(office: Here, mention_id: Id, agent_id: str) -> Json:
    """Mark a mention of the agent as read."""
    with office.writing() as connection:
        row = _mention(connection, mention_id)
        if row.mentioned_agent_id != agent_id:
            raise HTTPException(403, "Cannot mark mentions for other agents as read")
        connection.execute(sa.update(mention).where(mention.c.id == mention_id).values(is_read=True))
        return dict(_mention(connection, mention_id)._mapping)


def _mention(connection: sa.Connection, mention_id: int) -> sa.Row[Any]:
    row = connection.execute(_mentions.where(mention.c.id == mention_id)).one_or_none()
    if row is None:
        raise HTTPException(404, "Mention not found")
    return row
