"""A graph of agents as a picture: a Mermaid flowchart, which terminals show as text and browsers draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.agent import Agent, AgentStatus, NodeKind

LABEL_LETTERS = 60


@dataclass(frozen=True, slots=True)
class Drawn:
    """A node as it is drawn."""

    id: str
    label: str
    needs: tuple[str, ...] = ()
    kind: NodeKind = NodeKind.AGENT
    status: str = ""


SHAPES: Mapping[NodeKind, tuple[str, str]] = {
    NodeKind.AGENT: ("[", "]"),
    NodeKind.APPROVAL: ("{{", "}}"),
    NodeKind.MAP: ("[[", "]]"),
}
COLOURS: Mapping[str, str] = {
    AgentStatus.QUEUED: "fill:#fff3c4,stroke:#b58900",
    AgentStatus.AWAITING: "fill:#ffe0b2,stroke:#e65100",
    AgentStatus.ACTIVE: "fill:#bbdefb,stroke:#0d47a1",
    AgentStatus.COMPLETED: "fill:#c8e6c9,stroke:#1b5e20",
    AgentStatus.FAILED: "fill:#ffcdd2,stroke:#b71c1c",
    AgentStatus.SKIPPED: "fill:#eeeeee,stroke:#757575,stroke-dasharray:4",
    AgentStatus.CANCELLED: "fill:#e0e0e0,stroke:#424242",
}


def drawn(agents: Iterable[Agent], needs: Mapping[str, Sequence[str]]) -> Iterator[Drawn]:
    """Yield agents as they are drawn; `needs` are the names of those that each depends on, by its id."""
    for one in agents:
        yield Drawn(one.name, f"{one.name}: {one.role}", tuple(needs.get(one.id, ())), one.kind, str(one.status))


def mermaid(nodes: Iterable[Drawn]) -> str:
    """Return a graph as a Mermaid flowchart, its nodes coloured by their status."""
    chosen = list(nodes)
    names = {node.id: f"n{number}" for number, node in enumerate(chosen)}
    return "\n".join(["flowchart TD", *_lines(chosen, names)]) + "\n"


def _lines(chosen: Sequence[Drawn], names: Mapping[str, str]) -> Iterator[str]:
    for node in chosen:
        opening, closing = SHAPES[node.kind]
        colour = f":::{node.status}" if node.status in COLOURS else ""
        yield f'    {names[node.id]}{opening}"{_label(node.label)}"{closing}{colour}'
    for node in chosen:
        yield from (f"    {names[parent]} --> {names[node.id]}" for parent in node.needs if parent in names)
    for status in dict.fromkeys(node.status for node in chosen if node.status in COLOURS):
        yield f"    classDef {status} {COLOURS[status]}"


def _label(text: str) -> str:
    """Return a text as one line that means nothing to Mermaid, nor to the HTML that it makes of it."""
    line = " ".join(text.split())[:LABEL_LETTERS]
    return "".join(letter if letter.isalnum() or letter in " .,:()-_/$%+" else f"#{ord(letter)};" for letter in line)
