"""Workflows and agents that are spawned: `/api/workflows`, `/api/agents`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response

from components import workflow_entry, workflow_file
from components.agent import Agent, AgentStatus, Workflow, WorkflowStatus
from components.agent_store import AgentStore
from components.errors import ConfigError
from components.server import driving
from components.server.core import Core, core_of
from components.server.schemas import safe
from components.server.workflow_shapes import (
    Again,
    AgentList,
    AgentShown,
    Answer,
    Called,
    NewAgent,
    NewWorkflow,
    NodeGiven,
    WorkflowList,
    WorkflowShown,
)
from components.workflow_engine import WorkflowEngine
from components.workflow_entry import users_key

routes = APIRouter(prefix="/api", tags=["workflows"])
Here = Annotated[Core, Depends(core_of)]
Key = Annotated[
    str,
    Header(alias="Idempotency-Key", max_length=200, description="The same key again finds what it made first."),
]


@routes.post("/workflows", status_code=201, response_model=WorkflowShown)
def create(core: Here, given: NewWorkflow, response: Response, key: Key = "") -> dict[str, Any]:
    """Enter a workflow; it begins with `run`. A key that was given before finds the workflow that it made."""
    plain = given.model_dump(mode="json", exclude={"nodes", "defaults"})  # these are read below, whatever is in them
    data = {key: value for key, value in plain.items() if value != ""} | {"nodes": given.nodes}
    data |= {"defaults": given.defaults} if given.defaults else {}
    graph = workflow_file.graph_of(data, given.name, may_be_empty=True)
    graph = replace(graph, project=str(core.project(given.project).path))
    made = workflow_entry.enter(AgentStore(core.store), graph, core.loaded.config, core.config_file, users_key(key))
    response.headers["Location"] = f"/api/workflows/{made.id}"
    return _shown(core, made.id)


@routes.get("/workflows", response_model=WorkflowList)
def select(
    core: Here,
    status: WorkflowStatus | None = None,
    before: Annotated[str, Query(max_length=64, description="The id of the last workflow of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> dict[str, Any]:
    """List workflows, newest first."""
    agents = AgentStore(core.store)
    found = agents.workflows(str(status or ""), safe(before), limit)
    counts = agents.counts([one.id for one in found])
    return {"workflows": [{**asdict(one), "counts": counts[one.id]} for one in found]}


@routes.get("/workflows/{workflow_id}", response_model=WorkflowShown)
def get(core: Here, workflow_id: str) -> dict[str, Any]:
    """Show a workflow with its agents."""
    return _shown(core, workflow_id)


@routes.post("/workflows/{workflow_id}/nodes", status_code=201, response_model=WorkflowShown)
def add_node(core: Here, workflow_id: str, given: NodeGiven) -> dict[str, Any]:
    """Add a node to a workflow that has not begun."""
    agents, one = _found(core, workflow_id)
    workflow_entry.add(agents, one, [workflow_file.node_of(given)], core.loaded.config, core.config_file)
    return _shown(core, one.id)


@routes.post("/workflows/{workflow_id}/run", status_code=202, response_model=WorkflowShown)
def run(core: Here, workflow_id: str) -> dict[str, Any]:
    """Have a workflow begin, or go on where nobody works on it; it goes on in the background."""
    agents, one = _found(core, workflow_id)
    if not agents.agents_of(one.id, limit=1):
        raise ConfigError(f"workflow {one.short_id} has no node yet; POST /api/workflows/{one.id}/nodes adds one")
    with _engine(core, agents) as engine:
        engine.run(one.id)
    _have_driven(core, agents, one.id)
    return _shown(core, one.id)


@routes.post("/workflows/{workflow_id}/cancel", response_model=Called)
def cancel(core: Here, workflow_id: str) -> dict[str, Any]:
    """End a workflow: nothing more of it begins, and what is at work is asked to end; 409 where it is over."""
    agents = AgentStore(core.store)
    one = agents.live_workflow(safe(workflow_id))
    with _engine(core, agents) as engine:
        return {"status": "cancelled", "at_work": engine.cancel(one.id)}


@routes.post("/workflows/{workflow_id}/retry", status_code=202, response_model=Again)
def retry(core: Here, workflow_id: str) -> dict[str, Any]:
    """Do again what failed, was skipped or was cancelled, and go on from there."""
    agents, one = _found(core, workflow_id)
    with _engine(core, agents) as engine:
        count = engine.retry(one.id)
    _have_driven(core, agents, one.id)
    return {"agents": count}


@routes.post("/workflows/{workflow_id}/nodes/{node}/approve", response_model=AgentShown)
def approve(core: Here, workflow_id: str, node: str, given: Answer | None = None) -> dict[str, Any]:
    """Let go on what waits for a person's approval."""
    return _decide(core, workflow_id, node, given, is_approved=True)


