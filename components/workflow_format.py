"""The written form of a workflow: which keys it has, as the JSON Schema that is published and that reads it here.

The schema uses a handful of words (`type`, `enum`, `pattern`, bounds, `anyOf`); `problem_of` understands exactly these,
so that what the schema takes and what the runner takes are one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.agent import PRIORITY, NodeKind, OnFailure
from components.setting_kinds import TYPE_NAMES, Choice, Number, nearest
from components.settings import BY_NAME
from components.states import Complexity, Level, Role

Schema = Mapping[str, Any]
LIMITS = (
    *("claude_timeout", "silence_timeout", "tool_timeout", "grace", "output_limit", "memory_limit", "max_turns"),
    *("max_budget_usd", "task_budget_usd", "max_attempts", "evidence", "executor"),
)
"""Settings that a node may have of its own: none by which a graph could make a machine start what it likes."""
MODEL = "model"
TEXT_LETTERS = 200_000
MOST_NODES = 50_000
MOST_ITEMS = 10_000
MOST_BITS = 1024
MOST_DEPTH = 50
"""How many lists and tables may be within each other."""
ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$(?!\n)"
"""Also where `$` is true before a line's end, as it is in Python, none comes after it."""


def _words(kinds: Any, meaning: str) -> Schema:
    return {"description": meaning, "enum": [str(one) for one in kinds]}


def _line(meaning: str, longest: int = 200) -> Schema:
    return {"description": meaning, "type": "string", "pattern": r"^[^\x00-\x1f]*$(?!\n)", "maxLength": longest}


def _text(meaning: str) -> Schema:
    return {"description": meaning, "type": "string", "pattern": r"^[^\x00]*$", "maxLength": TEXT_LETTERS}


def _limit(name: str) -> Schema:
    if name == MODEL:
        return _line("The model, whatever the level.")
    meaning, kind = BY_NAME[name].meaning, BY_NAME[name].kind
    if isinstance(kind, Number):
        bounds = {"minimum": kind.minimum, "maximum": kind.maximum}
        return {"description": meaning, "type": "integer" if kind.whole else "number", **bounds}
    if isinstance(kind, Choice):
        return {"description": meaning, "enum": list(kind.options)}
    return _line(meaning)


NEEDS: Schema = {
    "description": "The nodes that come before this one; it begins at their work, merged.",
    "type": "array",
    "items": {"type": "string"},
    "maxItems": MOST_NODES,
}
OVER: Schema = {
    "description": "What a map goes over: a list, or the node whose last message is a JSON list.",
    "anyOf": [
        {"type": "array", "maxItems": MOST_ITEMS},
        {
            "type": "object",
            "properties": {"output_of": {"description": "One of this node's `needs`.", "type": "string"}},
            "required": ["output_of"],
            "additionalProperties": False,
        },
    ],
}
LIMIT_TABLE: Schema = {
    "description": "Settings of this node alone.",
    "type": "object",
    "properties": {name: _limit(name) for name in (MODEL, *LIMITS)},
    "additionalProperties": False,
}
COMMON: Mapping[str, Schema] = {
    "role": _words(Role, "Whose instructions the agent gets, and which workers may take it."),
    "level": _words(Level, "Seniority: it chooses the model."),
    "complexity": _words(Complexity, "major works in a worktree of its own, minor in the main checkout."),
    "on_failure": _words(OnFailure, "What becomes of those that depend on it where it fails."),
    "limits": LIMIT_TABLE,
    "priority": {
        "description": f"Of those that wait the lowest comes first; {PRIORITY} where nothing is said.",
        "type": "integer",
        "minimum": 0,
        "maximum": 1_000_000,
    },
}
NODE_KEYS: Mapping[str, Schema] = {
    "id": {"description": "Its name, once in a workflow.", "type": "string", "pattern": ID},
    "task": _text("What is to be done; in a map {item} stands for the item."),
    "title": _line("What it is called."),
    "needs": NEEDS,
    "kind": _words(NodeKind, "agent, approval (waits for a person) or map (one agent for each item of `over`)."),
    "over": OVER,
    **COMMON,
}
SYNONYMS: Mapping[str, str] = {"dependencies": "needs", "depends_on": "needs", "seniority": "level"}
"""Other names of keys of a node."""
NODE: Schema = {
    "type": "object",
    "properties": {**NODE_KEYS, **{other: NODE_KEYS[name] for other, name in SYNONYMS.items()}},
    "required": ["id"],
    "additionalProperties": False,
}
FILE_KEYS: Mapping[str, Schema] = {
    "name": {**_line("What the workflow is called.", 100), "minLength": 1},
    "description": _text("What it is for."),
    "project": _line("The repository: a name of `projects:`, a path or an address. --project goes before it.", 1000),
    "branch": _line("The branch that the first nodes begin at.", 200),
    "defaults": {
        "description": "What holds for nodes that say nothing else.",
        "type": "object",
        "properties": {**COMMON, "seniority": COMMON["level"]},
        "additionalProperties": False,
    },
    "on_failure": COMMON["on_failure"],
    "nodes": {"type": "array", "items": NODE, "maxItems": MOST_NODES},
}
SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A workflow of agents",
    "type": "object",
    "properties": FILE_KEYS,
    "required": ["name", "nodes"],
    "additionalProperties": False,
}
PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}


