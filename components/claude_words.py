"""What the messages of the Claude CLI (`stream-json`, versions 2.1.197 to 2.1.329) say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components.log_line import duration
from components.log_view import Kind, Line
from components.log_words import argument, mapping, number, objects, text, tool_name

OPEN_CALLS = 1_000
"""How many tool calls without a result are remembered."""
COUNTED = frozenset({"Read", "NotebookRead"})
"""Tools whose result is a file: its number of lines says enough."""

Words = Callable[[Mapping[str, Any]], Iterator[Line]]


class ClaudeWords:
    """Reads one run's messages in order; keys and kinds of messages change between versions, and are read leniently."""

    def __init__(self) -> None:
        self._directory = ""
        self._calls: dict[str, tuple[str, int]] = {}
        self._told = ""
        self._turns: Mapping[str, Words] = {
            "system": self._system,
            "assistant": self._assistant,
            "user": self._user,
            "result": self._result,
            "rate_limit_event": self._rate_limit,
        }
        self._notices: Mapping[str, Words] = {
            "init": self._init,
            "api_retry": self._retry,
            "model_fallback": self._fallback,
            "task_notification": self._background,
            "compact_boundary": lambda _: _notice("the conversation was summarized to make room"),
            "informational": lambda message: _notice(text(message, "content") or text(message, "message")),
        }

    def knows(self, message: Mapping[str, Any]) -> bool:
        """Is it a message of the CLI? Kinds that we do not know have its session's id as all others."""
        return message.get("type") in self._turns or ("session_id" in message and "type" in message)

    def hear(self, message: Mapping[str, Any]) -> Iterator[Line]:
        """Yield what a message says."""
        turn = self._turns.get(text(message, "type"))
        if turn is not None:
            when = text(message, "timestamp")
            for line in turn(message):
                yield Line(line.kind, line.text, line.depth, when)

    def _system(self, message: Mapping[str, Any]) -> Iterator[Line]:
        notice = self._notices.get(text(message, "subtype"))
        return notice(message) if notice is not None else iter(())

    def _init(self, message: Mapping[str, Any]) -> Iterator[Line]:
        self._directory = text(message, "cwd").rstrip("/")
        facts = {
            "session": text(message, "session_id")[:8],
            "model": text(message, "model"),
            "mode": text(message, "permissionMode"),
            "version": text(message, "claude_code_version"),
        }
        yield from _notice(", ".join(f"{name} {value}" for name, value in facts.items() if value))

    def _retry(self, message: Mapping[str, Any]) -> Iterator[Line]:
        attempt, most = number(message, "attempt") or 0, number(message, "max_retries") or 0
        delay, status = number(message, "retry_delay_ms") or 0, number(message, "error_status")
        why = text(message, "error") or "no answer"
        code = f" (HTTP {status:.0f})" if status else ""
        yield Line(Kind.WARNING, f"retry {attempt:.0f} of {most:.0f} in {duration(delay / 1000)}: {why}{code}")

    def _fallback(self, message: Mapping[str, Any]) -> Iterator[Line]:
        names = [text(message, key) for key in ("original_model", "fallback_model") if text(message, key)]
        yield Line(Kind.WARNING, " -> ".join(["another model takes over", *names]))

    def _background(self, message: Mapping[str, Any]) -> Iterator[Line]:
        said = text(message, "summary") or text(message, "description")
        status = text(message, "status") or "changed"
        yield Line(Kind.NOTICE, f"in the background, {status}: {said}")

    def _rate_limit(self, message: Mapping[str, Any]) -> Iterator[Line]:
        info = mapping(message, "rate_limit_info")
        status, kind = text(info, "status"), text(info, "rateLimitType").replace("_", " ")
        if status in ("", "allowed"):
            return
        until = number(info, "resetsAt")
        when = f", until {_clock(until)}" if until else ""
        word = "the limit is reached" if status == "rejected" else "the limit is near"
        yield Line(Kind.WARNING, f"rate limit: {word}{f' ({kind})' if kind else ''}{when}")

    def _assistant(self, message: Mapping[str, Any]) -> Iterator[Line]:
        depth = self._depth(message)
        for block in objects(mapping(message, "message"), "content"):
            if text(block, "text"):
                self._told = text(block, "text")
                yield Line(Kind.WARNING if text(message, "error") else Kind.SAID, self._told, depth)
            elif text(block, "thinking"):
                yield Line(Kind.THOUGHT, text(block, "thinking"), depth)
            elif text(block, "type").endswith("tool_use"):
                yield self._use(block, depth)

    def _use(self, block: Mapping[str, Any], depth: int) -> Line:
        name = tool_name(text(block, "name"))
        if len(self._calls) >= OPEN_CALLS:
            self._calls.clear()
        self._calls[text(block, "id")] = (name, depth)
        return Line(Kind.TOOL, f"{name} {argument(mapping(block, 'input'), self._directory)}", depth)

    def _user(self, message: Mapping[str, Any]) -> Iterator[Line]:
        depth, body = self._depth(message), mapping(message, "message")
        if text(body, "content"):
            yield Line(Kind.TOLD, text(body, "content"), depth)
        for block in objects(body, "content"):
            if text(block, "type").endswith("tool_result"):
                yield self._outcome(block, depth)
            elif text(block, "text"):
                yield Line(Kind.TOLD, text(block, "text"), depth)

    def _outcome(self, block: Mapping[str, Any], depth: int) -> Line:
        name, _ = self._calls.pop(text(block, "tool_use_id"), ("", 0))
        said = _content(block)
        if block.get("is_error") is True:
            return Line(Kind.FAILURE, said or "failed", depth)
        if name in COUNTED:
            return Line(Kind.RESULT, _counted(said), depth)
        return Line(Kind.RESULT, said or "(no output)", depth)

    def _result(self, message: Mapping[str, Any]) -> Iterator[Line]:
        said = text(message, "result")
        errors = message.get("errors")
        reasons = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
        if message.get("is_error") is False:
            if said and said.strip() != self._told.strip():
                yield Line(Kind.SAID, said)
            yield Line(Kind.DONE, f"done: {_figures(message)}")
        else:
            why = reasons or ("" if said == self._told else said)
            yield Line(Kind.FAILED, f"failed ({_end(message)}){f': {why}' if why else ''}; {_figures(message)}")
        if denied := [tool_name(text(one, "tool_name")) for one in objects(message, "permission_denials")]:
            yield Line(Kind.WARNING, f"not permitted: {', '.join(dict.fromkeys(denied))}")

    def _depth(self, message: Mapping[str, Any]) -> int:
        """Return how deep a message is below the agent: its parent is the call that started the subagent."""
        parent = text(message, "parent_tool_use_id")
        return self._calls.get(parent, ("", 0))[1] + 1 if parent else 0


