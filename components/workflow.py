"""Graphs of agents: what each node does, on which others it depends, and whether that can come to an end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from components.agent import PRIORITY, SETTLED, AgentStatus, NodeKind, OnFailure
from components.errors import ConfigError
from components.setting_kinds import nearest

SHOWN_MISTAKES = 20
SHOWN_CYCLE = 12
OFFERED_NODES = 2000
"""Among how many ids the nearest one is looked for."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `over` is what a map goes over: a list, or with `over_node` the JSON list that node puts out.

    `limits` are settings by name. A smaller `priority` comes first.
    """

    id: str
    task: str = ""
    title: str = ""
    needs: tuple[str, ...] = ()
    role: str = ""
    level: str = ""
    complexity: str = ""
    limits: Mapping[str, object] = field(default_factory=dict)
    priority: int = PRIORITY
    kind: NodeKind = NodeKind.AGENT
    on_failure: OnFailure = OnFailure.FAIL
    over: tuple[object, ...] = ()
    over_node: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """A workflow as it was written. `project` is a name, a path or an address; `branch` is where it begins."""

    name: str
    nodes: tuple[Node, ...]
    description: str = ""
    project: str = ""
    branch: str = ""


def check(graph: Graph) -> Graph:
    """Return the graph. Raises ConfigError with every mistake: ids given twice, unknown dependencies, cycles."""
    require(f"workflow {graph.name[:80]!r}", mistakes(graph.nodes))
    return graph


def require(subject: str, found: Iterable[str]) -> None:
    """Raise ConfigError where there are mistakes, with all that a person would want to read of them."""
    listed = list(found)
    if listed:
        more = [f"... and {len(listed) - SHOWN_MISTAKES} more"] if len(listed) > SHOWN_MISTAKES else []
        lines = "\n".join(f"  {line}" for line in [*listed[:SHOWN_MISTAKES], *more])
        raise ConfigError(f"{subject} has {len(listed)} mistake{'s' * (len(listed) > 1)}:\n{lines}")


def mistakes(nodes: Sequence[Node], place: Callable[[int], str] = lambda _: "") -> list[str]:
    """Return what is wrong with how nodes depend on each other; `place` tells where one was written."""
    counts = Counter(node.id for node in nodes)
    last = {node.id: number for number, node in enumerate(nodes) if counts[node.id] > 1}
    found = [
        f"node {name!r}{place(at)}: {counts[name]} nodes have this id; give each its own" for name, at in last.items()
    ]
    offered = tuple(list(counts)[:OFFERED_NODES])
    for number, node in enumerate(nodes):
        for wanted, times in Counter(node.needs).items():
            if times > 1:
                found.append(f"node {node.id!r}{place(number)}: it needs {wanted[:80]!r} {times} times; name it once")
            if wanted not in counts:
                near = nearest(wanted[:80], offered) if len(found) < SHOWN_MISTAKES else ""
                found.append(
                    f"node {node.id!r}{place(number)}: it needs {wanted[:80]!r}, and there is no such node{near}"
                )
    found += [f"cycle: {_walk(cycle)}; take out one of these dependencies" for cycle in cycles(nodes)]
    return found


def cycles(nodes: Sequence[Node]) -> list[list[str]]:
    """Return the cycles that keep nodes from ever being ready, one for each knot of them, as ids in their order.

    Kahn's algorithm: what is left when all that can be ready was, is in a cycle or behind one.
    """
    known = dict.fromkeys(node.id for node in nodes)
    left: dict[str, set[str]] = {name: set() for name in known}
    for node in nodes:
        left[node.id] |= {one for one in node.needs if one in known}
    for name in _in_order(left):
        del left[name]
    found = []
    seen: set[str] = set()
    for start in left:
        way: dict[str, None] = {}
        at = start
        while at not in seen:
            seen.add(at)
            way[at] = None
            at = next(one for one in sorted(left[at]) if one in left)
        if at in way:
            found.append([*list(way)[list(way).index(at) :], at][::-1])
    return found


def layers(nodes: Sequence[Node]) -> list[list[str]]:
    """Return the ids in layers: all that a layer depends on is in those before it. The graph has no cycle."""
    needs = {node.id: set(node.needs) for node in nodes}
    depths: dict[str, int] = {}
    found: list[list[str]] = []
    for name in _in_order(needs):
        depths[name] = 1 + max((depths[parent] for parent in needs[name]), default=-1)
        if depths[name] == len(found):
            found.append([])
        found[depths[name]].append(name)
    return found


def _in_order(needs: Mapping[str, set[str]]) -> list[str]:
    """Return the ids, parents first; those that are in a cycle or behind one are left out."""
    children: dict[str, list[str]] = {}
    waits = {}
    for name, wanted in needs.items():
        waits[name] = len(wanted)
        for one in wanted:
            children.setdefault(one, []).append(name)
    order = [name for name, count in waits.items() if not count]
    for name in order:
        for child in children.get(name, ()):
            waits[child] -= 1
            if not waits[child]:
                order.append(child)
    return order


def ready(nodes: Sequence[Node], states: Mapping[str, AgentStatus]) -> list[str]:
    """Return the ids of pending nodes all of whose parents have come to an end that they can go on from."""
    kinds = {node.id: node.on_failure for node in nodes}

    def lets_go_on(name: str) -> bool:
        return states[name] in SETTLED and (states[name] is AgentStatus.COMPLETED or kinds[name] is OnFailure.CONTINUE)

    return [node.id for node in nodes if states[node.id] is AgentStatus.PENDING and all(map(lets_go_on, node.needs))]


def _walk(cycle: Sequence[str]) -> str:
    shown = [*cycle[:SHOWN_CYCLE], "..."] if len(cycle) > SHOWN_CYCLE + 1 else cycle
    return " -> ".join(shown)
