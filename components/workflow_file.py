"""Reads a workflow that somebody wrote: YAML of a file, or the JSON of a request; every mistake with its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import text_file, workflow
from components.agent import PRIORITY, NodeKind, OnFailure
from components.errors import ConfigError, NotFound
from components.settings import BY_NAME
from components.workflow import Graph, Node
from components.workflow_format import MODEL, MOST_ITEMS, NODE, SCHEMA, SYNONYMS, problems_of

if TYPE_CHECKING:
    import yaml

FILE_BYTES = 64 << 20
Way = tuple[str | int, ...]
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
        document = _Document(text)
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
    found += [f"{_named(data, way)}{the_place(way)}: {words}" for way, words in problems_of(data, SCHEMA)]
    workflow.require(name, found)
    assert isinstance(data, dict)
    nodes = tuple(_node(one, data) for one in data["nodes"])
    for number, node in enumerate(nodes):
        found += [f"node {node.id!r}{the_place(('nodes', number))}: {words}" for words in _problems_of_node(node)]
    if not nodes and not may_be_empty:
        found.append("it has no node; add one under `nodes`")
    found += workflow.mistakes(nodes, lambda number: the_place(("nodes", number)))
    workflow.require(name, found)
    texts = {key: str(data.get(key, "")) for key in ("name", "description", "project", "branch")}
    return Graph(nodes=nodes, **texts)


def node_of(data: object, defaults: Mapping[str, Any] | None = None) -> Node:
    """Return one node that plain data describes. Raises ConfigError with every mistake."""
    name = str(data.get("id", "?"))[:80] if isinstance(data, dict) else "?"
    found = [f"{'.'.join(map(str, way)) or 'node'}: {words}" for way, words in problems_of(data, NODE)]
    workflow.require(f"node {name}", found)
    assert isinstance(data, dict)
    node = _node(data, {"defaults": dict(defaults or {})})
    workflow.require(f"node {name}", _problems_of_node(node))
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
        needs=tuple(dict.fromkeys(given.get("needs", ()))),
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
                BY_NAME[name].kind.from_text(str(value))
            except ValueError as error:
                yield f"limits.{name}: {error}"


def _no_place(way: Way) -> str:
    del way
    return ""


def _named(data: object, way: Way) -> str:
    """Return the way to a place for people: a node is named by its id."""
    if len(way) < 2 or way[0] != "nodes":
        return ".".join(map(str, way)) or "workflow"
    assert isinstance(data, dict)
    one = data["nodes"][way[1]]
    given = one.get("id") if isinstance(one, dict) else None
    inner = "".join(f", {part}" for part in way[2:])
    return f"node {str(given)[:80]!r}{inner}" if given is not None else f"node number {int(way[1]) + 1}{inner}"


class _Document:
    """A YAML document: its data, and where in the text each part of it is."""

    def __init__(self, text: str) -> None:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)  # in C it is ten times as fast, where it is there
        try:
            if any(isinstance(event, yaml.AliasEvent) for event in _events(text)):
                raise ValueError("it has an alias (*name), which is not taken here; write the value out")
            self.root: yaml.Node | None = loader.get_single_node()
            self.data = None if self.root is None else loader.construct_document(self.root)
        finally:
            loader.dispose()

    def place(self, way: Way) -> str:
        """Return the line of a place, or of the nearest one around it that is there."""
        node = self.root
        for part in way:
            inner = _inner(node, part)
            if inner is None:
                break
            node = inner
        return "" if node is None else f" (line {node.start_mark.line + 1})"

    def twice(self) -> Iterator[str]:
        """Yield the keys that a table has more than once: YAML would take the last one."""
        import yaml

        rest = [self.root]
        while rest:
            node = rest.pop()
            if isinstance(node, yaml.SequenceNode):
                rest += node.value
            elif isinstance(node, yaml.MappingNode):
                seen: set[str] = set()
                for key, value in node.value:
                    if str(key.value) in seen:
                        yield f"`{key.value}` (line {key.start_mark.line + 1}): it is given twice; take one out"
                    seen.add(str(key.value))
                    rest.append(value)


def _events(text: str) -> Any:
    import yaml

    return yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if "*" in text else ()


def _inner(node: yaml.Node | None, part: str | int) -> yaml.Node | None:
    import yaml

    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        found: yaml.Node = node.value[part]
        return found
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    return None
