"""Tasks in the database: which one is next, who holds it, how it moves."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from fastapi import HTTPException

from components.headless_pm import tables
from components.headless_pm.office import Json, Office, require_agent
from components.headless_pm.schemas import NewTask, spelled
from components.headless_pm.settings import Defects
from components.headless_pm.tables import feature, now, task
from components.states import Level, Role

UNKNOWN = "Task with ID {} not found. Please verify the task ID exists."
TAKEN = "Task {} is already locked by another agent. The task must be unlocked before you can lock it."
NOT_YOURS = "Task {} is locked by another agent. Only the agent that holds the lock can release it."
SHOWN = (
    *("title", "description", "created_by", "target_role", "difficulty", "complexity", "branch", "status"),
    *("locked_by", "locked_at", "notes", "created_at", "updated_at"),
)
FREED = {"locked_by": None, "locked_at": None}

_tasks = sa.select(task, feature.c.epic_id).join(feature, task.c.feature_id == feature.c.id)


def as_json(row: sa.Row[Any], defects: Defects) -> Json:
    """Return a task as every endpoint shows it, keys in the original's order."""
    epic = {} if defects.no_epic_id else {"epic_id": row.epic_id}
    shown = {"id": row.id, "feature_id": row.feature_id, **epic} | {name: getattr(row, name) for name in SHOWN}
    return shown | {"status": spelled(row.status, defects), "task_type": "regular", "poll_interval": None}


def required(connection: sa.Connection, task_id: int) -> sa.Row[Any]:
    """Return a task's row; 404 when there is none."""
    row = connection.execute(_tasks.where(task.c.id == task_id)).one_or_none()
    if row is None:
        raise HTTPException(404, UNKNOWN.format(task_id))
    return row


def listed(connection: sa.Connection, status: str | None, role: str | None) -> Sequence[sa.Row[Any]]:
    """Return tasks, newest first."""
    query = _tasks.order_by(task.c.created_at.desc(), task.c.id.desc())
    if status is not None:
        query = query.where(task.c.status == status)
    if role is not None:
        query = query.where(task.c.target_role == role)
    return connection.execute(query).all()


def create(office: Office, connection: sa.Connection, new: NewTask, creator: str) -> int:
    """Insert a task and the first row of its history."""
    status, at = office.defects.first_status, now()
    values = new.model_dump(mode="json") | {"created_by": creator, "status": status, "created_at": at, "updated_at": at}
    task_id = office.insert(connection, task, **values)
    _record(office, connection, task_id, (status, status), creator, f"Task created ({status})")
    return task_id


def free_for(connection: sa.Connection, role: str, level: str) -> sa.Row[Any] | None:
    """Return the oldest task on offer: QA gets whatever developers finished, others what waits for their role."""
    query = _tasks.where(task.c.locked_by.is_(None)).order_by(task.c.created_at, task.c.id).limit(1)
    if role == Role.QA:
        return connection.execute(query.where(task.c.status == "dev_done")).one_or_none()
    reach = list(Level)[: list(Level).index(Level(level)) + 1]
    query = query.where(
        task.c.status.in_(("created", "approved")), task.c.target_role == role, task.c.difficulty.in_(reach)
    )
    return connection.execute(query).one_or_none()


def offered(office: Office, role: str, level: str) -> Json | None:
    """Return what `next` offers now, after forgetting the locks of the silent."""
    with office.reading() as connection:
        if connection.execute(sa.select(_stale(office).exists())).scalar_one():
            connection.rollback()
            with office.writing(wakes=True) as writer:
                forget_stale(office, writer)
        row = free_for(connection, role, level)
    return as_json(row, office.defects) if row is not None else None


def forget_stale(office: Office, connection: sa.Connection) -> None:
    """Free the tasks whose holders did not register for long; a task under work stays under work."""
    silent = sa.select(tables.agent.c.agent_id).where(tables.agent.c.last_seen < now(ago=office.settings.stale_after))
    connection.execute(sa.update(task).where(task.c.locked_by.in_(silent)).values(**FREED))


def _stale(office: Office) -> sa.Select[Any]:
    silent = tables.agent.c.last_seen < now(ago=office.settings.stale_after)
    return sa.select(task.c.id).join(tables.agent, tables.agent.c.agent_id == task.c.locked_by).where(silent)


