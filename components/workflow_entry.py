"""Enters workflows, and agents that are spawned one by one, as the records that an engine brings forward."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from components import workflow, workflow_file
from components.agent import Agent, NodeKind, Workflow
from components.agent_store import AgentStore, Edge
from components.config import Config
from components.errors import NotFound
from components.states import Complexity, Role
from components.workflow import Graph, Node
from components.workflow_format import MODEL

TITLE_LETTERS = 80


def enter(agents: AgentStore, graph: Graph, config: Config, config_file: str = "", key: str = "") -> Workflow:
    """Enter a workflow with its nodes, to be run later. The graph was checked.

    What was entered under a `key` before is found instead.
    """
    made = Workflow(_id_of(key), graph.name, graph.description, graph.project, source=_source(graph))
    if key:
        with contextlib.suppress(NotFound):
            return agents.workflow(made.id)
    nodes, edges = _as_agents(graph, graph.nodes, made.id, config, config_file, {})
    agents.add(nodes, edges, made)
    return made


def add(agents: AgentStore, made: Workflow, new: Sequence[Node], config: Config, config_file: str = "") -> None:
    """Add nodes to a workflow that has not begun. Raises ConfigError with every mistake, and IllegalMove."""
    known = {one.node: one.id for one in agents.agents_of(made.id)}
    before = json.loads(made.source)
    old = tuple(workflow_file.node_of(one) for one in before["nodes"])
    graph = workflow.check(Graph(made.name, (*old, *new), made.description, made.project, before["branch"]))
    agents.change_workflow(made.id, _source(graph))
    agents.add(*_as_agents(graph, new, made.id, config, config_file, known))


def spawn(agents: AgentStore, one: Agent, config: Config, parent: Agent | None = None, key: str = "") -> Agent:
    """Enter an agent, which begins when its parent is over. A node's child belongs to the same workflow.

    What was entered under a `key` before is found instead.
    """
    made = replace(_completed(one, config), id=_id_of(key), title=one.title or first_line(one.task))
    if key:
        with contextlib.suppress(NotFound):
            return agents.agent(made.id)
    if parent is not None:
        node = f"spawned-{made.short_id}" if parent.workflow_id else ""
        made = replace(made, workflow_id=parent.workflow_id, node=node, project=one.project or parent.project)
    agents.add([made], [(parent.id, made.id)] if parent else [])
    return made


def in_order(one: Workflow, agents: Sequence[Agent]) -> list[Agent]:
    """Return the agents of a workflow in the order in which they were written, the items of a map behind it."""
    places = {node["id"]: place for place, node in enumerate(json.loads(one.source)["nodes"])}

    def place(agent: Agent) -> tuple[int, int, str]:
        node, _, number = agent.node.partition("[")
        return places.get(node, len(places)), int(number[:-1]) if number else -1, agent.created_at

    return sorted(agents, key=place)


def users_key(word: str) -> str:
    """Return the key for a word that somebody chose, apart from the keys of schedules; "" for none."""
    return f"a person's: {word}" if word else ""


def _id_of(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()[:32] if key else uuid.uuid4().hex


def first_line(text: str) -> str:
    """Return a title for a text."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= TITLE_LETTERS else line[: TITLE_LETTERS - 1].rstrip() + "…"


def _source(graph: Graph) -> str:
    return json.dumps(workflow_file.written(graph), ensure_ascii=False)


def _as_agents(
    graph: Graph, nodes: Sequence[Node], workflow_id: str, config: Config, config_file: str, known: Mapping[str, str]
) -> tuple[list[Agent], list[Edge]]:
    ids = {**known, **{node.id: uuid.uuid4().hex for node in nodes}}
    made = []
    for node in nodes:
        over = {"output_of": node.over_node} if node.over_node else list(node.over)
        one = Agent(
            id=ids[node.id],
            workflow_id=workflow_id,
            node=node.id,
            kind=node.kind,
            role=node.role,
            level=node.level,
            complexity=node.complexity,
            title=node.title or first_line(node.task) or node.id,
            task=node.task,
            settings=settings_text(node.limits),
            priority=node.priority,
            on_failure=node.on_failure,
            over=json.dumps(over) if node.kind is NodeKind.MAP else "",
            project=graph.project,
            branch_from=graph.branch,
            config_file=config_file,
        )
        made.append(_completed(one, config))
    return made, [(ids[parent], ids[node.id]) for node in nodes for parent in node.needs]


def settings_text(limits: Mapping[str, object]) -> str:
    """Return settings by name as an agent keeps them: text each, as a command line would give it."""
    return json.dumps({name: _plain(value) for name, value in limits.items()}) if limits else ""


def settings_of(one: Agent) -> dict[str, str]:
    """Return what holds for one agent only, by the names of settings; a model is one for its level."""
    settings: dict[str, str] = json.loads(one.settings) if one.settings else {}
    model = settings.pop(MODEL, "")
    return {**settings, "models": f"{one.level}={model}"} if model else settings


def _plain(value: object) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _completed(one: Agent, config: Config) -> Agent:
    """Return an agent with what holds where nothing was said."""
    return replace(
        one,
        role=one.role or str(config.role or Role.BACKEND_DEV),
        level=one.level or str(config.level),
        complexity=one.complexity or Complexity.MAJOR.value,
    )