@routes.post("/workflows/{workflow_id}/nodes/{node}/reject", response_model=AgentShown)
def reject(core: Here, workflow_id: str, node: str, given: Answer | None = None) -> dict[str, Any]:
    """Refuse an approval; the node has failed."""
    return _decide(core, workflow_id, node, given, is_approved=False)


@routes.post("/agents", status_code=202, response_model=AgentShown)
def spawn(core: Here, given: NewAgent, key: Key = "") -> dict[str, Any]:
    """Spawn an agent; it begins when its parent is over. A key that was given before finds the agent that it made."""
    agents = AgentStore(core.store)
    parent = agents.agent(safe(given.parent)) if given.parent else None
    checked = workflow_file.node_of({"id": "a", "task": given.task, "limits": given.limits}, subject="the agent")
    wanted = Agent(
        "",
        role=str(given.role),
        level=str(given.level or ""),
        complexity=str(given.complexity),
        title=given.title or "",
        task=given.task,
        priority=given.priority,
        settings=workflow_entry.settings_text(checked.limits),
        project=parent.project if parent and not given.project else str(core.project(given.project).path),
        config_file=core.config_file,
    )
    made = workflow_entry.spawn(agents, wanted, core.loaded.config, parent, users_key(key))
    with _engine(core, agents) as engine:
        engine.advance(made.workflow_id)
    _have_driven(core, agents, made.workflow_id)
    return _agent(core, agents, made.id)


@routes.get("/agents", response_model=AgentList)
def spawned(core: Here, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> dict[str, Any]:
    """List the agents that were spawned alone, newest first."""
    agents = AgentStore(core.store)
    return {"agents": [_agent(core, agents, one.id) for one in agents.spawned(limit)]}


@routes.get("/agents/{agent_id}", response_model=AgentShown)
def agent(core: Here, agent_id: str) -> dict[str, Any]:
    """Show an agent, also one of a workflow."""
    return _agent(core, AgentStore(core.store), safe(agent_id))


@routes.post("/agents/{agent_id}/cancel", response_model=Called)
def cancel_agent(core: Here, agent_id: str) -> dict[str, Any]:
    """End an agent, 409 where it is over; what depends on it is not begun."""
    agents = AgentStore(core.store)
    one = agents.agent(safe(agent_id))
    with _engine(core, agents) as engine:
        is_at_work = engine.cancel_agent(one.id) is AgentStatus.ACTIVE
    return {"status": "asked" if is_at_work else "cancelled", "at_work": int(is_at_work)}


@contextmanager
def _engine(core: Core, agents: AgentStore) -> Iterator[WorkflowEngine]:
    """The engine with its queue; whoever performs has a process of its own."""
    from components import queue_engine

    with queue_engine.opened(core.loaded.config) as queue:
        yield WorkflowEngine(agents, queue)


def _have_driven(core: Core, agents: AgentStore, workflow_id: str) -> None:
    """Have what waits worked on by the driver, which outlives the service."""
    from components import workflow_driver

    if workflow_driver.has_to_do(agents, workflow_id):
        driving.start(core)


def _found(core: Core, word: str) -> tuple[AgentStore, Workflow]:
    agents = AgentStore(core.store)
    return agents, agents.workflow(safe(word))


def _decide(core: Core, word: str, node: str, given: Answer | None, *, is_approved: bool) -> dict[str, Any]:
    agents, one = _found(core, word)
    with _engine(core, agents) as engine:
        comment = given.comment if given else ""
        decided = engine.decide(one.id, safe(node), is_approved=is_approved, comment=comment)
    _have_driven(core, agents, one.id)
    return _agent(core, agents, decided.id)


def _agent(core: Core, agents: AgentStore, agent_id: str) -> dict[str, Any]:
    one = agents.agent(agent_id)
    parents = agents.parents_of(one.id)
    return _told(core, one, [parent.node or parent.id for parent in parents])


def _told(core: Core, one: Agent, needs: Sequence[str]) -> dict[str, Any]:
    return {**asdict(one), "host_name": core.shown_host(one.host), "needs": list(needs)}


def _shown(core: Core, word: str) -> dict[str, Any]:
    from components import workflow_picture

    agents, one = _found(core, word)
    nodes = workflow_entry.in_order(one, agents.agents_of(one.id))
    needs = agents.needs_of(one.id, nodes)
    return {
        **asdict(one),
        "counts": agents.counts([one.id])[one.id],
        "agents": [_told(core, node, needs.get(node.id, [])) for node in nodes],
        "mermaid": workflow_picture.mermaid(workflow_picture.drawn(nodes, needs)),
    }
