"""The endpoints of agents, epics and features."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, HTTPException

from components.headless_pm import document_routes, tasks
from components.headless_pm.office import Here, Json, Office, require_agent, require_role
from components.headless_pm.schemas import ConnectionType, Id, NewEpic, NewFeature, Registering
from components.headless_pm.tables import agent, epic, feature, now, task

IN_PROGRESS = ("under_work", "dev_done", "qa_done", "documentation_done")
MENTIONS_SHOWN = 10

routes = APIRouter()


@routes.post("/register", tags=["agents"])
def register(office: Here, new: Registering) -> Json:
    """Sign in, or say that one is still there; role and level are settled by the first time."""
    with office.writing() as connection:
        _sign_in(office, connection, new)
        tasks.forget_stale(office, connection)
        row = require_agent(connection, new.agent_id)
        following = tasks.free_for(connection, row.role, row.level)
        unread = document_routes.mentions_of(connection, new.agent_id, unread_only=True, limit=MENTIONS_SHOWN)
    return {
        "agent": _agent(row),
        "next_task": None if following is None else tasks.as_json(following, office.defects),
        "mentions": unread,
    }


def _sign_in(office: Office, connection: sa.Connection, new: Registering) -> None:
    seen = {"connection_type": new.connection_type or ConnectionType.CLIENT, "last_seen": now()}
    known = sa.update(agent).where(agent.c.agent_id == new.agent_id).values(**seen)
    if connection.execute(known).rowcount == 0:
        office.insert(connection, agent, agent_id=new.agent_id, role=new.role, level=new.level, **seen)


def _agent(row: sa.Row[Any]) -> Json:
    return dict(row._mapping)


@routes.get("/agents", tags=["agents"])
def agents(office: Here) -> list[Json]:
    """List agents, last seen first."""
    with office.reading() as connection:
        return [_agent(row) for row in connection.execute(sa.select(agent).order_by(agent.c.last_seen.desc()))]


@routes.delete("/agents/{agent_id}", tags=["agents"])
def delete_agent(office: Here, agent_id: str, requester_agent_id: str) -> Json:
    """Delete an agent, which frees what it holds; for a pm."""
    with office.writing(wakes=True) as connection:
        require_role(connection, requester_agent_id, "pm")
        if connection.execute(sa.select(agent.c.id).where(agent.c.agent_id == agent_id)).one_or_none() is None:
            raise HTTPException(404, "Agent not found")
        if agent_id == requester_agent_id:
            raise HTTPException(400, "Cannot delete your own agent record")
        _refuse_creator(office, connection, agent_id)
        connection.execute(sa.update(task).where(task.c.locked_by == agent_id).values(**tasks.FREED))
        connection.execute(sa.delete(agent).where(agent.c.agent_id == agent_id))
    return {"message": f"Agent {agent_id} deleted successfully"}


def _refuse_creator(office: Office, connection: sa.Connection, agent_id: str) -> None:
    made = connection.execute(sa.select(sa.func.count()).where(task.c.created_by == agent_id)).scalar_one()
    if made and office.defects.plain_500:
        raise RuntimeError(f"agent {agent_id} created {made} tasks")  # the defect: an error nobody caught
    if made:
        raise HTTPException(409, f"Agent '{agent_id}' created {made} tasks. Delete the tasks first.")


@routes.post("/epics", tags=["planning"])
def create_epic(office: Here, agent_id: str, new: NewEpic) -> Json:
    """Make an epic; for a pm or an architect."""
    with office.writing() as connection:
        require_role(connection, agent_id, "pm", "architect")
        values = {"name": new.name, "description": new.description, "created_at": now()}
        epic_id = office.insert(connection, epic, **values)
    return {"id": epic_id, **values, **_counts(0, 0, 0)}


@routes.get("/epics", tags=["planning"])
def epics(office: Here) -> list[Json]:
    """List epics with how far they are."""
    done = sa.func.count().filter(task.c.status == "committed")
    going = sa.func.count().filter(task.c.status.in_(IN_PROGRESS))
    query = (
        sa.select(epic, sa.func.count(task.c.id).label("total"), done.label("done"), going.label("going"))
        .outerjoin(feature, feature.c.epic_id == epic.c.id)
        .outerjoin(task, task.c.feature_id == feature.c.id)
        .group_by(epic.c.id)
        .order_by(epic.c.id)
    )
    with office.reading() as connection:
        return [
            {name: getattr(row, name) for name in ("id", "name", "description", "created_at")}
            | _counts(row.total, row.done, row.going)
            for row in connection.execute(query)
        ]


def _counts(total: int, done: int, going: int) -> Json:
    return {"task_count": total, "completed_task_count": done, "in_progress_task_count": going}


@routes.delete("/epics/{epic_id}", tags=["planning"])
def delete_epic(office: Here, epic_id: Id, agent_id: str) -> Json:
    """Delete an epic with its features and tasks; for a pm."""
    return _delete(office, agent_id, epic, epic_id)


@routes.post("/features", tags=["planning"])
def create_feature(office: Here, agent_id: str, new: NewFeature) -> Json:
    """Make a feature in an epic; for a pm or an architect."""
    with office.writing() as connection:
        require_role(connection, agent_id, "pm", "architect")
        if connection.execute(sa.select(epic.c.id).where(epic.c.id == new.epic_id)).one_or_none() is None:
            raise HTTPException(404, "Epic not found")
        return {"id": office.insert(connection, feature, **new.model_dump()), **new.model_dump()}


@routes.get("/features/{epic_id}", tags=["planning"])
def features(office: Here, epic_id: Id) -> list[Json]:
    """List the features of an epic."""
    query = sa.select(feature).where(feature.c.epic_id == epic_id).order_by(feature.c.id)
    with office.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


@routes.delete("/features/{feature_id}", tags=["planning"])
def delete_feature(office: Here, feature_id: Id, agent_id: str) -> Json:
    """Delete a feature with its tasks; for a pm."""
    return _delete(office, agent_id, feature, feature_id)


def _delete(office: Office, agent_id: str, table: sa.Table, row_id: int) -> Json:
    with office.writing() as connection:
        require_role(connection, agent_id, "pm")
        if connection.execute(sa.delete(table).where(table.c.id == row_id)).rowcount != 1:
            raise HTTPException(404, f"{table.name.capitalize()} not found")
    return {"message": f"{table.name.capitalize()} {row_id} deleted successfully"}
