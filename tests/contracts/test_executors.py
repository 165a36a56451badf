"""Every executor keeps the same promises, whatever agent it speaks to."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from components import judgement
from components.model import AgentRun, Usage
from components.states import Reason
from tests import dialects
from tests.dialects import CLAUDE, CLAUDE_SDK, CODEX, COMMAND, Dialect, Ended, fake

SESSION = "11111111-1111-4111-8111-111111111111"
PROMPT = "Do the task with the secret word tamarind"
EVERY = pytest.mark.parametrize("dialect", dialects.ALL, ids=lambda dialect: dialect.name)


@pytest.fixture
def asked(tmp_path: Path) -> AgentRun:
    """What is asked of every agent."""
    (tmp_path / "work").mkdir()
    (tmp_path / "runs").mkdir()
    return AgentRun(prompt=PROMPT, directory=tmp_path / "work", session_id=SESSION, model="large-1")


def play(dialect: Dialect, asked: AgentRun, tmp_path: Path, **acts: object) -> Ended:
    """Let a fake of this agent play, and hear it."""
    program = fake(tmp_path / "program", **acts)
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    return dialects.ran(dialect.executor(program), asked, env, tmp_path / "runs")


def reason(ended: Ended) -> Reason:
    return judgement.judge(ended.record, ended.result).reason


@EVERY
def test_an_agent_that_says_it_is_done_has_succeeded(dialect: Dialect, asked: AgentRun, tmp_path: Path) -> None:
    ended = play(dialect, asked, tmp_path, out=dialect.done("All is done."))

    assert ended.result is not None, ended.stderr
    assert (ended.result.is_error, ended.result.text) == (False, "All is done.")
    assert reason(ended) is Reason.SUCCEEDED
    assert ended.progress.messages > 0
    assert ended.progress.last_text == "All is done."


@EVERY
def test_an_agent_that_says_it_failed_has_failed(dialect: Dialect, asked: AgentRun, tmp_path: Path) -> None:
    ended = play(dialect, asked, tmp_path, out=dialect.failed("The disk is full."), exit=dialect.failing_exit)

    assert ended.result is not None
    assert (ended.result.is_error, ended.result.text) == (True, "The disk is full.")
    assert reason(ended) is Reason.AGENT_FAILED


@EVERY
def test_an_agent_that_says_nothing_has_not_succeeded(dialect: Dialect, asked: AgentRun, tmp_path: Path) -> None:
    ended = play(dialect, asked, tmp_path, exit=0 if dialect.tells_result else 1)

    assert reason(ended) is not Reason.SUCCEEDED


@EVERY
def test_an_agent_that_talks_and_tells_no_result_has_not_succeeded(
    dialect: Dialect, asked: AgentRun, tmp_path: Path
) -> None:
    ended = play(dialect, asked, tmp_path, out=dialect.chatter("Soon."), exit=0 if dialect.tells_result else 1)

    assert reason(ended) is not Reason.SUCCEEDED


@EVERY
def test_an_agent_that_is_killed_within_a_line_has_not_succeeded(
    dialect: Dialect, asked: AgentRun, tmp_path: Path
) -> None:
    torn = dialect.done("All is done.").rstrip("\n")[:-3]

    ended = play(dialect, asked, tmp_path, out=torn, signal=signal.SIGKILL)

    assert reason(ended) in (Reason.KILLED, Reason.AGENT_FAILED)
    assert ended.result is None or ended.result.is_error


@EVERY
def test_noise_among_the_messages_is_passed_over(dialect: Dialect, asked: AgentRun, tmp_path: Path) -> None:
    noise = '\nWarning: ExperimentalWarning\n<html>502</html>\n[1, 2]\n"result"\n'

    ended = play(dialect, asked, tmp_path, out=noise + dialect.done("All is done."))

    assert ended.result is not None, ended.stderr
    assert ended.result.text.endswith("All is done.")
    assert reason(ended) is Reason.SUCCEEDED


@EVERY
def test_a_line_of_10_mb_is_survived(dialect: Dialect, asked: AgentRun, tmp_path: Path) -> None:
    ended = play(dialect, asked, tmp_path, out=dialect.chatter("x" * 10_000_000) + dialect.done("All is done."))

    assert ended.result is not None, ended.stderr
    assert ended.result.text.endswith("All is done.")


@EVERY
def test_a_program_that_is_not_there_is_told_as_missing(dialect: Dialect, asked: AgentRun, tmp_path: Path) -> None:
    executor = dialect.executor(tmp_path / "nowhere" / "agent")

    ended = dialects.ran(executor, asked, {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, tmp_path / "runs")

    assert ended.record is not None
    assert (ended.record.exit_code, ended.result) == (127, None)
    assert reason(ended) is Reason.AGENT_MISSING


@EVERY
def test_the_prompt_comes_by_standard_input_alone(dialect: Dialect, asked: AgentRun, tmp_path: Path) -> None:
    ended = play(dialect, asked, tmp_path, out=dialect.done("Done."))

    assert ended.given["prompt"] == PROMPT
    assert "tamarind" not in json.dumps(ended.given["argv"])
    assert "tamarind" not in json.dumps(ended.given["env"])
    assert "tamarind" not in ended.spec


@EVERY
def test_no_secret_is_in_argv_or_added_to_the_environment(dialect: Dialect, asked: AgentRun, tmp_path: Path) -> None:
    ended = play(dialect, asked, tmp_path, out=dialect.done("Done."))

    assert "secret-of-the-pm" not in ended.spec + json.dumps(ended.given)


@pytest.mark.parametrize("dialect", [CLAUDE, CLAUDE_SDK, CODEX], ids=lambda dialect: dialect.name)
def test_a_session_is_gone_on_with_by_its_name_and_the_model_is_said_again(
    dialect: Dialect, asked: AgentRun, tmp_path: Path
) -> None:
    first = play(dialect, asked, tmp_path, out=dialect.done("Done."))
    second = play(dialect, replace(asked, resume=True), tmp_path, out=dialect.done("Done."))

    words = " ".join(second.given["argv"])
    assert "resume" not in " ".join(first.given["argv"])
    assert f"resume {SESSION}" in words.replace("=", " ")
    assert "--session-id" not in words
    assert "large-1" in words
    assert second.given["prompt"] == PROMPT


def test_a_program_that_knows_no_sessions_begins_anew_each_time(asked: AgentRun, tmp_path: Path) -> None:
    executor = COMMAND.executor(tmp_path / "agent")

    assert executor.resumes_by == ""
    assert executor.command(replace(asked, resume=True)) == executor.command(asked)


ODD_LINES = (
    b"",
    b"{",
    b"{}",
    b"[" * 100_000,
    b'{"type":' + b'{"a":' * 100_000,
    b'{"type":null}',
    b'{"type":["assistant"]}',
    b'{"type":"assistant"}',
    b'{"type":"assistant","message":[]}',
    b'{"type":"assistant","message":{"id":7,"model":[],"usage":"much","content":{"type":"text"}}}',
    b'{"type":"assistant","message":{"content":[1,null,{"type":"tool_use","id":{},"name":3},{"type":"text","text":9}]}}',
    b'{"type":"assistant","message":{"id":"msg_\xff","content":[{"type":"text","text":"\xff\xfe \\ud800"}]}}',
    b'{"type":"user","message":"\\"tool_use_id\\":\\"t\\"","tool_use_id":',
    b'{"type":"system","subtype":"background_tasks_changed","tasks":"none"}',
    b'{"type":"system","subtype":{"init":1}}',
    b'{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1e999}}',
    b'{"type":"rate_limit_event","rate_limit_info":7}',
    b'{"type":"thread.started","thread_id":{}}',
    b'{"type":"turn.completed","usage":{"input_tokens":"many","cached_input_tokens":-1}}',
    b'{"type":"turn.failed","error":"text"}',
    b'{"type":"turn.started"}',
    b'{"type":"item.started","item":["command_execution"]}',
    b'{"type":"item.completed","item":{"type":"agent_message","text":{"a":1}}}',
    b'{"type":"error","message":["x"]}',
    b'{"type":"result","is_error":"no","usage":[],"modelUsage":"x","permission_denials":{},"errors":3,"num_turns":1e400}',
    b'{"type":"result","is_error":0,"total_cost_usd":NaN,"modelUsage":{"m":[]},"permission_denials":[7,{"tool_name":{}}]}',
    b'{"type":"result","model_usage_since_last_result":{"m":{"costUSD":-1,"inputTokens":true,"outputTokens":1'
    + b"0" * 400,
    b"\x00\xff" * 1000,
)


@EVERY
def test_no_line_whatever_makes_a_listener_fail_or_believe_in_a_success(dialect: Dialect, tmp_path: Path) -> None:
    listener = dialect.executor(tmp_path / "agent").listener()

    for line in ODD_LINES * 2:
        listener.hear(line)
        listener.progress()

    result = listener.result(None)
    assert result is None or result.is_error or result.is_unfinished or dialect is CODEX
    json.dumps(listener.progress().last_text, ensure_ascii=False).encode()


@EVERY
def test_rubbish_for_a_transcript_has_cost_nothing(dialect: Dialect, tmp_path: Path) -> None:
    assert dialect.executor(tmp_path / "agent").usage([*ODD_LINES[:10], b'"assistant"']) == Usage()
