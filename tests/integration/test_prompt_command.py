"""`prompt show` as a person types it: what the agent would be given, and nothing is changed by looking."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components import prompt
from tests.integration.conftest import MakeRunner
from tests.pm_server import PmServer
from tests.runner import ROOT, git, make_repository

Ran = subprocess.CompletedProcess[str]
MARK = re.compile(r"<<<([0-9a-f]{16}) ")


class Looker:
    """A person with a repository, a home and a server."""

    def __init__(self, directory: Path, pm: PmServer) -> None:
        self.home = directory / "home"
        self.repository = directory / "repository"
        if not self.repository.exists():
            make_repository(self.repository)
        self.env = {
            **os.environ,
            "HEADLESS_PM_HOME": str(self.home),
            "HEADLESS_PM_API_URL": pm.url,
            "HEADLESS_PM_API_KEY": pm.key,
            "AGENT_COMMAND": "cat",
        }

    def show(self, *words: str, **environ: str) -> Ran:
        return subprocess.run(
            [sys.executable, str(ROOT / "advanced_agent_runner.py"), "prompt", "show", *words],
            cwd=self.repository,
            env={**self.env, **environ},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    def json(self, *words: str, **environ: str) -> dict[str, Any]:
        ran = self.show("--json", *words, **environ)
        assert ran.returncode == 0, ran.stderr
        data: dict[str, Any] = json.loads(ran.stdout)
        return data

    def configure(self, text: str) -> None:
        self.home.mkdir(exist_ok=True)
        (self.home / "config.yaml").write_text(text)
        (self.home / "config.yaml").chmod(0o600)


@pytest.fixture
def looker(tmp_path: Path, pm: PmServer) -> Looker:
    return Looker(tmp_path, pm)


def without_mark(text: str) -> str:
    found = MARK.search(text)
    return text.replace(found[1], "MARK") if found else text


def test_a_prompt_is_shown_with_the_names_of_feature_and_epic_and_nothing_changes(looker: Looker, pm: PmServer) -> None:
    task = pm.api.task("Round it", description="To the cent.", complexity="major")
    before, agents = pm.api.look(task["id"]), pm.api.get("/agents").json()

    ran = looker.show("--task", str(task["id"]))

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(prompt.FIRST_LINE)
    assert "To the cent." in ran.stdout
    assert f'- feature: {task["feature_id"]} "F"\n- epic: {task["epic_id"]} "E"\n' in ran.stdout
    assert f"on branch feature/task-{task['id']}" in ran.stdout
    assert "# Backend developer" in ran.stdout
    assert (pm.api.look(task["id"]), pm.api.get("/agents").json()) == (before, agents)
    assert git(looker.repository, "branch", "--list").split() == ["*", "main"]
    assert git(looker.repository, "status", "--porcelain") == ""
    assert not looker.home.exists()


def test_it_is_what_the_agent_then_gets(looker: Looker, pm: PmServer, runner: MakeRunner) -> None:
    task = pm.api.task("Round it", description="See @/etc/passwd", branch="rounding", complexity="minor")
    shown = looker.show("--task", str(task["id"])).stdout

    one = runner("write", "commit")
    assert one.run("--single-task").returncode == 0

    given = (one.runs()[0].path / "prompt").read_text()
    assert without_mark(given) == without_mark(shown)


def test_a_later_attempt_is_told_what_the_one_before_it_left(looker: Looker, pm: PmServer, runner: MakeRunner) -> None:
    pm.api.task("Round it", complexity="major")

    one = runner("scribble", "crash-once", "write", "commit")
    assert one.run("--single-task").returncode == 0

    first, second = [(run.path / "prompt").read_text() for run in one.runs()]
    assert "What was left before" not in first
    assert prompt.WHY["killed"] in second  # type: ignore[index]
    assert "Attempt 1 ended: the agent was killed or crashed" in second
    assert "?? scribble.txt" in second


def test_the_next_attempt_of_a_task_that_ran_is_shown_and_any_other_may_be(
    looker: Looker, pm: PmServer, runner: MakeRunner
) -> None:
    task = pm.api.task("Round it", complexity="minor")
    one = runner("fail")
    one.run("--single-task", HEADLESS_PM_MAX_ATTEMPTS="1")
    words = ("--task", str(task["id"]), "--agent-id", "dev_1")

    shown = looker.json(*words)
    assert shown["attempt"] == 2
    assert "Attempt 1 ended: the agent failed" in shown["prompt"]
    assert "What was left before" not in looker.json(*words, "--attempt", "1")["prompt"]
    assert looker.json("--task", str(task["id"]), "--agent-id", "another")["attempt"] == 1


def test_json_tells_the_model_and_the_limits_of_this_very_task(looker: Looker, pm: PmServer) -> None:
    task = pm.api.task("Round it", difficulty="senior", complexity="major")
    looker.configure(
        "tasks:\n  major: {claude_timeout: 900, models: {senior: opus}}\n"
        f"  {task['id']}: {{max_turns: 7, agent_command: [tac, --before]}}\n"
    )
    environ = {"AGENT_COMMAND": "", "HEADLESS_PM_CLAUDE_PATH": str(fake_claude(looker.repository.parent))}

    shown = looker.json("--task", str(task["id"]), **environ)

    assert (shown["executor"], shown["argv"]) == ("command", ["tac", "--before"])
    assert (shown["model"], shown["timeout"], shown["max_turns"]) == ("opus", 900, 7)
    assert shown["role"] == "backend_dev"
    assert shown["prompt"].startswith(prompt.FIRST_LINE)


def fake_claude(directory: Path) -> Path:
    """Make a program that tells a version."""
    path = directory / "claude"
    path.write_text("#!/bin/sh\necho '2.1.330 (Claude Code)'\n")
    path.chmod(0o755)
    return path


def test_qa_would_be_told_otherwise(looker: Looker, pm: PmServer) -> None:
    task = pm.api.task("Round it", status="dev_done")

    text = looker.show("--task", str(task["id"]), "--role", "qa").stdout

    assert "QA: PASSED" in text
    assert "# Quality assurance" in text


def test_an_unknown_task_and_a_task_that_is_none_are_told_apart(looker: Looker) -> None:
    gone = looker.show("--task", "999999")
    bad = looker.show("--task", "../etc")

    assert gone.returncode == 4
    assert "task 999999: the server at http://127.0.0.1:" in gone.stderr
    assert bad.returncode != 0
    assert "may not be used" in bad.stderr


def test_a_server_that_is_away_a_refused_key_and_a_missing_one_have_codes_of_their_own(
    looker: Looker, tmp_path: Path
) -> None:
    away = looker.show("--task", "1", HEADLESS_PM_API_URL="http://127.0.0.1:9")
    refused = looker.show("--task", "1", HEADLESS_PM_API_KEY="another-key")
    missing = looker.show("--task", "1", HEADLESS_PM_API_KEY="")

    assert (away.returncode, refused.returncode, missing.returncode) == (69, 77, 2)
    assert "is the server running there" in away.stderr
    assert "api_key: not given" in missing.stderr
    assert not any("Traceback" in ran.stderr or ran.stdout for ran in (away, refused, missing))


def test_a_call_without_a_task_is_a_mistake_and_help_teaches(looker: Looker) -> None:
    assert looker.show().returncode == 2
    assert looker.show("--task", "1", "--attempt", "0").returncode == 2
    told = looker.show("--help").stdout
    assert "prompt show --task 42" in told
    assert "Nothing is claimed" in told


def test_a_task_with_options_of_its_own_is_done_by_its_own_program(
    pm: PmServer, runner: MakeRunner, tmp_path: Path
) -> None:
    major = pm.api.task("Hard", complexity="major")
    one = runner("write", "commit")
    program = tmp_path / "hard-agent"
    program.write_text("#!/bin/sh\necho hard > hard.txt; git add -A; git commit -qm Hard; echo finished\n")
    program.chmod(0o755)
    one.home.mkdir()
    words = json.dumps([*one.env.pop("AGENT_COMMAND").split()])
    text = f"agent_command: {words}\ntasks: {{major: {{agent_command: [{program}], claude_timeout: 77}}}}\n"
    (one.home / "config.yaml").write_text(text)
    (one.home / "config.yaml").chmod(0o600)

    assert one.run("--single-task").returncode == 0

    spec = json.loads((one.runs()[0].path / "spec.json").read_text())
    assert spec["argv"] == [str(program)]
    assert spec["limits"]["timeout"] == 77
    assert git(one.repository, "log", "-1", "--format=%s", f"feature/task-{major['id']}") == "Hard"
    assert one.starts() == 0


def test_a_program_that_only_some_tasks_want_is_missed_at_the_start(pm: PmServer, runner: MakeRunner) -> None:
    pm.api.task("Easy", complexity="minor")
    one = runner("write")
    one.home.mkdir()
    (one.home / "config.yaml").write_text("tasks: {principal: {executor: no_such}}\n")
    (one.home / "config.yaml").chmod(0o600)

    ran = one.run("--single-task")

    assert ran.returncode == 2
    assert "tasks, principal: executor: 'no_such' is not known" in ran.stdout + ran.stderr
    assert one.starts() == 0
