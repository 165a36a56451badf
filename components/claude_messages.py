"""Reads one line of what the Claude CLI prints: its kind at first sight, the whole message only where it matters.

A line may be 10 MB long, torn, or no message at all. Within JSON every quote of a text is escaped, so `"word"` with
bare quotes is a key or a whole value and never a part of a text. The order of keys differs between versions of the
CLI: a line that begins with its type is only known sooner.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import orjson

HEAD = re.compile(rb'\s*\{\s*"type"\s*:\s*"([\w.]{1,64})"(?:\s*,\s*"subtype"\s*:\s*"(\w{1,64})")?')
OBJECT = re.compile(rb"\s*\{")
LONG_BYTES = 1 << 18
"""Above it a line is parsed only if a word of MATTERS is in it."""
MATTERS = (b'"result"', b'"assistant"', b'"system"', b'"rate_limit_event"')
TOOL_RESULT = b'"tool_use_id"'
VALUE = re.compile(rb'\s*:\s*"([^"\\]{1,200})"')
NAME_LIMIT = 200
MOST = 1 << 53
"""More than any count; beyond it sums would not be exact."""


Message = dict[str, Any]
NOTHING: Message = {}


def look(line: bytes) -> tuple[bytes, bytes, Message]:
    """Return a line's kind, its subtype, and the message where it had to be parsed to know; all empty for noise."""
    head = HEAD.match(line)
    if head is not None and (head[2] is not None or head[1] != b"system"):
        return head[1], head[2] or b"", NOTHING
    if OBJECT.match(line) is None:
        return b"", b"", NOTHING
    if len(line) > LONG_BYTES and not any(word in line for word in MATTERS):
        return (b"user" if b'"user"' in line else b""), b"", NOTHING
    message = parse(line)
    if not message:
        return (head[1] if head else b""), b"", NOTHING
    return name(message.get("type")).encode(), name(message.get("subtype")).encode(), message


def parse(line: bytes) -> Message:
    """Return a line's message; empty for noise, a torn line, and nesting that is made to break parsers.

    What is JSON to Python alone (bytes that are no UTF-8, half of a surrogate pair, NaN) is a message all the same.
    """
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            message = json.loads(line.decode(errors="replace"))
        except (ValueError, RecursionError):
            return NOTHING
    return message if isinstance(message, dict) else NOTHING


def finished_tools(line: bytes) -> Iterator[str]:
    """Yield the ids of the tool calls whose results a line may hold, without parsing it."""
    at = line.find(TOOL_RESULT)
    while at >= 0:
        value = VALUE.match(line, at + len(TOOL_RESULT))
        if value is not None and line[at - 1 : at] != b"\\":
            yield value[1].decode(errors="replace")
        at = line.find(TOOL_RESULT, at + len(TOOL_RESULT))


def mapping(value: object) -> dict[str, Any]:
    """Return a value that should be an object; an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[dict[str, Any]]:
    """Return the objects of a value that should be a list of objects."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """Return a value that should be a text, without what cannot be encoded; "" in place of anything else."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else value.encode(errors="replace").decode()


def name(value: object) -> str:
    """Return a value that should be a short text."""
    if type(value) is not str:
        return ""
    short = value[:NAME_LIMIT]
    return short if short.isascii() else text(short)


def number(value: object) -> float:
    """Return a value that should be a number from 0 on; 0 in place of anything else."""
    if type(value) not in (int, float):  # a bool is an int to isinstance
        return 0.0
    try:
        return max(0.0, float(value)) if math.isfinite(value) else 0.0  # type: ignore[arg-type]
    except OverflowError:
        return 0.0


def count(value: object) -> int:
    """Return a value that should be a whole number from 0 on; 0 in place of anything else."""
    return value if type(value) is int and 0 <= value < MOST else 0
