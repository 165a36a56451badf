"""The words of the Claude CLI, both ways."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from components import executors
from components.executors.claude import ClaudeExecutor
from components.model import AgentResult, AgentRun

RUN = AgentRun(prompt="Do it", directory=Path("/repo"), session_id="11111111-1111-4111-8111-111111111111", model="opus")
EXECUTOR = ClaudeExecutor("/bin/claude")


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def heard(lines: list[bytes]) -> AgentResult | None:
    return executors.heard(EXECUTOR, lines, None)


def value_of(argv: tuple[str, ...], flag: str) -> str:
    return argv[argv.index(flag) + 1]


def test_r1_the_prompt_goes_in_by_standard_input_in_print_mode() -> None:
    command = EXECUTOR.command(RUN)

    assert command.stdin == "Do it"
    assert "-p" in command.argv
    assert "Do it" not in command.argv


def test_a_stream_of_messages_needs_verbose() -> None:
    argv = EXECUTOR.command(RUN).argv

    assert value_of(argv, "--output-format") == "stream-json"
    assert "--verbose" in argv


def test_the_session_is_named_before_the_start_and_resumed_afterwards_with_its_model() -> None:
    first, second = EXECUTOR.command(RUN).argv, EXECUTOR.command(replace(RUN, resume=True)).argv

    assert value_of(first, "--session-id") == RUN.session_id
    assert value_of(second, "--resume") == RUN.session_id
    assert "--session-id" not in second
    assert value_of(second, "--model") == "opus"


def test_r16_permissions_are_what_was_configured_and_never_skipped_unasked() -> None:
    argv = EXECUTOR.command(replace(RUN, permission_mode="plan", allowed_tools=("Bash", "Edit"))).argv

    assert value_of(argv, "--permission-mode") == "plan"
    assert value_of(argv, "--allowedTools") == "Bash,Edit"
    assert "--dangerously-skip-permissions" not in argv


def test_neither_stray_mcp_servers_nor_the_repository_s_own_settings_come_in() -> None:
    argv = EXECUTOR.command(RUN).argv

    assert "--strict-mcp-config" in argv
    assert value_of(argv, "--setting-sources") == "user"


def test_limits_are_passed_on_when_they_are_set() -> None:
    argv = EXECUTOR.command(replace(RUN, max_turns=7, max_budget_usd=2.5)).argv

    assert value_of(argv, "--max-turns") == "7"
    assert value_of(argv, "--max-budget-usd") == "2.5"
    assert "--max-turns" not in EXECUTOR.command(RUN).argv


def test_everything_that_may_be_configured_reaches_the_cli() -> None:
    asked = replace(
        RUN,
        fallback_model="haiku",
        disallowed_tools=("WebFetch",),
        extra_directories=("/a", "/b"),
        mcp_config="/mcp.json",
        strict_mcp=False,
        settings="/settings.json",
        trust_repository=True,
        append_system_prompt="- be brief",
    )

    argv = EXECUTOR.command(asked).argv

    assert value_of(argv, "--fallback-model") == "haiku"
    assert value_of(argv, "--disallowedTools") == "WebFetch"
    assert [argv[i + 1] for i, word in enumerate(argv) if word == "--add-dir"] == ["/a", "/b"]
    assert value_of(argv, "--mcp-config") == "/mcp.json"
    assert "--strict-mcp-config" not in argv
    assert value_of(argv, "--settings") == "/settings.json"
    assert value_of(argv, "--setting-sources") == "user,project,local"
    assert "--append-system-prompt=- be brief" in argv, "a value with a dash in front must not become a flag"


def test_retries_and_waits_are_bounded_by_the_settings() -> None:
    executor = executors.find("claude", {"claude_path": "/bin/claude", "api_retries": 2, "api_timeout": 30.0})

    env = executor.command(RUN).env

    assert (env["CLAUDE_CODE_MAX_RETRIES"], env["API_TIMEOUT_MS"]) == ("2", "30000")
    assert env["CLAUDE_ENABLE_BYTE_WATCHDOG"] == "1"
    assert env["CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS"] == "30000"


@pytest.mark.parametrize(
    ("retries", "asked", "timeout", "given"),
    [
        (4, 300, 600, 118_125),
        (4, 300, 3600, 300_000),
        (4, 300, 120, 60_000),
        (4, 20, 30, 20_000),
        (0, 300, 100, 100_000),
    ],
)
def test_all_that_the_cli_may_try_fits_into_the_time_of_the_attempt(
    retries: int, asked: float, timeout: float, given: int
) -> None:
    """By the defaults the wall time ended the CLI in its second try of five."""
    settings = {"claude_path": "/bin/claude", "api_retries": retries, "api_timeout": asked}

    env = executors.find("claude", settings).command(replace(RUN, timeout=timeout)).env

    assert int(env["API_TIMEOUT_MS"]) == int(env["CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS"]) == given


def test_the_smallest_budget_is_still_one() -> None:
    assert value_of(EXECUTOR.command(replace(RUN, max_budget_usd=0.0)).argv, "--max-budget-usd") == "0.000001"


def test_the_verdict_is_is_error_and_not_the_subtype() -> None:
    result = heard([line(type="result", subtype="success", is_error=True, result="API Error: 529")])

    assert result is not None
    assert result.is_error
    assert result.text == "API Error: 529"


def test_the_last_of_several_results_counts() -> None:
    lines = [
        line(type="result", is_error=False, result="started it in the background"),
        line(type="system", subtype="init"),
        line(type="result", is_error=True, result="it failed"),
    ]

    result = heard(lines)

    assert result is not None
    assert result.is_error


def test_noise_torn_lines_and_unknown_messages_are_passed_over() -> None:
    lines = [
        b"Warning: a line that is no JSON \xff",
        b'["result"]',
        line(type="news", result="?"),
        line(type="result", is_error=False, result="done", total_cost_usd=0.25),
        b'{"type":"result","is_error":tr',
    ]

    result = heard(lines)

    assert result is not None
    assert not result.is_error
    assert result.cost_usd == 0.25


def test_a_result_without_is_error_is_no_success() -> None:
    result = heard([line(type="result", subtype="success")])

    assert result is not None
    assert result.is_error


def test_no_result_line_is_no_result() -> None:
    assert heard([line(type="system", subtype="init")]) is None


def test_tokens_tools_and_denials_are_counted() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}
    lines = [
        line(type="assistant", message={"content": [call]}),
        line(type="assistant", message={"content": [{"type": "text", "text": "hi"}, call]}),
        line(
            type="result",
            is_error=False,
            usage={"input_tokens": 12, "output_tokens": 3, "cache_read_input_tokens": 5},
            modelUsage={"claude-opus": {}},
            permission_denials=[{"tool_name": "Write"}],
        ),
    ]

    result = heard(lines)

    assert result is not None
    assert (result.tool_calls, result.input_tokens, result.output_tokens, result.cache_read_tokens) == (2, 12, 3, 5)
    assert result.model == "claude-opus"
    assert result.denied_tools == ("Write",)


def test_odd_shapes_of_a_result_are_survived() -> None:
    odd = line(type="result", is_error=False, usage=[], modelUsage="x", permission_denials={}, errors=3, num_turns="9")

    result = heard([odd])

    assert result is not None
    assert result.num_turns == 0