def schema_text() -> str:
    """Return the JSON Schema of a workflow file, as it is published."""
    return json.dumps(SCHEMA, indent=2) + "\n"


def unkeepable(data: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield what a store or JSON cannot keep, wherever it is: half characters, numbers that are none, great depth."""
    rest: list[tuple[tuple[Any, ...], Any]] = [((), [data])]
    for way, value in rest:
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            place = (*way, key)[1:]
            if isinstance(one, dict | list):
                rest.append(((*way, key), one))
                if len(way) > MOST_DEPTH:
                    shown = place[: 3 if place[0] == "nodes" else 2]
                    yield shown, f"more than {MOST_DEPTH} lists and tables within each other; make it flatter"
                    return
            elif isinstance(one, float) and not math.isfinite(one):
                yield place, f"{one} is no number that can be kept; write another one"
            elif isinstance(one, int) and one.bit_length() > MOST_BITS:
                yield place, "the number is too long to be kept; write a smaller one"
            if _is_half(one) or _is_half(key):
                yield place, "it has half a character (a lone surrogate); write whole ones"


def _is_half(text: object) -> bool:
    if isinstance(text, str):
        try:
            text.encode()
        except UnicodeEncodeError:
            return True
    return False


def problems_of(value: object, schema: Schema) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield what is wrong with a value by a schema: the way to the place, then the words."""
    if words := problem_of(value, schema):
        yield (), words
    elif isinstance(value, dict) and "properties" in schema:
        yield from _problems_of_table(value, schema)
    elif isinstance(value, list) and "items" in schema:
        for number, one in enumerate(value):
            yield from (((number, *way), words) for way, words in problems_of(one, schema["items"]))


def _problems_of_table(value: dict[object, object], schema: Schema) -> Iterator[tuple[tuple[str | int, ...], str]]:
    known = tuple(schema["properties"])
    for name, one in value.items():
        key = str(name)
        if key not in known:
            yield (key,), f"not known{nearest(key, known)}; known are: {', '.join(known)}"
        else:
            yield from (((key, *way), words) for way, words in problems_of(one, schema["properties"][key]))
    for name in schema.get("required", ()):
        if name not in value:
            yield (), f"`{name}` is missing; add it"


def problem_of(value: object, schema: Schema) -> str:
    """Return what is wrong with one value, without a look into it; "" for nothing."""
    if "anyOf" in schema:
        tried = [list(problems_of(value, one)) for one in schema["anyOf"]]
        return "" if [] in tried else "write a list, or {output_of: NODE}"
    if "enum" in schema:
        return _problem_of_word(value, schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if isinstance(value, bool) or not isinstance(value, tuple(one for kind in kinds for one in PYTHON_TYPES[kind])):
        given = TYPE_NAMES.get(type(value), "nothing" if value is None else type(value).__name__)
        return f"it is {given}; write {' or '.join(_NAMES[kind] for kind in kinds)}"
    return _problem_of_size(value, schema)


_NAMES = {"string": "text", "integer": "a whole number", "number": "a number", "array": "a list", "object": "a table"}


def _problem_of_word(value: object, options: list[str]) -> str:
    if isinstance(value, str) and value in options:
        return ""
    near = nearest(value, tuple(options)) if isinstance(value, str) else ""
    return f"{str(value)[:80]!r} is not known; write one of {', '.join(options)}{near}"


def _problem_of_size(value: Any, schema: Schema) -> str:
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            return f"it has {len(value):,} letters; write {schema.get('minLength', 0)} to {schema['maxLength']:,}"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return f"{value[:80]!r} is not allowed; write {_pattern_words(schema['pattern'])}"
    if isinstance(value, list) and len(value) > schema.get("maxItems", len(value)):
        return f"it has {len(value):,} entries; {schema['maxItems']:,} are the most"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no number that can be kept; write another one"
    if isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return f"{value} is out of bounds; write {schema['minimum']} to {schema['maximum']:,}"
    return ""


def _pattern_words(pattern: str) -> str:
    if pattern == ID:
        return "letters, digits and - _ . only, 1 to 64 of them, the first a letter or a digit"
    return "it without control characters"
