"""Reads fields of messages that nobody vouches for, and words what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ARGUMENT_CHARACTERS = 4_000
LARGEST = 1e15
TELLING = (
    *("file_path", "notebook_path", "command", "pattern", "url", "query", "description", "subject", "skill", "path"),
    *("prompt", "message", "task_id", "bash_id", "shell_id"),
)
"""Arguments that tell most of a tool's use, best first."""


def text(data: object, key: str) -> str:
    """Return a field that is text, "" for any other."""
    value = data.get(key) if isinstance(data, Mapping) else None
    return value if isinstance(value, str) else ""


def number(data: object, key: str) -> float | None:
    """Return a field that is a number of a sane size, None for any other."""
    value = data.get(key) if isinstance(data, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -LARGEST < value < LARGEST else None


def mapping(data: object, key: str) -> Mapping[str, Any]:
    """Return a field that is an object, {} for any other."""
    value = data.get(key) if isinstance(data, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def objects(data: object, key: str) -> list[Mapping[str, Any]]:
    """Return the objects in a field that is a list."""
    value = data.get(key) if isinstance(data, Mapping) else None
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def tool_name(name: str) -> str:
    """Return a tool's name for people: `mcp__server__tool` is `server.tool`."""
    return name.removeprefix("mcp__").replace("__", ".", 1) if name.startswith("mcp__") else name or "a tool"


def argument(given: Mapping[str, Any], directory: str = "") -> str:
    """Return the argument that tells most of a tool's use; paths below `directory` are told from there."""
    if todos := objects(given, "todos"):
        return plan(todos, [one.get("status") == "completed" for one in todos], "content")
    found = next((text(given, key) for key in TELLING if text(given, key)), "")
    if not found:
        found = next((value for value in given.values() if isinstance(value, str) and value), "")
    if not found and given:
        found = json.dumps(given, ensure_ascii=False, default=str)[:ARGUMENT_CHARACTERS]
    where = text(given, "path") if text(given, "pattern") else ""
    told = found[:ARGUMENT_CHARACTERS] + (f" in {where}" if where else "")
    return told.replace(directory + "/", "") if directory else told


def plan(steps: list[Mapping[str, Any]], done: list[bool], key: str) -> str:
    """Return how far a list of things to do is, and what is next."""
    following = next((text(one, key) for one, is_done in zip(steps, done, strict=True) if not is_done), "")
    return f"{sum(done)} of {len(steps)} done" + (f"; next: {following}" if following else "")
