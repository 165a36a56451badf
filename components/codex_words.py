"""What the events of `codex exec --json` say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components.log_view import Kind, Line
from components.log_words import argument, mapping, number, objects, plan, text

OPEN_ITEMS = 1_000
EVENTS = ("thread.", "turn.", "item.")
Words = Callable[[Mapping[str, Any]], list[Line]]


class CodexWords:
    """Reads one run's events in order: a command is told when it begins, its result when it ends."""

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._items: Mapping[str, Words] = {
            "agent_message": lambda item: [Line(Kind.SAID, text(item, "text"))],
            "reasoning": lambda item: [Line(Kind.THOUGHT, text(item, "text"))],
            "command_execution": _command_result,
            "mcp_tool_call": _tool_result,
            "file_change": _changes,
            "web_search": lambda item: [Line(Kind.TOOL, f"web search {text(item, 'query')}")],
            "todo_list": _plan,
            "error": lambda item: [Line(Kind.WARNING, text(item, "message"))],
        }

    def knows(self, message: Mapping[str, Any]) -> bool:
        """Is it an event of `codex exec`?"""
        kind = text(message, "type")
        return kind.startswith(EVENTS) or (kind == "error" and bool(text(message, "message")))

    def hear(self, message: Mapping[str, Any]) -> Iterator[Line]:
        """Yield what an event says."""
        kind, item = text(message, "type"), mapping(message, "item")
        if kind == "thread.started":
            yield Line(Kind.NOTICE, f"session {text(message, 'thread_id')[:13]}")
        elif kind == "turn.completed":
            yield Line(Kind.DONE, f"turn done: {_figures(mapping(message, 'usage'))}")
        elif kind == "turn.failed":
            yield Line(Kind.FAILED, f"turn failed: {text(mapping(message, 'error'), 'message')}")
        elif kind == "error":
            yield Line(Kind.WARNING, text(message, "message"))
        elif kind == "item.started":
            yield from self._start(item)
        elif kind == "item.completed":
            yield from self._end(item)

    def _start(self, item: Mapping[str, Any]) -> Iterator[Line]:
        if used := _use(item):
            if len(self._begun) >= OPEN_ITEMS:
                self._begun.clear()
            self._begun.add(text(item, "id"))
            yield used

    def _end(self, item: Mapping[str, Any]) -> Iterator[Line]:
        used = _use(item)
        if used and text(item, "id") not in self._begun:
            yield used
        self._begun.discard(text(item, "id"))
        words = self._items.get(text(item, "type"))
        yield from words(item) if words is not None else ()


def _use(item: Mapping[str, Any]) -> Line | None:
    """Return the call that an item is, None for what is none."""
    kind = text(item, "type")
    if kind == "command_execution":
        return Line(Kind.TOOL, f"shell {text(item, 'command')}")
    if kind == "mcp_tool_call":
        given = argument(mapping(item, "arguments"))
        return Line(Kind.TOOL, f"{text(item, 'server')}.{text(item, 'tool')} {given}")
    return None


def _command_result(item: Mapping[str, Any]) -> list[Line]:
    code, said = number(item, "exit_code"), text(item, "aggregated_output")
    if code or text(item, "status") in ("failed", "declined"):
        how = f"exit code {code:.0f}" if code else text(item, "status")
        return [Line(Kind.FAILURE, f"{how}\n{said}")]
    return [Line(Kind.RESULT, said or "(no output)")]


def _tool_result(item: Mapping[str, Any]) -> list[Line]:
    failure = text(mapping(item, "error"), "message")
    if failure or text(item, "status") == "failed":
        return [Line(Kind.FAILURE, failure or "failed")]
    said = "\n".join(text(part, "text") for part in objects(mapping(item, "result"), "content"))
    return [Line(Kind.RESULT, said or "(no output)")]


def _changes(item: Mapping[str, Any]) -> list[Line]:
    told = [f"{text(one, 'kind') or 'change'} {text(one, 'path')}" for one in objects(item, "changes")]
    lines = [Line(Kind.TOOL, one) for one in told]
    return [*lines, Line(Kind.FAILURE, "not applied")] if text(item, "status") == "failed" else lines


def _plan(item: Mapping[str, Any]) -> list[Line]:
    steps = objects(item, "items")
    return [Line(Kind.NOTICE, f"plan: {plan(steps, [one.get('completed') is True for one in steps], 'text')}")]


def _figures(usage: Mapping[str, Any]) -> str:
    told, said = number(usage, "input_tokens") or 0, number(usage, "output_tokens") or 0
    return f"{told:,.0f} tokens in, {said:,.0f} out"
