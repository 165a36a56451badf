"""Reads a workflow that somebody wrote: YAML of a file, or the JSON of a request; every mistake with its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from components import branch_names, executor_names, text_file, workflow
from components.agent import PRIORITY, NodeKind, OnFailure
from components.errors import ConfigError, NotFound
from components.settings import BY_NAME
from components.workflow import Graph, Node
from components.workflow_document import Document, TooManyNodes, Way
from components.workflow_format import MODEL, MOST_ITEMS, MOST_NODES, NODE, SCHEMA, SYNONYMS, problems_of, unkeepable

FILE_BYTES = 64 << 20
ID_LETTERS = 200
"""How much of an id that is none is still taken for one, to tell the mistakes of others."""
Place = Callable[[Way], str]


def read(path: Path) -> Graph:
    """Return the workflow of a YAML file. Raises NotFound, and ConfigError with every mistake and its line."""
    try:
        text = text_file.read(path, limit=FILE_BYTES).text
    except FileNotFoundError:
        raise NotFound(f"{path}: there is no such file; name the YAML file of a workflow") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: it cannot be read: {error}") from error
    return parsed(text, str(path))


def parsed(text: str, name: str) -> Graph:
    """Return the workflow of a YAML text; `name` says where it is from. Raises ConfigError as `read`."""
    import yaml

    try:
        document = Document(text, MOST_NODES)
    except TooManyNodes as error:
        raise ConfigError(f"{name}: {error}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{name}{place}: not YAML: {error.problem or error.context}; mend the line") from error
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        words = " ".join(str(error).split())[:200]
        raise ConfigError(f"{name}: not YAML: {words}; mend the file") from error
    return graph_of(document.data, name, document.place, document.twice())


def graph_of(
    data: object, name: str, place: Place | None = None, twice: Iterable[str] = (), *, may_be_empty: bool = False
) -> Graph:
    """Return the workflow that plain data describes. `place` tells where in the text something is.

    Raises ConfigError with every mistake; to have no node yet is one unless it `may_be_empty`.
    """
    the_place = place or _no_place
    found = list(twice)

    def tell(problems: Iterable[tuple[Way, str]]) -> list[Way]:
        told = list(problems)
        found.extend(f"{_named(data, way)}{the_place(way)}: {words}" for way, words in told)
        return [way for way, _ in told]

    if tell(unkeepable(data)):
        workflow.require(f"workflow {name[:80]!r}", found)
    nodes = _checked(data, tell(problems_of(data, SCHEMA)), found, the_place)
    if isinstance(data, dict):
        if data.get("nodes") == [] and not may_be_empty:
            found.append("it has no node; add one under `nodes`")
        found += _problems_of_branch(data.get("branch"), the_place(("branch",)))
    workflow.require(f"workflow {name[:80]!r}", found)
    assert isinstance(data, dict)
    texts = {key: str(data.get(key, "")) for key in ("name", "description", "project", "branch")}
    return Graph(nodes=nodes, **texts)


def _checked(data: object, wrong: Iterable[Way], found: list[str], place: Place) -> tuple[Node, ...]:
    """Return the nodes, of those with a mistake what is right, and tell what is wrong beyond keys and types."""
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list):
        return ()
    wrong_keys: dict[str | int, set[str | int]] = {}
    for way in wrong:
        part, place_in_it, key, *_ = (*way, "", "", "")
        wrong_keys.setdefault(place_in_it if part == "nodes" else part, set()).add(key)
    whole = {key: value for key, value in data.items() if key not in wrong_keys}
    nodes = []
    for number, one in enumerate(data["nodes"]):
        bad = wrong_keys.get(number, set())
        node = _rest_of_node(one, bad, number) if bad else _node(one, whole)
        nodes.append(node)
        problems = _problems_of_limits(node) if bad else _problems_of_node(node)
        found += [f"node {node.id!r}{place(('nodes', number))}: {words}" for words in problems]
    found += workflow.mistakes(nodes, lambda number: place(("nodes", number)))
    return tuple(nodes)


def _rest_of_node(one: object, wrong: Collection[str | int], number: int) -> Node:
    """Return a node with mistakes by what others need to know of it: its id, its needs and its limits."""
    given = one if isinstance(one, dict) else {}
    known = given.get("id")
    is_told = isinstance(known, str) and known.isprintable() and len(known) <= ID_LETTERS
    parts = _plain({key: value for key, value in given.items() if isinstance(key, str) and key not in wrong})
    return Node(
        id=str(known) if is_told else f"number {number + 1}",
        needs=tuple(parts.get("needs", ())),
        limits=parts.get("limits", {}),
    )


def node_of(data: object, defaults: Mapping[str, Any] | None = None, subject: str = "") -> Node:
    """Return one node that plain data describes, called `subject`. Raises ConfigError with every mistake."""
    name = str(data.get("id", "?"))[:80] if isinstance(data, dict) else "?"
    for problems in (unkeepable(data), problems_of(data, NODE)):
        found = [f"{_dotted(way) or 'node'}: {words}" for way, words in problems]
        workflow.require(subject or f"node {name!r}", found)
    assert isinstance(data, dict)
    node = _node(data, {"defaults": dict(defaults or {})})
    workflow.require(subject or f"node {name!r}", _problems_of_node(node))
    return node


def written(graph: Graph) -> dict[str, Any]:
    """Return a workflow as it could have been written, in full, for programs."""
    keys = ("name", "description", "project", "branch")
    return {**{key: getattr(graph, key) for key in keys}, "nodes": [_written(node) for node in graph.nodes]}


def _written(node: Node) -> dict[str, Any]:
    told: dict[str, Any] = {"id": node.id, "kind": str(node.kind), "on_failure": str(node.on_failure)}
    told |= {
        name: getattr(node, name) for name in ("task", "title", "role", "level", "complexity") if getattr(node, name)
    }
    told |= {"needs": list(node.needs), "priority": node.priority}
    if node.limits:
        told["limits"] = dict(node.limits)
    if node.kind is NodeKind.MAP:
        told["over"] = {"output_of": node.over_node} if node.over_node else list(node.over)
    return told


def _node(data: Mapping[str, Any], whole: Mapping[str, Any]) -> Node:
    """Return a node whose keys and types are right."""
    defaults = _plain(whole.get("defaults", {}))
    given = {**defaults, **_plain(data)}
    limits = {**defaults.get("limits", {}), **_plain(data).get("limits", {})}
    over = given.get("over", [])
    is_list = isinstance(over, list)
    return Node(
        id=given["id"],
        task=given.get("task", ""),
        title=given.get("title", ""),
        needs=tuple(given.get("needs", ())),
        role=given.get("role", ""),
        level=given.get("level", ""),
        complexity=given.get("complexity", ""),
        limits=limits,
        priority=given.get("priority", PRIORITY),
        kind=NodeKind(given.get("kind", NodeKind.MAP if "over" in given else NodeKind.AGENT)),
        on_failure=OnFailure(given.get("on_failure") or whole.get("on_failure") or OnFailure.FAIL),
        over=tuple(over) if is_list else (),
        over_node="" if is_list else over["output_of"],
    )


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    return {SYNONYMS.get(name, name): value for name, value in data.items()}


def _problems_of_node(node: Node) -> Iterator[str]:
    """Yield what is wrong with a node by itself, beyond keys and types."""
    is_map = node.kind is NodeKind.MAP
    if node.kind is not NodeKind.APPROVAL and not node.task.strip():
        yield "`task` is missing; say what is to be done"
    if is_map and not node.over and not node.over_node:
        yield "`over` is missing, or an empty list; give a map a list, or {output_of: NODE}"
    if not is_map and (node.over or node.over_node):
        yield f"`over` is for a map, and this is an {node.kind}; write `kind: map`, or take it out"
    if node.over_node and node.over_node not in node.needs:
        yield f"`over` is the output of {node.over_node[:80]!r}, which is not among its `needs`; add it there"
    yield from _problems_of_limits(node)
    try:
        if len(json.dumps(node.over)) > MOST_ITEMS * 1000:
            yield "`over` is too long; have the items written to a file, and name that"
    except (TypeError, ValueError) as error:
        yield f"`over` has an item that is no JSON ({error}); write text, numbers, lists and tables"


def _problems_of_limits(node: Node) -> Iterator[str]:
    for name, value in node.limits.items():
        if name != MODEL:
            try:
                BY_NAME[name].kind.from_yaml(value)
            except ValueError as error:
                yield f"limits.{name}: {error}"
    executor = node.limits.get("executor")
    if executor is not None and not executor_names.is_known(str(executor)):
        yield f"limits.executor: {str(executor)[:80]!r} is not known; choose one of {', '.join(executor_names.known())}"


def _problems_of_branch(branch: object, place: str) -> Iterator[str]:
    if isinstance(branch, str) and branch and not branch_names.is_safe(branch):
        yield f"branch{place}: {branch[:80]!r} is no name of a branch; write it with letters, digits and . _ / - only"


def _no_place(way: Way) -> str:
    del way
    return ""


def _named(data: object, way: Way) -> str:
    """Return the way to a place for people: a node is named by its id."""
    if len(way) < 2 or way[0] != "nodes":
        return _dotted(way) or "workflow"
    assert isinstance(data, dict)
    if not isinstance(data["nodes"], list) or not isinstance(way[1], int):
        return _dotted(way)
    one = data["nodes"][way[1]]
    given = one.get("id") if isinstance(one, dict) else None
    inner = "".join(f", {_dotted((part,))}" for part in way[2:])
    return f"node {str(given)[:80]!r}{inner}" if given is not None else f"node number {way[1] + 1}{inner}"


def _dotted(way: Way) -> str:
    """Return a way as text that can be told: a key may have had half a character in it."""
    return ".".join(map(str, way)).encode(errors="replace").decode()
