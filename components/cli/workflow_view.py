"""Workflows as a person reads them: a list, one in full, and one as it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from components.agent import SETTLED, Agent, AgentMove, AgentStatus, Workflow, WorkflowStatus
from components.cli.output import Line, age, show, table, usd
from components.pm_wire import one_line

if TYPE_CHECKING:
    from components.agent_store import AgentStore

COLOURS: Mapping[str, str] = {
    "active": "cyan",
    "awaiting": "yellow",
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
}
FOLLOW_SECONDS = 0.3
LOOKS = 10
ERROR_LETTERS = 200
ENDED = frozenset({WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED})


def listed(found: Sequence[Workflow], counts: Mapping[str, Mapping[AgentStatus, int]]) -> Iterator[Line]:
    """Yield workflows as a table."""
    rows = [("ID", "STATUS", "SINCE", "NAME", "AGENTS")]
    rows += [(one.short_id, str(one.status), age(one.created_at), one.name, counted(counts[one.id])) for one in found]
    for number, text in enumerate(table(rows)):
        yield Line(text, COLOURS.get(found[number - 1].status, "") if number else "", bold=not number)


def counted(counts: Mapping[AgentStatus, int]) -> str:
    """Return how many agents are of which status, in words."""
    return ", ".join(f"{counts[status]} {status}" for status in AgentStatus if counts.get(status)) or "none"


def whole(one: Workflow, agents: Sequence[Agent], needs: Mapping[str, Sequence[str]]) -> Iterator[Line]:
    """Yield all of a workflow: its nodes with where they stand."""
    yield Line(f"{one.short_id}  {one.name}  {one.status}", COLOURS.get(one.status, ""), bold=True)
    if one.description:
        yield Line(f"  {one.description.strip()}")
    rows: list[tuple[str, ...]] = [("NODE", "STATUS", "ROLE", "TIME", "COST", "AFTER", "WHAT")]
    rows += [_row(agent, needs.get(agent.id, ())) for agent in agents]
    for number, text in enumerate(table(rows)):
        yield Line(f"  {text}", COLOURS.get(agents[number - 1].status, "") if number else "", bold=not number)
    for agent in agents:
        if agent.status is AgentStatus.AWAITING:
            yield Line(f"  agent-runner workflow approve {one.short_id} {agent.node}     or reject", "yellow")
    wrong = [agent for agent in agents if agent.status in (AgentStatus.FAILED, AgentStatus.CANCELLED)]
    if wrong and one.status in ENDED:
        yield Line(f"  agent-runner workflow retry {one.short_id} --failed     do again what failed")


def as_json(one: Workflow, agents: Sequence[Agent], needs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return all of a workflow for programs."""
    nodes = [{**asdict(agent), "needs": list(needs.get(agent.id, ())), "duration": agent.seconds} for agent in agents]
    kept = {name: value for name, value in asdict(one).items() if name != "source"}
    return {**kept, "cost_usd": sum(agent.cost_usd for agent in agents), "agents": nodes}


def follow(agents: AgentStore, workflow_id: str, after: int, have_driven: Callable[[], None]) -> int:
    """Tell each move of a workflow until it is over or waits for a person, and return the exit code.

    Now and then it is seen to that somebody works on it.
    """
    looks = 0
    while True:
        looks += 1
        page = agents.moves_after(after, workflow_id)
        for move in page:
            after = move.id
            if move.agent_id:
                show(*_told(move, agents))
        if not page:
            one = agents.workflow(workflow_id)
            if one.status in ENDED:
                return _end(one, agents)
            if _waits_for_a_person(agents, workflow_id):
                return _awaits(one, agents)
            if looks % LOOKS == 0:
                have_driven()
            time.sleep(FOLLOW_SECONDS)


def _waits_for_a_person(agents: AgentStore, workflow_id: str) -> bool:
    from components import workflow_driver

    awaiting = agents.agents_of(workflow_id, [AgentStatus.AWAITING], limit=1)
    return bool(awaiting) and not workflow_driver.has_to_do(agents, workflow_id)


def _told(move: AgentMove, agents: AgentStore) -> tuple[str, str]:
    words = f"{one_line(move.node, 40):16}  {move.after!s:10}"
    colour = COLOURS.get(move.after, "")
    if move.after not in SETTLED:
        return words.rstrip(), colour
    one = agents.agent(move.agent_id)
    if move.after is AgentStatus.COMPLETED:
        return f"{words} {one.seconds:5.1f} s  {usd(one.cost_usd)}  {one.branch}".rstrip(), colour
    return f"{words} {' '.join(one.error.split())[:ERROR_LETTERS]}".rstrip(), colour


def _end(one: Workflow, agents: AgentStore) -> int:
    cost = sum(agent.cost_usd for agent in agents.agents_of(one.id))
    show(f"{one.name} {one.short_id} {one.status}: {counted(agents.counts([one.id])[one.id])}; {usd(cost)}", bold=True)
    if one.status is not WorkflowStatus.COMPLETED:
        show(f"  agent-runner workflow retry {one.short_id} --failed     do again what failed")
    return 0 if one.status is WorkflowStatus.COMPLETED else 1


def _awaits(one: Workflow, agents: AgentStore) -> int:
    for node in agents.agents_of(one.id, [AgentStatus.AWAITING]):
        show(f"{node.node} waits for a person: {node.task.strip() or node.title}", "yellow")
        show(f"  agent-runner workflow approve {one.short_id} {node.node}     or reject")
    return 3


def _row(one: Agent, needs: Sequence[str]) -> tuple[str, ...]:
    what = f"{one.reason}: {one.error}" if one.status in SETTLED and one.error else one.title
    duration = f"{one.seconds:.0f} s" if one.seconds else "-"
    return (one.name, str(one.status), one.role, duration, usd(one.cost_usd), ",".join(needs) or "-", what)
