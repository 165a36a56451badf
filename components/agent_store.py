"""Agents and workflows in the store: entered, moved by compare-and-set, read."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from components import agent_rows
from components.agent import Agent, AgentMove, AgentStatus, Workflow, WorkflowStatus
from components.errors import AmbiguousId, IllegalMove, NotFound
from components.ports import QueueEntry
from components.store import Store, now_text
from components.store_queries import AFTER_HEX
from components.store_reader import HEX

if TYPE_CHECKING:
    from components.agent_moves import Moves

_AGENTS = f"SELECT {', '.join(f'a.{name}' for name in agent_rows.AGENT_NAMES)} FROM agents a"  # noqa: S608
_WORKFLOWS = f"SELECT {', '.join(agent_rows.WORKFLOW_NAMES)} FROM workflows"  # noqa: S608
_MOVES = f"SELECT {', '.join(agent_rows.MOVE_NAMES)} FROM agent_moves"  # noqa: S608
One = TypeVar("One", Agent, Workflow)
Edge = tuple[str, str]
"""The id of a parent, and of what depends on it."""


class AgentStore:
    """The agents of a store. Every method raises what the store raises."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._one_at_a_time = threading.Lock()  # a lock wakes whoever is next at once, where SQLite has them ask again

    def add(self, agents: Sequence[Agent], edges: Sequence[Edge] = (), workflow: Workflow | None = None) -> None:
        """Enter agents with their dependencies, and with `workflow` a new workflow of them; nothing if known."""
        from components import store_tables as tables

        now = now_text()
        with self.turn() as moves:
            if moves.is_known(agents[0] if workflow is None and agents else workflow):
                return
            if workflow is not None:
                entered = replace(workflow, created_at=now, updated_at=now)
                moves.connection.execute(tables.workflows.insert().values(agent_rows.columns(entered)))
            dated = [agent_rows.columns(replace(one, created_at=now, updated_at=now)) for one in agents]
            if dated:
                moves.connection.execute(tables.agents.insert(), dated)
            rows = [
                {"parent_id": parent, "child_id": child, "place": place} for place, (parent, child) in enumerate(edges)
            ]
            if rows:
                moves.connection.execute(tables.agent_edges.insert(), rows)

    def change_workflow(self, workflow_id: str, source: str) -> None:
        """Keep what a pending workflow looks like now. Raises IllegalMove where it is not pending any more."""
        from components.store_tables import workflows

        mine = (workflows.c.id == workflow_id, workflows.c.status == str(WorkflowStatus.PENDING))
        with self.turn() as moves:
            update = workflows.update().where(*mine).values(source=source, updated_at=now_text())
            if not moves.connection.execute(update).rowcount:
                raise IllegalMove(f"workflow {workflow_id[:8]} has begun; nodes are added before it runs")

    def begin(self, entry: QueueEntry, host: str) -> Agent | None:
        """Have an agent worked on here, and return it; None where this entry is not the one to work on any more.

        A queue that gave up a machine hands the agent out again under a higher attempt: whoever still works on the
        last one may record nothing from here on. The same attempt again is the same work, to be gone on with.
        """
        from components.store_tables import agents

        with self.turn() as moves:
            found = moves.find(agents.c.id == entry.agent_id)
            one = found[0] if found else None
            if one is None or one.status not in (AgentStatus.QUEUED, AgentStatus.ACTIVE) or entry.attempt < one.attempt:
                return None
            if one.status is AgentStatus.ACTIVE and (one.attempt, one.host) == (entry.attempt, host):
                return one
            execution = execution_of(one.id, entry.attempt)
            facts = {"attempt": entry.attempt, "host": host, "execution_id": execution, "started_at": now_text()}
            return moves.move(one, AgentStatus.ACTIVE, **facts)

    def note(self, one: Agent, **facts: object) -> bool:
        """Enter what is known of an agent at work; False where another attempt has it now."""
        from components.store_tables import agents

        mine = (agents.c.id == one.id, agents.c.attempt == one.attempt, agents.c.status == str(AgentStatus.ACTIVE))
        with self._store.writing() as connection:
            return connection.execute(agents.update().where(*mine).values(agent_rows.kept(facts))).rowcount > 0

    def agent(self, word: str) -> Agent:
        """Return the agent whose id is, or begins with, a word. Raises NotFound and AmbiguousId."""
        found = self._agents("WHERE a.id >= :low AND a.id < :high ORDER BY a.id LIMIT 10", _range(word))
        return _only(found, word, "agent")

    def node(self, workflow_id: str, node: str) -> Agent:
        """Return a node of a workflow. Raises NotFound with the nearest name."""
        found = self._agents("WHERE a.workflow_id = :id AND a.node = :node", {"id": workflow_id, "node": node})
        if not found:
            from components.setting_kinds import nearest

            known = tuple(one.node for one in self.agents_of(workflow_id, limit=2000))
            raise NotFound(f"workflow {workflow_id[:8]} has no node {node[:80]!r}{nearest(node[:80], known)}")
        return found[0]

    def workflow(self, word: str) -> Workflow:
        """Return the workflow whose id is, or begins with, a word, or the newest of this name. Raises as `agent`."""
        found = self._workflows("WHERE id >= :low AND id < :high ORDER BY id LIMIT 10", _range(word))
        named = self._workflows("WHERE name = :name ORDER BY created_at DESC, id LIMIT 1", {"name": word})
        return _only(found or named, word, "workflow")

    def live_workflow(self, word: str) -> Workflow:
        """Return a workflow as `workflow` does; of several of one name the one that is not over.

        Raises AmbiguousId with their ids where that is not one alone.
        """
        named = self._workflows("WHERE name = :name ORDER BY created_at DESC, id LIMIT 10", {"name": word})
        if len(named) < 2:
            return self.workflow(word)
        live = [one for one in named if one.status in (WorkflowStatus.PENDING, WorkflowStatus.ACTIVE)]
        if len(live) == 1:
            return live[0]
        listed = ", ".join(f"{one.short_id} ({one.status})" for one in live or named)
        raise AmbiguousId(f"{len(live or named)} workflows are called {word[:80]!r}: {listed}; name one by its id")

    def workflows(self, status: str = "", before: str = "", limit: int = 50) -> list[Workflow]:
        """Return a page of workflows, newest first; `before` is the id of the last one of the page before."""
        where = ["status = :status"] if status else []
        if before:
            where.append("(created_at, id) < (SELECT created_at, id FROM workflows WHERE id = :before)")
        text = f"WHERE {' AND '.join(where)}" if where else ""
        given = {name: word for name, word in {"status": status, "before": before}.items() if word}
        return self._workflows(f"{text} ORDER BY created_at DESC, id DESC LIMIT :limit", {**given, "limit": limit})

    def agents_of(self, workflow_id: str, statuses: Collection[AgentStatus] = (), limit: int = 100_000) -> list[Agent]:
        """Return the agents of a workflow in the order in which they were written."""
        words = ", ".join(f"'{status}'" for status in statuses)
        where = f"WHERE a.workflow_id = :id{f' AND a.status IN ({words})' if words else ''}"
        return self._agents(
            f"{where} ORDER BY a.created_at, a.priority, a.id LIMIT :limit", {"id": workflow_id, "limit": limit}
        )

    def has_any(self, statuses: Collection[AgentStatus]) -> bool:
        """Is any agent at one of these statuses: of a workflow that goes on, or spawned alone; or still at work?"""
        words = ", ".join(f"'{status}'" for status in statuses)
        active = "SELECT id FROM workflows WHERE status = 'active' UNION SELECT ''"
        chosen = f"(workflow_id IN ({active}) AND status IN ({words})) OR status = 'active'"
        text = f"SELECT 1 FROM agents WHERE {chosen} LIMIT 1"  # noqa: S608
        return bool(self._store.rows((text, {})))

    def spawned(self, limit: int = 50) -> list[Agent]:
        """Return the newest agents that belong to no workflow, newest first."""
        return self._agents("WHERE a.workflow_id = '' ORDER BY a.created_at DESC, a.id LIMIT :limit", {"limit": limit})

    def counts(self, workflow_ids: Sequence[str]) -> dict[str, dict[AgentStatus, int]]:
        """Return how many agents of each status some workflows have."""
        if not workflow_ids:
            return {}
        names = {f"id{number}": one for number, one in enumerate(workflow_ids)}
        listed = ", ".join(f":{name}" for name in names)
        text = f"SELECT workflow_id, status, count(*) FROM agents WHERE workflow_id IN ({listed}) GROUP BY 1, 2"  # noqa: S608
        found: dict[str, dict[AgentStatus, int]] = {one: {} for one in workflow_ids}
        for workflow_id, status, number in self._store.rows((text, names)):
            found[workflow_id][AgentStatus(status)] = int(number)
        return found

    def edges_of(self, workflow_id: str) -> list[Edge]:
        """Return the dependencies of a workflow: parent and child, by their ids."""
        text = (
            "SELECT e.parent_id, e.child_id FROM agents a JOIN agent_edges e ON e.child_id = a.id"
            " WHERE a.workflow_id = :id ORDER BY e.child_id, e.place"
        )
        return [(parent, child) for parent, child in self._store.rows((text, {"id": workflow_id}))]

    def needs_of(self, workflow_id: str, known: Sequence[Agent]) -> dict[str, list[str]]:
        """Return the names of those that each agent of a workflow depends on, by its id."""
        names = {one.id: one.name for one in known}
        needs: dict[str, list[str]] = {}
        for parent, child in self.edges_of(workflow_id):
            needs.setdefault(child, []).append(names.get(parent, parent[:8]))
        return needs

    def parents_of(self, agent_id: str) -> list[Agent]:
        """Return the agents that one depends on, in the order in which they were named."""
        tail = "JOIN agent_edges e ON e.parent_id = a.id WHERE e.child_id = :id ORDER BY e.place"
        return self._agents(tail, {"id": agent_id})

    def given_to(self, one: Agent) -> str:
        """Return the commit that the first attempt at an agent's work began at, "" where the history does not tell."""
        earlier = {f"e{number}": execution_of(one.id, number) for number in range(1, min(one.attempt, 100))}
        ids = ", ".join(f":{name}" for name in earlier) or "''"
        text = f"SELECT id, base_commit FROM executions WHERE base_commit <> '' AND id IN ({ids})"  # noqa: S608
        found = {row[0]: str(row[1]) for row in self._store.rows((text, earlier))}
        return next((found[execution] for execution in earlier.values() if execution in found), "")

    def moves_after(self, after: int = 0, workflow_id: str = "", limit: int = 500) -> list[AgentMove]:
        """Return the moves of agents that came after one, in their order: the event bus of workflows."""
        where = "WHERE id > :after" + (" AND workflow_id = :workflow" if workflow_id else "")
        given: Mapping[str, object] = {
            "after": after,
            "limit": limit,
            **({"workflow": workflow_id} if workflow_id else {}),
        }
        return [agent_rows.move(row) for row in self._store.rows((f"{_MOVES} {where} ORDER BY id LIMIT :limit", given))]

    def last_move(self) -> int:
        """Return the id of the newest move, 0 where there is none."""
        found = self._store.rows(("SELECT max(id) FROM agent_moves", {}))
        return int(found[0][0] or 0) if found else 0

    @contextmanager
    def turn(self) -> Iterator[Moves]:
        """A transaction in which agents are moved; one at a time, so that no two of them wait for each other."""
        from components import store_engine
        from components.agent_moves import Moves

        with self._one_at_a_time, self._store.writing() as connection:
            store_engine.take_turn(connection)
            yield Moves(connection)

    def _agents(self, tail: str, given: Mapping[str, object]) -> list[Agent]:
        return [agent_rows.agent(row) for row in self._store.rows((f"{_AGENTS} {tail}", given))]

    def _workflows(self, tail: str, given: Mapping[str, object]) -> list[Workflow]:
        return [agent_rows.workflow(row) for row in self._store.rows((f"{_WORKFLOWS} {tail}", given))]


def execution_of(agent_id: str, attempt: int) -> str:
    """Return the id of the execution of one attempt of an agent: always the same, so that repeating finds it."""
    return hashlib.sha256(f"{agent_id}:{attempt}".encode()).hexdigest()[:32]


def _range(word: str) -> dict[str, str]:
    """Return between what ids lie that begin with a word; a word that is no beginning of an id has none."""
    prefix = word.strip().lower()
    if not prefix or not HEX.issuperset(prefix):
        return {"low": AFTER_HEX, "high": AFTER_HEX}
    return {"low": prefix, "high": prefix + AFTER_HEX}


def _only(found: list[One], word: str, what: str) -> One:
    if len(found) > 1:
        listed = ", ".join(one.id[:12] for one in found)
        raise AmbiguousId(f"more than one {what} has an id that begins with {word[:64]!r}: {listed}; type more of it")
    if not found:
        raise NotFound(f"there is no {what} {word[:64]!r}; `{what} list` shows them")
    return found[0]
