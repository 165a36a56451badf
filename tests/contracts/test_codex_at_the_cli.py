"""The executor's beliefs about the Codex CLI, held against the real one: `codex` on PATH, or `CODEX_BIN`.

The model is ours and speaks the Responses API. Where there is no Codex, `npm install @openai/codex` brings it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from components import judgement
from components.executors.codex import CodexExecutor
from components.model import AgentRun
from components.states import Reason
from tests import dialects
from tests.dialects import Ended
from tests.responses_api import ResponsesModel, fails, runs, says

CODEX = os.environ.get("CODEX_BIN") or shutil.which("codex")
Ask = Callable[[AgentRun, ResponsesModel], Ended]
COMMIT = "git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m Work"

pytestmark = pytest.mark.skipif(not CODEX, reason="no Codex CLI: put `codex` on PATH, or name it in CODEX_BIN")


@pytest.fixture
def asked(tmp_path: Path) -> AgentRun:
    """What is asked of the CLI, in a worktree."""
    (tmp_path / "runs").mkdir()
    repository, worktree = tmp_path / "repository", tmp_path / "work"
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    for words in (COMMIT.split()[1:], ["worktree", "add", "-q", str(worktree)]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    gits = (str(repository / ".git"), str(repository / ".git" / "worktrees" / "work"))
    return AgentRun("Do it.", worktree, "s", model="scripted-1", git_directories=gits)


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Have the CLI do what is asked, with a model."""

    def act(asked: AgentRun, model: ResponsesModel) -> Ended:
        home = tmp_path / "codex"
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(
            f'model_provider = "ours"\n[model_providers.ours]\nname = "ours"\nbase_url = "{model.url}"\n'
            'wire_api = "responses"\nenv_key = "OUR_KEY"\nrequest_max_retries = 0\nstream_max_retries = 1\n'
        )
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CODEX_HOME": str(home), "OUR_KEY": "made-up"}
        limit = {"timeout": asked.timeout}
        return dialects.ran(CodexExecutor(CODEX or ""), asked, env, tmp_path / "runs", **limit)

    return act


def test_work_is_done_and_committed_in_a_worktree_within_the_sandbox(asked: AgentRun, ask: Ask) -> None:
    """Codex protects git's directories, so that nothing could be committed unless they are named."""
    with ResponsesModel(runs(f"echo hi > a.txt && git add a.txt && {COMMIT}"), says("All done.")) as model:
        ended = ask(asked, model)

    assert ended.result is not None, ended.stderr
    assert (ended.result.is_error, ended.result.text, ended.result.is_unfinished) == (False, "All done.", False)
    assert (ended.result.input_tokens, ended.result.cache_read_tokens, ended.result.output_tokens) == (120, 80, 20)
    assert (ended.progress.turns, ended.progress.has_result) == (1, True)
    log = subprocess.check_output(["git", "log", "--oneline", "--stat"], cwd=asked.directory, text=True)
    assert "a.txt" in log, model.requests[-1]["input"][-1]


def test_a_session_is_gone_on_with_in_its_sandbox_and_tells_the_tokens_of_both_runs(asked: AgentRun, ask: Ask) -> None:
    strict = replace(asked, permission_mode="plan")
    with ResponsesModel(says("First.")) as model:
        first = ask(strict, model)
    again = replace(strict, resume=True, session_id=first.progress.session_id)
    with ResponsesModel(runs("echo hi > a.txt"), says("Second.")) as model:
        second = ask(again, model)

    assert first.result is not None
    assert second.result is not None
    assert "First." in str(model.requests[0]["input"])
    assert second.progress.session_id == first.progress.session_id
    assert (first.result.input_tokens, second.result.input_tokens) == (60, 180)
    assert not (asked.directory / "a.txt").exists(), "the sandbox was forgotten"


def test_a_session_that_is_not_there_is_lost(asked: AgentRun, ask: Ask) -> None:
    gone = replace(asked, resume=True, session_id="11111111-1111-4111-8111-111111111111")
    with ResponsesModel(says("Never said.")) as model:
        ended = ask(gone, model)

    assert judgement.judge(ended.record, ended.result, stderr=ended.stderr).reason is Reason.SESSION_LOST


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (401, "Incorrect API key provided", Reason.AUTH_FAILED),
        (403, "Forbidden", Reason.AUTH_FAILED),
        (404, "The model `x` does not exist", Reason.MODEL_MISSING),
        (429, "Rate limit reached", Reason.RATE_LIMITED),
        (500, "Internal server error", Reason.OVERLOADED),
        (400, "Bad thing", Reason.AGENT_FAILED),
    ],
)
def test_a_failure_of_the_service_is_named(
    asked: AgentRun, ask: Ask, status: int, message: str, reason: Reason
) -> None:
    with ResponsesModel(fails(status, message)) as model:
        ended = ask(asked, model)

    assert judgement.judge(ended.record, ended.result, stderr=ended.stderr).reason is reason, ended.result


def test_a_long_wait_for_the_service_is_a_limit_and_no_stall(asked: AgentRun, ask: Ask) -> None:
    """Codex waits by itself as long as `retry-after` says, and tells nothing meanwhile."""
    with ResponsesModel(fails(429, **{"retry-after": "3600"})) as model:
        ended = ask(replace(asked, timeout=5), model)

    assert ended.record is not None
    assert ended.record.why == "timeout"
    assert judgement.judge(ended.record, ended.result, stopped_for=Reason.STALLED).reason is Reason.RATE_LIMITED
    assert judgement.judge(ended.record, ended.result).reason is Reason.TIMED_OUT
