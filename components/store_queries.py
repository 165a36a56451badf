"""What the history is asked, as SQL that SQLite and PostgreSQL both speak.

Reading is plain SQL so that a command at a terminal needs no more than the standard library: to import SQLAlchemy
takes a quarter of a second of CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from components.execution import Execution, Selection, Transition, WorkspaceEntry
from components.states import LIVE, ExecutionStatus

Question = tuple[str, Mapping[str, object]]
"""A statement and its parameters, by name."""
COLUMNS = ", ".join(field.name for field in fields(Execution))
LIVE_WORDS = ", ".join(f"'{status}'" for status in ExecutionStatus if status in LIVE)
"""As the partial indexes spell it: SQLite uses one only for a condition of the same words."""
COST_KEYS: Mapping[str, str] = {"day": "day", "agent": "agent_id", "model": "model", "project": "project"}
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
AFTER_HEX = "g"
"""Sorts after every hexadecimal letter."""

_EXECUTIONS = f"SELECT {COLUMNS} FROM executions"  # noqa: S608
_TRANSITIONS = f"SELECT {', '.join(field.name for field in fields(Transition))} FROM transitions"  # noqa: S608
_WORKSPACES = f"SELECT {', '.join(field.name for field in fields(WorkspaceEntry))} FROM workspaces"  # noqa: S608
_SEARCHED = ("id", "task_id", "title", "error", "summary")


def version() -> Question:
    """Ask for the store's version."""
    return "SELECT version_num FROM alembic_version", {}


def beginning_with(prefix: str, limit: int) -> Question:
    """Ask for the executions whose id begins so."""
    where = "WHERE id >= :low AND id < :high ORDER BY created_at DESC, id LIMIT :limit"
    return f"{_EXECUTIONS} {where}", {"low": prefix, "high": prefix + AFTER_HEX, "limit": limit}


def newest(limit: int) -> Question:
    """Ask for the ids of the newest executions, of which task each is and since when."""
    return "SELECT id, task_id, created_at FROM executions ORDER BY created_at DESC, id DESC LIMIT :limit", {
        "limit": limit
    }


def typed_ids() -> Question:
    """Ask for the ids of the executions that a person or a program typed, not a server of tasks."""
    return "SELECT id FROM executions WHERE door <> 'run'", {}


def number_of_all() -> Question:
    """Ask how many executions there are."""
    return "SELECT count(*) FROM executions", {}


def projects() -> Question:
    """Ask for the projects that executions were of."""
    return "SELECT DISTINCT project FROM executions ORDER BY project", {}


def live(project: str, host: str) -> Question:
    """Ask for the executions that are not over, oldest first."""
    given = {"project": project, "host": host}
    more = "".join(f" AND {name} = :{name}" for name, value in given.items() if value)
    return f"{_EXECUTIONS} WHERE status IN ({LIVE_WORDS}){more} ORDER BY created_at, id", _given(given)


def selected(wanted: Selection) -> Question:
    """Ask for a page of executions, newest first."""
    where, parameters = _conditions(wanted)
    if wanted.before:
        where.append("(created_at, id) < (SELECT created_at, id FROM executions WHERE id = :before)")
    tail = "ORDER BY created_at DESC, id DESC LIMIT :limit"
    return f"{_EXECUTIONS}{_where(where)} {tail}", {**parameters, "limit": wanted.limit, **_given_before(wanted)}


def counts(wanted: Selection) -> Question:
    """Ask how many executions there are of each status."""
    where, parameters = _conditions(wanted)
    return f"SELECT status, count(*) FROM executions{_where(where)} GROUP BY status", parameters  # noqa: S608


def failures(project: str, limit: int) -> Question:
    """Ask for the newest failures."""
    more = " AND project = :project" if project else ""
    where = f"WHERE status = 'failed'{more} ORDER BY completed_at DESC, id DESC LIMIT :limit"
    return f"{_EXECUTIONS} {where}", {**_given({"project": project}), "limit": limit}


def durations(project: str, role: str, limit: int) -> Question:
    """Ask when the newest successes of a project began and ended."""
    more = " AND role = :role" if role else ""
    where = f"WHERE project = :project AND status = 'succeeded' AND started_at <> ''{more}"
    tail = "ORDER BY completed_at DESC LIMIT :limit"
    parameters = {"project": project, **_given({"role": role}), "limit": limit}
    return f"SELECT started_at, completed_at FROM executions {where} {tail}", parameters  # noqa: S608


def moves_of(execution_id: str) -> Question:
    """Ask for the transitions of one execution, oldest first."""
    return f"{_TRANSITIONS} WHERE execution_id = :id ORDER BY id", {"id": execution_id}


def moves_after(after: int, limit: int) -> Question:
    """Ask for the transitions that came after one."""
    return f"{_TRANSITIONS} WHERE id > :after ORDER BY id LIMIT :limit", {"after": after, "limit": limit}


def last_move() -> Question:
    """Ask for the id of the newest transition, 0 for none."""
    return "SELECT coalesce(max(id), 0) FROM transitions", {}


def cost(by: str, since: str, project: str) -> Question:
    """Ask what runs have cost, by a key of COST_KEYS: days newest first, others dearest first."""
    given = {"since": since, "project": project}
    where = [text for name, text in (("since", "day >= :since"), ("project", "project = :project")) if given[name]]
    sums = ", ".join(f"sum({name})" for name in ("usd", *TOKENS))
    order = f"{COST_KEYS[by]} DESC" if by == "day" else f"sum(usd) DESC, {COST_KEYS[by]}"
    told = "sum(CASE WHEN usd > 0 THEN 1 ELSE 0 END)"
    text = f"SELECT {COST_KEYS[by]}, count(*), {sums}, {told} FROM spend{_where(where)}"  # noqa: S608
    return f"{text} GROUP BY {COST_KEYS[by]} ORDER BY {order}", _given(given)


def workspaces(project: str, status: str) -> Question:
    """Ask for the workspaces that are known, newest first."""
    given = {"project": project, "status": status}
    where = [f"{name} = :{name}" for name, value in given.items() if value]
    return f"{_WORKSPACES}{_where(where)} ORDER BY created_at DESC, path", _given(given)


def _conditions(wanted: Selection) -> tuple[list[str], dict[str, object]]:
    given: dict[str, object] = {
        name: getattr(wanted, name)
        for name in ("project", "role", "agent_id", "door", "parent")
        if getattr(wanted, name)
    }
    where = [f"{name} = :{name}" for name in given]
    if wanted.statuses:
        words = {f"status_{number}": str(status) for number, status in enumerate(wanted.statuses)}
        where.append(f"status IN ({', '.join(':' + name for name in words)})")
        given |= words
    for name, sign in (("since", ">="), ("until", "<")):
        if getattr(wanted, name):
            where.append(f"created_at {sign} :{name}")
            given[name] = getattr(wanted, name)
    if wanted.text:
        where.append("(" + " OR ".join(f"lower({name}) LIKE :text ESCAPE '!'" for name in _SEARCHED) + ")")
        given["text"] = f"%{_escaped(wanted.text.lower())}%"
    return where, given


def _escaped(text: str) -> str:
    for letter in "!%_":
        text = text.replace(letter, "!" + letter)
    return text


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _given(parameters: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in parameters.items() if value}


def _given_before(wanted: Selection) -> dict[str, object]:
    return {"before": wanted.before} if wanted.before else {}
