"""Brings workflows forward: what the store says decides what is next, and a queue is told of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from components.agent import SETTLED, Agent, AgentStatus, NodeKind, WorkflowStatus
from components.agent_store import AgentStore
from components.errors import IllegalMove
from components.ports import AgentQueue
from components.redact import listed
from components.store import now_text

GONE_WRONG = SETTLED - {AgentStatus.COMPLETED}
CANCELLED, REJECTED = "cancelled", "rejected"
STOPPED = "somebody asked for its end"
Facts = dict[str, Any]


class WorkflowEngine:
    """What may be done with workflows. Whoever dies in the middle of it loses nothing: `advance` mends what is left.

    A move is durable before the queue is told, and a queue that is told twice changes nothing. Every method raises
    what the store and the queue raise.
    """

    def __init__(self, agents: AgentStore, queue: AgentQueue) -> None:
        self._agents = agents
        self._queue = queue

    def run(self, workflow_id: str) -> None:
        """Have a workflow go on from wherever it is. Raises IllegalMove where it is over."""
        with self._agents.turn() as moves:
            moves.begin_workflow(workflow_id, [WorkflowStatus.PENDING], started_at=now_text())
        self.advance(workflow_id)
        found = self._agents.workflow(workflow_id)
        if found.status in (WorkflowStatus.FAILED, WorkflowStatus.CANCELLED):
            raise IllegalMove(
                f"workflow {found.short_id} is {found.status}; `workflow retry {found.short_id} --failed`"
            )

    def advance(self, workflow_id: str, after: str = "") -> None:
        """Have all begin whose turn has come, and end what is over; with `after` look only at what waited for it.

        Doing it again changes nothing. `workflow_id` is "" for agents that were spawned alone.
        """
        with self._agents.turn() as moves:
            moves.go_on(workflow_id, after)
        self._queue.enqueue(moves.entries)

    def advance_all(self) -> None:
        """Advance all that is not over: at a start, for what a crash left between two steps."""
        for one in self._agents.workflows(str(WorkflowStatus.ACTIVE), limit=100_000):
            self.advance(one.id)
        self.advance("")

    def settle(self, one: Agent, after: AgentStatus, **facts: object) -> bool:
        """Record how an agent's attempt ended, and let go on what waited for it; False where it is not ours any more.

        What waited is let go on in either case: whoever recorded it may have died before.
        """
        with self._agents.turn() as moves:
            is_ours = moves.settle(one, after, **facts) is not None
            moves.go_on(one.workflow_id, one.id)
        self._queue.enqueue(moves.entries)
        return is_ours

    def decide(self, workflow_id: str, node: str, *, is_approved: bool, comment: str = "") -> Agent:
        """Answer an approval for a person. Raises NotFound, and IllegalMove where nobody waits for it."""
        one = self._agents.node(workflow_id, node)
        if one.kind is not NodeKind.APPROVAL or one.status is not AgentStatus.AWAITING:
            raise IllegalMove(f"{node!r} of workflow {workflow_id[:8]} is {one.status}, and awaits no approval")
        facts: Facts = (
            {"result": comment} if is_approved else {"reason": REJECTED, "error": comment or "it was rejected"}
        )
        if not self.settle(one, AgentStatus.COMPLETED if is_approved else AgentStatus.FAILED, **facts):
            raise IllegalMove(f"{node!r} of workflow {workflow_id[:8]} was answered by somebody else meanwhile")
        return self._agents.agent(one.id)

    def cancel(self, workflow_id: str) -> int:
        """End a workflow: nothing of it is begun any more, what is at work is asked to end. Returns how many were.

        Raises IllegalMove where it is over; one that was cancelled, and still has agents at work, is asked again.
        """
        from components.store_tables import agents, workflows

        live = [str(status) for status in (AgentStatus.PENDING, AgentStatus.QUEUED, AgentStatus.AWAITING)]
        with self._agents.turn() as moves:
            mine = (workflows.c.id == workflow_id, workflows.c.status.in_(["pending", "active"]))
            now = now_text()
            ended = workflows.update().where(*mine).values(status=CANCELLED, ended_at=now, updated_at=now)
            is_ours = moves.connection.execute(ended).rowcount > 0
            if is_ours:
                moves.record_workflow(workflow_id, "active", CANCELLED)
            of_it = agents.c.workflow_id == workflow_id
            map_at_work = of_it & (agents.c.status == "active") & (agents.c.kind == str(NodeKind.MAP))
            moves.move_all(map_at_work, AgentStatus.CANCELLED, reason=CANCELLED, error=STOPPED)
            waiting = moves.move_all(
                of_it & agents.c.status.in_(live), AgentStatus.CANCELLED, reason=CANCELLED, error=STOPPED
            )
            at_work = moves.find(of_it, agents.c.status == str(AgentStatus.ACTIVE))
        if not is_ours and not at_work:
            one = self._agents.workflow(workflow_id)
            raise IllegalMove(f"workflow {one.short_id} is {one.status} already; nothing of it is at work")
        self._call_off([*waiting, *at_work])
        return len(at_work)

    def cancel_agent(self, agent_id: str) -> AgentStatus:
        """End one agent; returns where it was. One that is at work is asked to end. Raises IllegalMove: it is over."""
        one = self._agents.agent(agent_id)
        if one.status in SETTLED:
            self._call_off([one])  # whoever cancelled it may have died before
            raise IllegalMove(f"agent {one.short_id} is {one.status} already; nothing of it is at work")
        if one.status is AgentStatus.ACTIVE:
            self._agents.note(one, reason=CANCELLED)  # for its runner to see, where its worker is dead
        else:
            self.settle(one, AgentStatus.CANCELLED, reason=CANCELLED, error=STOPPED)
        self._call_off([one])
        return one.status

    def retry(self, workflow_id: str) -> int:
        """Have all done again that failed, was skipped or cancelled, and go on from there. Returns how many those are.

        Raises IllegalMove where nothing did, and where one still ends that was cancelled.
        """
        from components.store_tables import agents

        wrong = agents.c.status.in_([str(status) for status in GONE_WRONG]) & (agents.c.workflow_id == workflow_id)
        has_items = agents.c.id.in_(_maps_with_items(workflow_id))
        again: Facts = {"attempt": agents.c.attempt + 1, "reason": "", "error": "", "ended_at": "", "queue_key": ""}
        again["seconds"] = 0.0  # a time that is shown is that of this attempt
        with self._agents.turn() as moves:
            if ending := self.ending(workflow_id):
                names = listed([repr(one.name) for one in ending])
                raise IllegalMove(f"{names} of workflow {workflow_id[:8]} still ends; retry it when that is over")
            count = len(moves.move_all(wrong & has_items, AgentStatus.ACTIVE, **again))
            count += len(moves.move_all(wrong, AgentStatus.PENDING, started_at="", **again))
            if not count:
                raise IllegalMove(f"nothing of workflow {workflow_id[:8]} has failed, was skipped or was cancelled")
            moves.begin_workflow(workflow_id, ["failed", "cancelled", "completed"], ended_at="", error="")
        self.advance(workflow_id)
        return count

    def ending(self, workflow_id: str) -> list[Agent]:
        """Return the agents of a cancelled workflow that have not ended yet."""
        if self._agents.workflow(workflow_id).status is not WorkflowStatus.CANCELLED:
            return []
        return self._agents.agents_of(workflow_id, [AgentStatus.ACTIVE])

    def _call_off(self, agents: Collection[Agent]) -> None:
        for one in agents:
            if one.queue_key:
                self._queue.cancel(one.queue_key)


def _maps_with_items(workflow_id: str) -> Any:
    import sqlalchemy as sa

    from components.store_tables import agents

    item = agents.alias("item")
    return sa.select(item.c.map_id).where(item.c.workflow_id == workflow_id, item.c.map_id != "")
