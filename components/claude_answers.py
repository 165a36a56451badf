"""Reads a short answer of the Claude CLI at one stroke, as most of what it prints is short answers.

The grammar is JSON's, narrowed to the usual messages: what it takes means the same to `json`, only that finds out four
times as slowly on lines of 0.3 kB; what it does not take is for `json` to read. A key that says something stands in it
once, or the last one counts, as in `json`.
"""

from __future__ import annotations

import re

LONGEST_BYTES = 1 << 14
"""Longer lines are mostly text, and `json` is as fast on that."""

_TEXT = r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_COUNT = r"(?:0|[1-9][0-9]{0,14}+)"
_PLAIN = rf"(?:{_TEXT}|null|{_COUNT}|true|false)"
_NAME = r'"([\w.:/@\[\]-]{1,100}+)"'
_COLON = ": ?+"
_COMMA = ", ?+"


def _key(name: str, value: str) -> str:
    return f'"{name}"{_COLON}{value}'


def _plain_but(*names: str) -> str:
    """Return the grammar of a key with a plain value that has none of these names."""
    return rf'"(?!(?:{"|".join(names)})")[a-z_0-9]++"{_COLON}{_PLAIN}'


def _object(*members: str) -> str:
    """Return the grammar of an object with any of these members, or none; of one that comes twice the last counts."""
    return rf"\{{(?:(?:{'|'.join(members)})(?:{_COMMA}(?=\")|(?=\}})))*+\}}"


def _listed(*members: str) -> str:
    """Return the grammar of more members, each after a comma."""
    return rf"(?:{_COMMA}(?:{'|'.join(members)}))*+"


_HOUR = _key("ephemeral_1h_input_tokens", f"({_COUNT})")
_CACHED = rf"\{{{_key('ephemeral_5m_input_tokens', _COUNT)}{_COMMA}{_HOUR}\}}"
_COUNTED = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_USAGE = _object(
    *(_key(name, f"({_COUNT})") for name in _COUNTED),
    _key("cache_creation", _CACHED),
    _plain_but(*_COUNTED, "cache_creation"),
)
_CALLED = _COMMA.join((_key("id", _NAME), _key("name", _NAME), _key("input", _object(rf"{_TEXT}{_COLON}{_PLAIN}"))))
_BLOCK = (
    rf'\{{"type"{_COLON}"(?:'
    rf'(text)"{_COMMA}{_key("text", _TEXT)}'
    rf'|thinking"{_COMMA}{_key("thinking", _TEXT)}(?:{_COMMA}{_key("signature", _TEXT)})?+'
    rf'|tool_use"{_COMMA}{_CALLED}'
    r")\}"
)
_CONTENT = rf"\[{_BLOCK}\]"
_SAID = (_key("id", _NAME), _key("model", _NAME), _plain_but("id", "model", "content", "usage"))
_BODY = (
    rf"\{{(?:(?:{'|'.join(_SAID)}){_COMMA})*+{_key('content', _CONTENT)}{_listed(_SAID[-1])}"
    rf"(?:{_COMMA}{_key('usage', _USAGE)}{_listed(_SAID[-1])})?+\}}"
)
_AROUND = (
    _key("parent_tool_use_id", f"(?:null|{_NAME})"),
    _plain_but("type", "subtype", "message", "error", "parent_tool_use_id"),
)
_LINE = rf'\{{"type"{_COLON}"assistant"{_listed(*_AROUND)}{_COMMA}{_key("message", _BODY)}{_listed(*_AROUND)}\}}'
read = re.compile(_LINE.encode()).fullmatch
"""Match an answer that has one block.

Groups, None for what is not there: the call that started the answer's agent, where the message comes after it (the last
group is the same, where the message comes before it); the answer's id and model, `text` for a block of text, the id and
the name of a tool call, tokens given, said, read from the cache and written to it, and written to it for an hour.
"""
