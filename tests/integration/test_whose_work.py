"""Work in the main checkout that came between two attempts, after a machine died: it is not the next attempt's."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from components.run_directory import RunState
from tests.pm_server import PmServer
from tests.runner import Runner, ended, git
from tests.waiting import until

MakeRunner = Callable[..., Runner]
FIRST_ONLY = '[ "$AGENT_RUNNER_ATTEMPT" != 1 ] || { echo ready > READY; exec sleep 600; }'


def prepared(one: Runner, script: str) -> Runner:
    file = one.directory / "agent.sh"
    script = script.replace("READY", str(one.directory / "ready"))
    file.write_text(f"set -e\ncat > /dev/null\n{script}\necho 'All done.'\n")
    one.env |= {"AGENT_COMMAND": f"sh {file}", "HEADLESS_PM_EVIDENCE": "change", "HEADLESS_PM_MAX_ATTEMPTS": "2"}
    return one


def died(one: Runner) -> None:
    """Begin the task, and kill runner, shim and agent at once while the agent works."""
    daemon = one.start("--single-task")
    ready = one.directory / "ready"
    until(ready.exists, "the agent at work")
    (run,) = one.runs()
    pids = run.pids()
    one.kill(daemon)
    for who in ("shim", "agent"):
        os.kill(pids[who].pid, signal.SIGKILL)
    until(lambda: run.state() is RunState.VANISHED, "the end of all of them")
    over = time.time() + 2.5  # commits tell whole seconds, and one more is allowed for
    until(lambda: time.time() > over, "a time in which nobody works")


def evidence(one: Runner) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((one.runs()[-1].path / "result.json").read_text())["evidence"]
    return data


@pytest.mark.parametrize("branch", ["", "rounding"])
def test_what_others_did_after_all_was_killed_is_no_work_of_the_next_attempt(
    runner: MakeRunner, pm: PmServer, branch: str
) -> None:
    """Regression: of an attempt whose end nobody saw, all time counted; a person's edit was even committed for it."""
    one = prepared(runner(), FIRST_ONLY)
    task = pm.api.task("Do it", branch=branch)
    died(one)
    (one.repository / "other.txt").write_text("another's\n")
    git(one.repository, "add", "-A")
    git(one.repository, "commit", "-qm", "Another's work")
    (one.repository / "README").write_text("somebody's edit\n")

    one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "pending"
    assert "no_work_done" in notes
    assert (evidence(one)["commits"], evidence(one)["leftovers"]) == ([], [])
    assert (one.repository / "README").read_text() == "somebody's edit\n"
    assert git(one.repository, "log", "-1", "--format=%s") == "Another's work"


def test_what_the_agent_did_before_all_was_killed_is_its_work_and_the_receipt_has_nothing_else(
    runner: MakeRunner, pm: PmServer
) -> None:
    work = "echo mine > mine.txt; git add mine.txt; git commit -qm Mine; echo left > left.txt"
    one = prepared(runner(), f'[ "$AGENT_RUNNER_ATTEMPT" != 1 ] || {{ {work}; }}\n{FIRST_ONLY}')
    task = pm.api.task("Do it")
    died(one)
    (one.repository / "other.txt").write_text("another's\n")
    git(one.repository, "add", "other.txt")
    git(one.repository, "commit", "-qm", "Another's work")

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"
    found = evidence(one)
    assert [commit["subject"] for commit in found["commits"]] == ["Mine"]
    assert found["leftovers"] == ["left.txt"]
    assert (found["diff"]["files"], found["diff"]["insertions"]) == (2, 2)
    assert git(one.repository, "log", "-1", "--format=%s") == "WIP: Do it"


def test_an_agent_that_left_another_branch_checked_out_is_told_that_and_nothing_false(
    runner: MakeRunner, pm: PmServer
) -> None:
    """Regression: the comment said that the history was rewritten, and that there was no commit."""
    one = prepared(runner(), "echo x > x.txt; git add x.txt; git commit -qm Mine; git checkout -q main")
    one.env["HEADLESS_PM_MAX_ATTEMPTS"] = "1"
    task = pm.api.task("Do it", branch="rounding")

    one.run("--single-task")

    _, notes = ended(pm, task)
    assert "main is checked out instead of rounding" in notes
    assert "rewritten" not in notes
    assert [commit["subject"] for commit in evidence(one)["commits"]] == ["Mine"]


def test_a_major_task_whose_branch_is_taken_says_where_its_work_is(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), "echo x > x.txt; git add x.txt; git commit -qm Mine")
    git(one.repository, "branch", "rounding")
    task = pm.api.task("Do it", branch="rounding", complexity="major")

    one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "dev_done"
    assert "the task names branch rounding; its work is on rounding-" in notes
