"""The Claude CLI as an agent: print mode, one JSON message a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from components.model import AgentResult, AgentRun, Command, ExitRecord, Progress, Usage

BOUNDS = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_MAX_RETRIES": "4",
    "API_TIMEOUT_MS": "300000",
}
"""Environment that bounds the CLI: by default it retries for over 3 min and waits over an hour for a silent API."""


class ClaudeExecutor:
    """Speaks to `claude -p`. The prompt goes in by standard input: nothing of a task is ever an argument."""

    name = "claude"
    resumes_by = "transcript"

    def __init__(self, path: str, *, env: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._env = {**BOUNDS, **(env or {})}

    def command(self, run: AgentRun) -> Command:
        """Return how to start the CLI for a new session, or to resume the session that has a transcript."""
        argv = [self._path, "-p", "--resume" if run.resume else "--session-id", run.session_id]
        argv += ["--output-format", "stream-json", "--verbose", "--model", run.model]
        if run.fallback_model:
            argv += ["--fallback-model", run.fallback_model]
        argv += ["--permission-mode", run.permission_mode, "--strict-mcp-config", "--setting-sources", "user"]
        if run.max_turns is not None:
            argv += ["--max-turns", str(run.max_turns)]
        if run.max_budget_usd is not None:
            argv += ["--max-budget-usd", f"{run.max_budget_usd:g}"]
        if run.allowed_tools:
            argv += ["--allowedTools", ",".join(run.allowed_tools)]
        if run.disallowed_tools:
            argv += ["--disallowedTools", ",".join(run.disallowed_tools)]
        return Command(argv=tuple(argv), stdin=run.prompt, env=self._env)

    def listener(self) -> ClaudeListener:
        """Return somebody who understands the CLI's messages."""
        return ClaudeListener()

    def usage(self, transcript: Iterable[bytes]) -> Usage:
        """Return what a session's transcript says that it used."""
        del transcript
        return Usage()


class ClaudeListener:
    """Hears the CLI's messages: there may be several results, and only the last one counts."""

    def __init__(self) -> None:
        self._last: dict[str, Any] | None = None
        self._tool_calls = 0
        self._lines = 0

    def hear(self, line: bytes) -> None:
        """Take one line."""
        self._lines += 1
        if b'"result"' not in line and b'"tool_use"' not in line:
            return
        message = _message(line)
        if message.get("type") == "result":
            self._last = message
        elif message.get("type") == "assistant":
            self._tool_calls += _tool_calls(message)

    def progress(self) -> Progress:
        """Return how far the agent is."""
        return Progress(messages=self._lines, tool_calls=self._tool_calls, has_result=self._last is not None)

    def result(self, exit_record: ExitRecord | None) -> AgentResult | None:
        """Return what the last `result` message says."""
        del exit_record
        return None if self._last is None else _result(self._last, self._tool_calls)


def _message(line: bytes) -> dict[str, Any]:
    """Return a line's message; noise and a torn last line are no message."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _tool_calls(message: dict[str, Any]) -> int:
    body = message.get("message")
    content = body.get("content") if isinstance(body, dict) else None
    if not isinstance(content, list):
        return 0
    return sum(isinstance(block, dict) and block.get("type") == "tool_use" for block in content)


def _result(message: dict[str, Any], tool_calls: int) -> AgentResult:
    """Read the result message leniently: its keys change between versions of the CLI."""
    usage = message.get("usage") if isinstance(message.get("usage"), dict) else {}
    models = message.get("modelUsage") if isinstance(message.get("modelUsage"), dict) else {}
    errors = message.get("errors") if isinstance(message.get("errors"), list) else []
    denials = message.get("permission_denials") if isinstance(message.get("permission_denials"), list) else []
    status = message.get("api_error_status")
    return AgentResult(
        is_error=message.get("is_error") is not False,
        text=str(message.get("result") or "; ".join(map(str, errors or []))),
        subtype=str(message.get("subtype") or ""),
        terminal_reason=str(message.get("terminal_reason") or ""),
        api_error_status=status if isinstance(status, int) else None,
        session_id=str(message.get("session_id") or ""),
        model=next(iter(models or {}), ""),
        num_turns=_count(message, "num_turns"),
        cost_usd=_number(message.get("total_cost_usd")),
        input_tokens=_count(usage, "input_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        cache_read_tokens=_count(usage, "cache_read_input_tokens"),
        cache_write_tokens=_count(usage, "cache_creation_input_tokens"),
        tool_calls=tool_calls,
        denied_tools=tuple(str(d.get("tool_name")) for d in denials or [] if isinstance(d, dict)),
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _count(data: Any, key: str) -> int:
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def make(settings: Mapping[str, Any]) -> ClaudeExecutor:
    """Make the executor from `claude_path`."""
    return ClaudeExecutor(str(settings["claude_path"]))
