"""The items of a map: read from what a parent said, and one agent made for each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from components.agent import Agent, AgentStatus, NodeKind, OnFailure
from components.workflow_format import MOST_ITEMS


def parsed(said: str, parent: str) -> list[Any]:
    """Return the JSON list that a parent put out. Raises ValueError where there is none.

    Models like to put words, or a fence, around it.
    """
    first, last = said.find("["), said.rfind("]")
    try:
        items = json.loads(said[first : last + 1] if 0 <= first < last else said)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the output of {parent} is no JSON list: {said[-200:]!r}") from error
    if not isinstance(items, list) or len(items) > MOST_ITEMS:
        raise ValueError(f"the output of {parent} is no JSON list of at most {MOST_ITEMS:,} items")
    return items


def made(one: Agent, items: list[Any], now: str) -> list[Agent]:
    """Return the agents for the items of a map, each under an id that is always the same."""
    return [_item(one, number, item, now) for number, item in enumerate(items)]


def summed_up(items: list[Agent]) -> dict[str, object]:
    """Return what a map leaves whose agents are all over: their results as a list, and where their work stands."""
    ordered = sorted(items, key=lambda item: int(item.node.rpartition("[")[2][:-1]))
    wrong = [item.name for item in ordered if not _is_fine(item)]
    commits = " ".join(dict.fromkeys(word for item in ordered for word in item.commits.split()))
    facts: dict[str, object] = {"result": json.dumps([item.result for item in ordered]), "commits": commits}
    if wrong:
        facts |= {"reason": "item_failed", "error": f"{len(wrong)} of {len(items)} failed: {', '.join(wrong[:10])}"}
    return facts


def _is_fine(item: Agent) -> bool:
    return item.status is AgentStatus.COMPLETED or item.on_failure is OnFailure.CONTINUE


def _item(one: Agent, number: int, item: object, now: str) -> Agent:
    text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    name = hashlib.sha256(f"{one.id}[{number}]".encode()).hexdigest()[:32]
    return replace(
        one,
        id=name,
        map_id=one.id,
        node=f"{one.node}[{number}]",
        kind=NodeKind.AGENT,
        title=one.title.replace("{item}", text),
        task=one.task.replace("{item}", text),
        over="",
        item=json.dumps(item, ensure_ascii=False),
        status=AgentStatus.QUEUED,
        queue_key=f"{name}:1",
        attempt=1,
        created_at=now,
        updated_at=now,
        queued_at=now,
        started_at="",
    )
