"""The YAML of a workflow, with the line of each of its parts: mistakes are told by it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml

Way = tuple[str | int, ...]
READABLE_DEPTH = 1000
"""libyaml has a stack frame for each level: at 40,000 and 8 MB of stack the process ends."""

NODE_DEPTH = 2
"""Within how many tables and lists a node is: the file's, and that of `nodes`."""


class TooManyNodes(ValueError):
    """A workflow has more nodes than are taken."""


class Document:
    """A YAML document: its data, and where in the text each part of it is.

    Raises TooManyNodes before all of them are read, YAMLError, and ValueError, RecursionError and TypeError as the
    reader of YAML does.
    """

    def __init__(self, text: str, most_nodes: int) -> None:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)  # in C it is ten times as fast, where it is there
        try:
            _require_readable(text, most_nodes)
            with _uncollected():
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


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python from looking for cycles meanwhile: of what is read nothing is garbage yet.

    100,000 nodes are millions of objects, and three quarters of the time went into looks at all of them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _require_readable(text: str, most_nodes: int) -> None:
    """Raise ValueError for an alias, too many nodes, and a depth at which the reader in C would end the process."""
    import yaml

    depth = nodes = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has an alias (*name), which is not taken here; write the value out")
        is_node = depth == NODE_DEPTH and isinstance(event, yaml.MappingStartEvent)
        nodes += is_node
        if nodes > most_nodes:
            told = "make several workflows of it, or let a map go over a list"
            raise TooManyNodes(f"it has more than {most_nodes:,} nodes; {told}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > READABLE_DEPTH:
            line = f"line {event.start_mark.line + 1}" if event.start_mark else "it"
            raise ValueError(f"{line} has over {READABLE_DEPTH} lists within each other; make it flatter")


def _inner(node: yaml.Node | None, part: str | int) -> yaml.Node | None:
    import yaml

    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        found: yaml.Node = node.value[part]
        return found
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    return None