def lock(office: Office, task_id: int, agent_id: str) -> Json:
    """Give the task to the agent, or refuse: 409 when it is another's, whoever asks first."""
    if office.defects.racy_lock is not None:
        return _lock_late(office, task_id, agent_id, office.defects.racy_lock)
    with office.writing() as connection:
        if _may_lock(office, connection, task_id, agent_id):
            free = sa.update(task).where(task.c.id == task_id, task.c.locked_by.is_(None))
            if connection.execute(free.values(locked_by=agent_id, locked_at=now())).rowcount != 1:
                raise HTTPException(409, TAKEN.format(task_id))
        return as_json(required(connection, task_id), office.defects)


def _lock_late(office: Office, task_id: int, agent_id: str, window: float) -> Json:
    with office.reading() as connection:
        takes = _may_lock(office, connection, task_id, agent_id)
    time.sleep(window)  # the defect: the others look in the meantime
    with office.writing() as connection:
        if takes:
            connection.execute(sa.update(task).where(task.c.id == task_id).values(locked_by=agent_id, locked_at=now()))
        return as_json(required(connection, task_id), office.defects)


def _may_lock(office: Office, connection: sa.Connection, task_id: int, agent_id: str) -> bool:
    """Say whether the lock is to be taken: False for one that the agent has already."""
    holder = required(connection, task_id).locked_by
    if holder is not None and (office.defects.strict_relock or holder != agent_id):
        raise HTTPException(409, TAKEN.format(task_id))
    require_agent(connection, agent_id)
    return holder is None


def unlock(office: Office, task_id: int, agent_id: str) -> Json:
    """Free the task, its status unchanged; 403 unless the agent holds it. A free one stays free."""
    with office.writing(wakes=True) as connection:
        holder = required(connection, task_id).locked_by
        require_agent(connection, agent_id)
        if holder not in (None, agent_id):
            raise HTTPException(403, NOT_YOURS.format(task_id))
        connection.execute(sa.update(task).where(task.c.id == task_id).values(**FREED))
        return as_json(required(connection, task_id), office.defects)


def move(
    office: Office, connection: sa.Connection, task_id: int, agent_id: str, status: str, notes: str | None
) -> None:
    """Set the status; leaving `under_work`, and nothing else, frees the lock."""
    old = required(connection, task_id)
    values: Json = {"status": status, "updated_at": now()}
    if old.status == "under_work" and status != "under_work":
        values |= FREED
    if notes:
        values["notes"] = notes if office.defects.notes_overwritten else _added(old.notes, notes)
    connection.execute(sa.update(task).where(task.c.id == task_id).values(**values))
    _record(office, connection, task_id, (old.status, status), agent_id, notes)


def _added(before: str | None, notes: str) -> str:
    """Put notes below what is there; the same once more (a repeated request) changes nothing."""
    if not before or before == notes or before.endswith(f"\n\n{notes}"):
        return before or notes
    return f"{before}\n\n{notes}"


def comment(office: Office, task_id: int, agent_id: str, text: str) -> None:
    """Append to the notes; parallel ones all survive. Whoever is mentioned gets a mention."""
    line = f"{agent_id}: {text}"
    if office.defects.racy_comments is None:
        with office.writing() as connection:
            notes = required(connection, task_id).notes
            _comment(office, connection, task_id, agent_id, text, f"{notes}\n\n{line}" if notes else line)
        return
    with office.reading() as connection:
        notes = required(connection, task_id).notes
    time.sleep(office.defects.racy_comments)  # the defect: what others write now is lost
    with office.writing() as connection:
        _comment(office, connection, task_id, agent_id, text, f"{notes}\n\n{line}" if notes else line)


def _comment(office: Office, connection: sa.Connection, task_id: int, agent_id: str, text: str, notes: str) -> None:
    connection.execute(sa.update(task).where(task.c.id == task_id).values(notes=notes, updated_at=now()))
    mention_all(office, connection, text, agent_id, task_id=task_id)


def mentioned(text: str) -> list[str]:
    """Return the names mentioned as @name, each once, in order."""
    return list(dict.fromkeys(re.findall(r"@([A-Za-z0-9_]+)", text)))


def mention_all(office: Office, connection: sa.Connection, text: str, author: str, **subject: int) -> None:
    """Insert a mention for everybody whom a text mentions."""
    for name in mentioned(text):
        values = {"mentioned_agent_id": name, "created_by": author, "is_read": False, "created_at": now()}
        office.insert(connection, tables.mention, **values, **subject)


def _record(
    office: Office, connection: sa.Connection, task_id: int, moved: tuple[str, str], agent_id: str, notes: str | None
) -> None:
    values = {"old_status": moved[0], "new_status": moved[1], "changed_by": agent_id, "notes": notes}
    office.insert(connection, tables.changelog, task_id=task_id, changed_at=now(), **values)
