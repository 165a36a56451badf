"""The executor's beliefs about the Claude CLI, held against the real one."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from components import executors, judgement, transcript
from components.limit_words import ends_at
from components.model import AgentRun
from components.ports import Executor
from components.states import Reason
from tests import dialects
from tests.scripted_model import claude_env, claude_path, scripted
from tests.waiting import until


@pytest.fixture
def asked(tmp_path: Path) -> AgentRun:
    """What is asked of the CLI."""
    (tmp_path / "work").mkdir()
    (tmp_path / "runs").mkdir()
    return AgentRun("Work.", tmp_path / "work", str(uuid.uuid4()), model="sonnet", allowed_tools=("Bash", "Write"))


@pytest.fixture
def claude() -> Executor:
    return executors.find("claude", {"claude_path": claude_path(), "api_retries": 0})


def test_a_command_that_ends_late_brings_a_second_result_and_both_are_paid(
    asked: AgentRun, claude: Executor, tmp_path: Path
) -> None:
    late = {"Bash": {"command": "sleep 1; echo late", "run_in_background": True}}
    with scripted(late, "Waiting for it.", "It came.") as model:
        ended = dialects.ran(claude, asked, claude_env(model.url, tmp_path), tmp_path / "runs")

    assert ended.result is not None
    assert (ended.result.text, ended.result.is_unfinished, len(model.requests)) == ("It came.", False, 3)
    assert ended.result.input_tokens == 1200 + 1450 + 1700
    assert (ended.progress.turns, ended.progress.has_result) == (3, True)


def test_an_interrupt_ends_with_0_and_is_no_success(asked: AgentRun, claude: Executor, tmp_path: Path) -> None:
    with scripted({"Bash": "touch begun; for i in $(seq 60); do sleep 1; done"}, "Never said.") as model:
        run = dialects.started(claude, asked, claude_env(model.url, tmp_path), tmp_path / "runs")
        until((asked.directory / "begun").exists, "the command's beginning")
        os.kill(run.pids()["agent"].pid, signal.SIGINT)
        ended = dialects.ended(claude, run, tmp_path / "runs")

    assert ended.record is not None
    assert ended.record.exit_code == 0
    assert judgement.judge(ended.record, ended.result).reason is Reason.AGENT_FAILED


def test_how_long_a_limit_lasts_is_told_to_the_owner_of_a_key_who_has_met_it_before(
    asked: AgentRun, claude: Executor, tmp_path: Path
) -> None:
    with scripted({"fault": {"name": "429", "retry_after": 3600}}) as model:
        first = dialects.ran(claude, asked, claude_env(model.url, tmp_path), tmp_path / "runs")
        again = replace(asked, session_id=str(uuid.uuid4()), was_limited=True)
        second = dialects.ran(claude, again, claude_env(model.url, tmp_path), tmp_path / "runs")

    assert first.result is not None
    assert second.result is not None
    assert (ends_at(first.result.text, 1000.0), ends_at(second.result.text, 1000.0)) == (0.0, 4600.0)
    assert judgement.judge(second.record, second.result).reason is Reason.RATE_LIMITED


def test_what_was_refused_is_told_although_the_run_succeeded(asked: AgentRun, claude: Executor, tmp_path: Path) -> None:
    strict = replace(asked, permission_mode="dontAsk", allowed_tools=("Read",))
    with scripted({"Write": {"file_path": "{cwd}/a", "content": "a"}}, "I could not.") as model:
        ended = dialects.ran(claude, strict, claude_env(model.url, tmp_path), tmp_path / "runs")

    assert ended.result is not None
    assert (ended.result.is_error, ended.result.denied_tools) == (False, ("Write",))


def test_a_killed_run_is_paid_by_its_transcript_and_gone_on_with_by_the_same_model(
    asked: AgentRun, claude: Executor, tmp_path: Path
) -> None:
    hanging = {"Bash": "touch begun; until test -e freed; do sleep 0.1; done", "output_tokens": 100}
    with scripted({"Bash": "echo one", "output_tokens": 10}, hanging, "Finished.") as model:
        env = claude_env(model.url, tmp_path)
        assert transcript.size(asked.session_id, env) == 0
        run = dialects.started(claude, asked, env, tmp_path / "runs")
        until((asked.directory / "begun").exists, "the command's beginning")
        record = until(lambda: transcript.find(asked.session_id, env), "the transcript")
        until(lambda: claude.usage(transcript.lines_after(record, 0)).output_tokens == 110, "the usage on disk")
        os.kill(run.pids()["agent"].pid, signal.SIGKILL)
        killed = dialects.ended(claude, run, tmp_path / "runs")
        used = claude.usage(transcript.lines_after(record, 0))
        before = transcript.size(asked.session_id, env)
        (asked.directory / "freed").touch()
        resumed = dialects.ran(claude, replace(asked, resume=True), env, tmp_path / "runs")
        used_then = claude.usage(transcript.lines_after(record, before))

    assert killed.result is None
    assert judgement.judge(killed.record, None).reason is Reason.KILLED
    assert (used.input_tokens, used.output_tokens) == (1200 + 1450, 110)
    assert used.cost_usd == pytest.approx((2650 + 5 * 110) * 2e-6)
    assert resumed.result is not None
    assert used_then.cost_usd == pytest.approx(resumed.result.cost_usd)
    assert len({entry["model"] for entry in model.requests}) == 1


def test_a_session_with_a_transcript_is_only_resumed_and_one_without_is_only_begun(
    asked: AgentRun, claude: Executor, tmp_path: Path
) -> None:
    with scripted("One.", "Two.") as model:
        env = claude_env(model.url, tmp_path)
        too_early = dialects.ran(claude, replace(asked, resume=True), env, tmp_path / "runs")
        first = dialects.ran(claude, asked, env, tmp_path / "runs")
        again = dialects.ran(claude, asked, env, tmp_path / "runs")
        second = dialects.ran(claude, replace(asked, resume=True), env, tmp_path / "runs")

    assert judgement.judge(too_early.record, too_early.result).reason is Reason.SESSION_LOST
    assert "already in use" in again.stderr
    assert first.result is not None
    assert second.result is not None
    assert (first.result.text, second.result.text) == ("One.", "Two.")
    assert second.result.input_tokens == 1450
    assert second.result.cost_usd == pytest.approx((1450 + 5 * second.result.output_tokens) * 2e-6)


@pytest.mark.parametrize("is_subscriber", [True, False], ids=["subscription", "key"])
def test_a_subscriber_is_told_when_the_limit_ends_and_the_owner_of_a_key_is_not(
    asked: AgentRun, claude: Executor, tmp_path: Path, is_subscriber: bool
) -> None:
    at = int(time.time()) // 60 * 60 + 7200
    unified = "anthropic-ratelimit-unified"
    headers = {f"{unified}-status": "rejected", f"{unified}-reset": at, f"{unified}-representative-claim": "five_hour"}
    with scripted({"fault": {"name": "429", "headers": headers}, "text": "Never said."}) as model:
        env = claude_env(model.url, tmp_path)
        if is_subscriber:
            env = {**env, "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-made-up", "TZ": "UTC"}
            del env["ANTHROPIC_API_KEY"]
        ended = dialects.ran(claude, asked, env, tmp_path / "runs")

    verdict = judgement.judge(ended.record, ended.result)
    assert ended.result is not None
    assert (verdict.reason, ended.result.error) == (Reason.RATE_LIMITED, "rate_limit")
    assert verdict.wait_until == (at if is_subscriber else 0)
    assert ends_at(ended.result.text, at - 7200) == (at if is_subscriber else 0)


def test_the_sdk_s_agent_works_and_goes_on_with_its_session(asked: AgentRun, tmp_path: Path) -> None:
    sdk = executors.find("claude_sdk", {"api_retries": 0})
    with scripted({"Write": {"file_path": "{cwd}/a", "content": "a"}}, "One.", "Two.") as model:
        env = claude_env(model.url, tmp_path)
        first = dialects.ran(sdk, asked, env, tmp_path / "runs")
        second = dialects.ran(sdk, replace(asked, resume=True), env, tmp_path / "runs")

    assert first.result is not None, first.stderr
    assert second.result is not None, second.stderr
    assert (asked.directory / "a").read_text() == "a"
    assert (first.result.text, second.result.text) == ("One.", "Two.")
    assert second.result.input_tokens == 1700
    assert (first.result.tool_calls, first.record and first.record.exit_code) == (1, 0)


def test_without_the_sdk_its_agent_is_missing(asked: AgentRun, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys._base_executable} -I -S "$3"\n')  # type: ignore[attr-defined]
    bare.chmod(0o755)
    from components.executors.claude_sdk import ClaudeSdkExecutor

    ended = dialects.ran(ClaudeSdkExecutor(python=str(bare)), asked, {"PATH": os.environ["PATH"]}, tmp_path / "runs")

    assert judgement.judge(ended.record, ended.result).reason is Reason.AGENT_MISSING
    assert "pip install claude-agent-sdk" in ended.stderr
