"""The Claude CLI as an agent: print mode, one JSON message a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from components import claude_prices
from components.claude_stream import ClaudeListener
from components.model import AgentRun, Command, Usage

API_RETRIES = 4
API_TIMEOUT_SECONDS = 300.0


SHORTEST_TRY_SECONDS = 60.0
"""No try is made shorter to have all of them fit into an attempt: a busy service may take that long to begin."""

TALKATIVE = {"ANTHROPIC_LOG": "debug"}
"""Has the CLI print the headers of what it is answered, keys left out. To the owner of a key it tells in no other way
how long a limit lasts; as it makes 3 kB of noise a request, it is asked to only where the attempt before met one."""


class ClaudeExecutor:
    """Speaks to `claude -p`. The prompt goes in by standard input: nothing of a task is ever an argument."""

    name = "claude"
    resumes_by = "transcript"

    def __init__(self, path: str, *, env: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._env = dict(bounds() if env is None else env)

    def command(self, run: AgentRun) -> Command:
        """Return how to start the CLI for a new session, or to resume the session that has a transcript.

        A resumed session is given everything anew: the CLI remembers neither model nor permissions. It does remember
        its system prompt, and what is to be appended to it is heeded only in a session's first run.
        """
        argv = [self._path, "-p", "--resume" if run.resume else "--session-id", run.session_id]
        argv += ["--output-format", "stream-json", "--verbose", *_given("--model", run.model)]
        argv += [*_given("--fallback-model", run.fallback_model), "--permission-mode", run.permission_mode]
        argv += ["--setting-sources", "user,project,local" if run.trust_repository else "user"]
        argv += [*_given("--settings", run.settings), *_given("--mcp-config", run.mcp_config)]
        argv += ["--strict-mcp-config"] if run.strict_mcp else []
        argv += _given("--max-turns", "" if run.max_turns is None else str(run.max_turns))
        argv += _given("--max-budget-usd", "" if run.max_budget_usd is None else usd(run.max_budget_usd))
        argv += _given("--allowedTools", ",".join(run.allowed_tools))
        argv += _given("--disallowedTools", ",".join(run.disallowed_tools))
        for directory in run.extra_directories:
            argv += _given("--add-dir", directory)
        argv += _given("--append-system-prompt", run.append_system_prompt)
        return Command(
            argv=tuple(argv),
            stdin=run.prompt,
            env=fitted(self._env, run.timeout) | (TALKATIVE if run.was_limited else {}),
        )

    def listener(self) -> ClaudeListener:
        """Return somebody who understands the CLI's messages."""
        return ClaudeListener()

    def usage(self, transcript: Iterable[bytes]) -> Usage:
        """Return what the answers in these lines of a session's transcript have used."""
        return claude_prices.usage_of_transcript(transcript)


def _given(flag: str, value: str) -> list[str]:
    """Return a flag with its value; a value that looks like a flag is tied to it, so that it cannot become one."""
    if not value:
        return []
    return [f"{flag}={value}"] if value.startswith("-") else [flag, value]


def usd(amount: float) -> str:
    """Return an amount as plain digits, never below what the CLI takes as none at all."""
    return f"{max(amount, 0.000001):.6f}".rstrip("0").rstrip(".")


def fitted(env: Mapping[str, str], seconds: float) -> dict[str, str]:
    """Return the bounds with tries so short that all of them, and the rests between, fit into so many seconds.

    Otherwise the attempt's time ends the CLI while it waits, and it cannot tell that the service does not answer. The
    rests were measured: 0.5 s, doubled up to 32 s, and a quarter more at most.
    """
    retries, asked = int(env["CLAUDE_CODE_MAX_RETRIES"]), int(env["API_TIMEOUT_MS"])
    rests = sum(1.25 * min(32.0, 0.5 * 2**number) for number in range(retries))
    fit = max(SHORTEST_TRY_SECONDS, (seconds - rests) / (retries + 1))
    milliseconds = str(min(asked, round(1000 * fit)))
    return {**env, "API_TIMEOUT_MS": milliseconds, "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS": milliseconds}


def bounds(retries: int = API_RETRIES, timeout: float = API_TIMEOUT_SECONDS) -> dict[str, str]:
    """Return the environment that bounds the CLI; `timeout` is in seconds.

    By default it asks again for over 3 minutes, waits over an hour for a service that does not answer, and is held up
    for 300 s by a stream that stands still: only the watchdog of bytes, which is off, would end that sooner.
    """
    milliseconds = str(round(timeout * 1000))
    return {
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": str(retries),
        "API_TIMEOUT_MS": milliseconds,
        "CLAUDE_ENABLE_BYTE_WATCHDOG": "1",
        "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS": milliseconds,
    }


def bounds_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the bounds that `api_retries` and `api_timeout` ask for."""
    return bounds(
        int(settings.get("api_retries", API_RETRIES)), float(settings.get("api_timeout", API_TIMEOUT_SECONDS))
    )


def make(settings: Mapping[str, Any]) -> ClaudeExecutor:
    """Make the executor from `claude_path`, `api_retries` and `api_timeout`."""
    return ClaudeExecutor(str(settings["claude_path"]), env=bounds_of(settings))
