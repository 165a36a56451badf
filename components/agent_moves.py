"""Moves of agents within one transaction: what is over lets its children go on, or takes them with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from components import agent_items, agent_rows, agent_statements
from components.agent import AGENT_MOVES, SETTLED, Agent, AgentStatus, NodeKind, OnFailure, Workflow
from components.agent_statements import Condition
from components.ports import QueueEntry
from components.store import now_text
from components.store_tables import agent_edges, agent_moves, agents, workflows

BELOW = {OnFailure.FAIL: AgentStatus.FAILED, OnFailure.SKIP: AgentStatus.SKIPPED}
PARENT_FAILED = "parent_failed"
AT_ONCE = 1000
"""Ids in one statement."""
QUEUE_KEY = agents.c.id + ":" + sa.cast(agents.c.attempt, sa.Text)
COLUMNS = [agents.c[name] for name in agent_rows.AGENT_NAMES]


class Moves:
    """All that one transaction does to agents. `entries` are to be told to the queue once it is committed."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self._now = now_text()
        self.entries: list[QueueEntry] = []

    def find(self, *where: Condition) -> list[Agent]:
        """Return agents as they are now."""
        chosen = sa.select(*COLUMNS).where(*where).order_by(agents.c.priority, agents.c.created_at, agents.c.id)
        return [agent_rows.agent(tuple(row)) for row in self.connection.execute(chosen)]

    def is_known(self, one: Agent | Workflow | None) -> bool:
        """Is there an agent, or a workflow, of this id?"""
        if one is None:
            return False
        table = agents if isinstance(one, Agent) else workflows
        return self.connection.execute(sa.select(table.c.id).where(table.c.id == one.id)).first() is not None

    def move(self, one: Agent, after: AgentStatus, **facts: object) -> Agent | None:
        """Move an agent from where it was seen, by its status and attempt; None where another was faster."""
        assert after in AGENT_MOVES[one.status], f"{one.status} -> {after}"
        mine = (agents.c.id == one.id, agents.c.status == str(one.status), agents.c.attempt == one.attempt)
        values = agent_rows.kept({**facts, "status": str(after), "updated_at": self._now})
        if after in SETTLED:
            values.setdefault("ended_at", self._now)
        returned = self.connection.execute(agents.update().where(*mine).values(values).returning(*COLUMNS)).first()
        if returned is None:
            return None
        moved = agent_rows.agent(tuple(returned))
        self._record([(one, moved)])
        return moved

    def move_all(self, where: Condition, after: AgentStatus, **facts: object) -> list[Agent]:
        """Move all agents of which something holds, and return them as they were."""
        before = self.find(where)
        if before:
            values = {**facts, "status": str(after), "updated_at": self._now}
            if after in SETTLED:
                values["ended_at"] = self._now
            self.connection.execute(agents.update().where(where).values(values))
            reason = facts.get("reason")
            after_all = (replace(one, status=after, reason=str(reason or one.reason)) for one in before)
            self._record(zip(before, after_all, strict=True))
        return before

    def settle(self, one: Agent, after: AgentStatus, **facts: object) -> Agent | None:
        """Bring an agent to its end, and with it those that cannot be begun any more; None where another was faster.

        One that made no commit passes on what it was given.
        """
        if after is AgentStatus.COMPLETED and not facts.get("commits"):
            facts["commits"] = self._passed_on(one)
        settled = self.move(one, after, **facts)
        if settled is not None and after is not AgentStatus.COMPLETED and settled.on_failure in BELOW:
            self.move_all(
                agent_statements.is_below(settled.id),
                BELOW[settled.on_failure],
                reason=PARENT_FAILED,
                error=f"it was not begun: {settled.name} {settled.status}"[:1000],
            )
        return settled

    def go_on(self, workflow_id: str, after: str = "") -> None:
        """Let all begin that wait for nobody; with `after` only those that waited for this agent.

        Those whose turn had come before are told to the queue again, which changes nothing there.
        """
        scope, map_id = self._scope(after)
        scopes, is_everywhere = [scope], not scope
        while scopes:
            scope = scopes.pop()
            chosen = agent_statements.in_scope(workflow_id, scope)
            for one in self._begin(self.find(chosen, agent_statements.MAY_BEGIN)):
                scopes += self._expanded(one)
        if map_id or is_everywhere:
            self._close_maps(workflow_id, map_id)
        self._end(workflow_id)

    def _scope(self, after: str) -> tuple[str, str]:
        """Return where to look after an agent's end, and its map.

        That is among its children; everywhere where there is none, or where it took others with it.
        """
        if not after:
            return "", ""
        chosen = sa.select(agents.c.status, agents.c.map_id).where(agents.c.id == after)
        found = self.connection.execute(chosen).one()
        return (after if found.status == AgentStatus.COMPLETED else ""), found.map_id

    def _begin(self, chosen: list[Agent]) -> list[Agent]:
        """Queue the agents whose turn has come, have people asked, and return the maps, to be opened."""
        pending = [one for one in chosen if one.status is AgentStatus.PENDING]
        by_kind = {kind: [one for one in pending if one.kind is kind] for kind in NodeKind}
        self._move_each(by_kind[NodeKind.APPROVAL], AgentStatus.AWAITING, queued_at=self._now)
        self._move_each(by_kind[NodeKind.AGENT], AgentStatus.QUEUED, queued_at=self._now, queue_key=QUEUE_KEY)
        self._tell(one for one in chosen if one.kind is NodeKind.AGENT)
        return by_kind[NodeKind.MAP]

    def _move_each(self, chosen: list[Agent], after: AgentStatus, **facts: object) -> None:
        ids = [one.id for one in chosen]
        for first in range(0, len(ids), AT_ONCE):
            self.move_all(agents.c.id.in_(ids[first : first + AT_ONCE]), after, **facts)

    def _tell(self, queued: Iterable[Agent]) -> None:
        self.entries += [QueueEntry(one.id, one.attempt, one.role, one.priority) for one in queued]

    def _expanded(self, one: Agent) -> list[str]:
        """Make one agent for each item of a map; returns its id where it is over at once."""
        try:
            items = self._items_of(one)
        except ValueError as error:
            self.settle(one, AgentStatus.FAILED, reason="bad_list", error=str(error))
            return [one.id]
        if not items:
            self.settle(one, AgentStatus.COMPLETED, result="[]")
            return [one.id]
        active = self.move(one, AgentStatus.ACTIVE, started_at=self._now)
        if active is not None:
            parents = [row.parent_id for row in self.connection.execute(_parents_of(one.id))]
            made = agent_items.made(active, items, self._now)
            self.connection.execute(agents.insert(), [agent_rows.columns(item) for item in made])
            edges = [_edge(parent, item.id, place) for item in made for place, parent in enumerate(parents)]
            if edges:
                self.connection.execute(agent_edges.insert(), edges)
            self._record((None, item) for item in made)
            self._tell(made)
        return []

    def _items_of(self, one: Agent) -> list[Any]:
        """Return what a map goes over. Raises ValueError where its parent put out no list."""
        over = json.loads(one.over)
        if isinstance(over, list):
            return over
        parent = str(over["output_of"])
        found = self.find(agents.c.workflow_id == one.workflow_id, agents.c.node == parent)
        return agent_items.parsed(found[0].result if found else "", parent)

    def _close_maps(self, workflow_id: str, map_id: str) -> None:
        """Bring the maps to their end whose agents are all over, and let go on what waits for them."""
        for one in self.find(agent_statements.open_map(workflow_id, map_id), agent_statements.HAS_NO_OPEN_ITEM):
            facts = agent_items.summed_up(self.find(agents.c.map_id == one.id))
            self.settle(one, AgentStatus.FAILED if "error" in facts else AgentStatus.COMPLETED, **facts)
            self.go_on(workflow_id, one.id)

    def _end(self, workflow_id: str) -> None:
        if workflow_id:
            given = {"workflow_id": workflow_id, "now": self._now}
            ended = self.connection.execute(agent_statements.END_OF_WORKFLOW, given).first()
            if ended is not None:
                self.record_workflow(workflow_id, "active", ended.status)

    def _passed_on(self, one: Agent) -> str:
        """Return the commits that the parents of an agent left."""
        parent = agents.alias("parent")
        chosen = sa.select(parent.c.commits).join(agent_edges, agent_edges.c.parent_id == parent.c.id)
        rows = self.connection.execute(chosen.where(agent_edges.c.child_id == one.id).order_by(agent_edges.c.place))
        return " ".join(dict.fromkeys(word for row in rows for word in row.commits.split()))

    def record_workflow(self, workflow_id: str, before: str, after: str) -> None:
        """Put a move of a workflow on the event bus."""
        row = {"agent_id": "", "workflow_id": workflow_id, "node": "", "before": before, "after": after}
        self.connection.execute(agent_moves.insert(), [{**row, "reason": "", "attempt": 0, "at": self._now}])

    def begin_workflow(self, workflow_id: str, before: Iterable[str], **values: object) -> bool:
        """Have a workflow go on; False where it is at none of these statuses."""
        for status in before:
            mine = (workflows.c.id == workflow_id, workflows.c.status == status)
            update = workflows.update().where(*mine).values(status="active", updated_at=self._now, **values)
            if self.connection.execute(update).rowcount:
                self.record_workflow(workflow_id, status, "active")
                return True
        return False

    def _record(self, moves: Iterable[tuple[Agent | None, Agent]]) -> None:
        rows = [
            {
                "agent_id": after.id,
                "workflow_id": after.workflow_id,
                "node": after.node,
                "before": str(before.status) if before else "",
                "after": str(after.status),
                "reason": after.reason,
                "attempt": after.attempt,
                "at": self._now,
            }
            for before, after in moves
        ]
        if rows:
            self.connection.execute(agent_moves.insert(), rows)


def _parents_of(agent_id: str) -> Any:
    chosen = sa.select(agent_edges.c.parent_id).where(agent_edges.c.child_id == agent_id)
    return chosen.order_by(agent_edges.c.place)


def _edge(parent: str, child: str, place: int) -> Mapping[str, object]:
    return {"parent_id": parent, "child_id": child, "place": place}