def _notice(said: str) -> Iterator[Line]:
    if said:
        yield Line(Kind.NOTICE, said)


def _content(block: Mapping[str, Any]) -> str:
    """Return the text of a result; what is no text is named by its kind."""
    return text(block, "content") or "\n".join(
        text(part, "text") or f"[{text(part, 'type') or 'something'}]" for part in objects(block, "content")
    )


def _counted(said: str) -> str:
    count = len(said.rstrip("\n").split("\n")) if said else 0
    return f"{count:,} lines" if count != 1 else "1 line"


def _end(message: Mapping[str, Any]) -> str:
    """Return the word for how a run failed. `subtype` is `success` also where the service refused (both versions)."""
    status = number(message, "api_error_status")
    if status:
        return f"HTTP {status:.0f}"
    words = [word for word in (text(message, "subtype"), text(message, "terminal_reason")) if word != "success"]
    return next((word for word in words if word and word != "completed"), "error")


def _figures(message: Mapping[str, Any]) -> str:
    turns, cost = number(message, "num_turns") or 0, number(message, "total_cost_usd") or 0.0
    taken = duration((number(message, "duration_ms") or 0) / 1000)
    return f"{turns:.0f} turn{'' if turns == 1 else 's'}, ${cost:.4f}, {taken}"


def _clock(seconds: float) -> str:
    """Return a time, told in seconds or in milliseconds since 1970, as date and time of day here."""
    moment = seconds / 1000 if seconds > 1e11 else seconds
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
