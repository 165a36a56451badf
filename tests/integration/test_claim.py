"""A claim while others want the same task: won only by a second look, looked at again, and kept alive."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.judge import is_stopped, resume
from tests.chaos.tcp_fault_proxy import TcpFaultProxy
from tests.pm_server import PmServer, running_pm
from tests.runner import Runner
from tests.waiting import until


@pytest.fixture
def pm(tmp_path: Path) -> Iterator[PmServer]:
    (tmp_path / "pm").mkdir()
    with running_pm(tmp_path / "pm", "--real") as server:
        yield server


@pytest.fixture
def one(tmp_path: Path, pm: PmServer) -> Iterator[Runner]:
    runner = Runner(tmp_path, pm, "write")
    yield runner
    runner.close()


def changed_by(pm: PmServer, agent_id: str) -> list[str]:
    rows = pm.api.get("/changelog", limit=1000).json()
    return [row["new_status"].lower() for row in rows if row["changed_by"] == agent_id]


def test_a_lock_that_a_rival_overwrites_is_not_believed(one: Runner, pm: PmServer) -> None:
    """The server told us that we have it; the rival that wrote a moment later has it."""
    task = pm.api.task("Contested")
    pm.api.register("rival")
    daemon = one.start("--idle-timeout", "1", AGENT_RUNNER_FAULT="claim.locked:1*stop->off")
    until(lambda: is_stopped(daemon), "the daemon to stand still with its lock")
    for status in ("under_work", "created"):
        pm.api.status(task["id"], "pm_1", status)
    assert pm.api.lock(task["id"], "rival").status_code == 200

    resume(daemon)

    assert daemon.wait(30) == 0
    assert one.said("went to rival")
    assert pm.api.look(task["id"])["locked_by"] == "rival"
    assert one.starts() == 0
    assert changed_by(pm, "dev_1") == []


def test_a_claim_is_settled_before_anything_is_said_of_it(one: Runner, pm: PmServer) -> None:
    """A rival that asked when we did may write a moment after us: what a look shows at once proves nothing."""
    task = pm.api.task("Contested")
    pm.api.register("rival")
    daemon = one.start("--idle-timeout", "1", AGENT_RUNNER_FAULT="claim.locked:1*stop->off", HEADLESS_PM_SETTLE="5")
    until(lambda: is_stopped(daemon), "the daemon to stand still with its lock")
    resume(daemon)
    deadline = time.monotonic() + 1.5
    until(lambda: changed_by(pm, "dev_1") or time.monotonic() > deadline, "a part of the settling")

    for status in ("under_work", "created"):
        pm.api.status(task["id"], "pm_1", status)
    assert pm.api.lock(task["id"], "rival").status_code == 200

    assert daemon.wait(30) == 0
    assert one.said("went to rival")
    assert one.starts() == 0
    assert changed_by(pm, "dev_1") == []


def test_a_task_that_is_taken_away_before_the_agent_starts_gets_none(one: Runner, pm: PmServer, tmp_path: Path) -> None:
    task = pm.api.task("Taken away")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(tmp_path / 'go')!r}).exists():\n    time.sleep(0.02)\n"
    (hooks / "pre_task.py").write_text(waits)
    daemon = one.start("--single-task", "--hooks-dir", str(hooks))
    until(lambda: one.journal_is("ANNOUNCED"), "the hook")
    pm.api.register("rival")
    pm.api.status(task["id"], "pm_1", "created")
    pm.api.lock(task["id"], "rival")
    pm.api.status(task["id"], "rival", "under_work")

    (tmp_path / "go").touch()

    assert daemon.wait(30) == 1
    assert one.starts() == 0
    now = pm.api.look(task["id"])
    assert (now["status"], now["locked_by"]) == ("under_work", "rival")
    assert changed_by(pm, "dev_1") == ["under_work"]


def test_the_server_hears_from_us_again_and_again_while_the_agent_works_and_while_there_is_nothing_to_do(
    one: Runner, pm: PmServer
) -> None:
    one.env["AGENT_COMMAND"] += " wait"
    with TcpFaultProxy(pm.port) as proxy:
        one.env |= {"HEADLESS_PM_API_URL": proxy.url, "HEADLESS_PM_HEARTBEAT_INTERVAL": "0.3"}

        def beats() -> int:
            return sum("/register" in exchange.target for exchange in proxy.exchanges)

        one.start()
        until(lambda: beats() >= 3, "the heartbeat while there is nothing to do")
        pm.api.task("Long")
        until(lambda: one.starts() and one.journal_is("RUNNING"), "the agent at work")
        before = beats()

        until(lambda: beats() >= before + 3, "the heartbeat while the agent works")

        one.open_gate()
        until(lambda: one.journal() is None, "the end of the task")


def test_a_status_is_not_set_for_a_task_that_went_to_another_at_the_last_moment(one: Runner, pm: PmServer) -> None:
    task = pm.api.task("Contested")
    daemon = one.start("--single-task", AGENT_RUNNER_FAULT="after.EXITED:stop->off")
    until(lambda: is_stopped(daemon), "the verdict to be durable")
    pm.api.register("rival")
    pm.api.status(task["id"], "pm_1", "created")
    pm.api.lock(task["id"], "rival")
    pm.api.status(task["id"], "rival", "under_work")

    resume(daemon)

    daemon.wait(30)
    now = pm.api.look(task["id"])
    assert (now["status"], now["locked_by"]) == ("under_work", "rival")
    assert changed_by(pm, "dev_1") == ["under_work"]
    assert "succeeded" in now["notes"], "whoever goes on is told of the work"


def test_a_claim_that_was_not_made_is_dropped_when_another_finished_the_task_meanwhile(
    one: Runner, pm: PmServer
) -> None:
    """Defect: `dev_done` counted as free for a developer too, and the task was done a second time."""
    task = pm.api.task("Finished by another")
    one.run("--single-task", AGENT_RUNNER_FAULT="after.CLAIMING:kill")
    assert one.journal_is("CLAIMING")
    pm.api.register("rival")
    pm.api.status(task["id"], "rival", "under_work")
    pm.api.status(task["id"], "rival", "dev_done")

    ended = one.run("--idle-timeout", "0.5")

    assert "is not free any more" in ended.stdout
    assert one.starts() == 0
    assert changed_by(pm, "dev_1") == []


@pytest.mark.parametrize("options", [["--real"], []], ids=["a real server", "a server with unlock"])
def test_a_lock_that_comes_after_another_did_the_task_is_given_back(tmp_path: Path, options: list[str]) -> None:
    """Our daemon stands still between its look and its lock, while a rival takes the task and finishes it."""
    with running_pm(tmp_path, *options) as pm:
        task = pm.api.task("Done meanwhile")
        one = Runner(tmp_path, pm, "write")
        try:
            daemon = one.start("--idle-timeout", "2", AGENT_RUNNER_FAULT="claim.looked:1*stop->off")
            until(lambda: is_stopped(daemon), "the daemon to stand still")
            pm.api.register("rival")
            pm.api.lock(task["id"], "rival")
            pm.api.status(task["id"], "rival", "under_work")
            pm.api.status(task["id"], "rival", "dev_done")
            daemon.send_signal(signal.SIGCONT)

            assert daemon.wait(30) == 0

            now = pm.api.look(task["id"])
            assert (now["status"], now["locked_by"]) == ("dev_done", None)
            assert one.starts() == 0
        finally:
            one.close()


def test_a_lock_that_the_server_forgot_while_the_agent_works_is_taken_again(one: Runner, pm: PmServer) -> None:
    """Nobody else is offered such a task; without a lock it would be anybody's who sets its status."""
    one.env["AGENT_COMMAND"] += " wait"
    task = pm.api.task("Forgotten lock")
    daemon = one.start("--single-task", HEADLESS_PM_HEARTBEAT_INTERVAL="0.3")
    until(lambda: one.starts() and one.journal_is("RUNNING"), "the agent at work")
    pm.api.call("DELETE", "/agents/dev_1", requester_agent_id="pm_1")
    forgotten = pm.api.look(task["id"])
    assert (forgotten["status"], one.starts()) == ("under_work", 1)

    until(lambda: pm.api.look(task["id"])["locked_by"] == "dev_1", "the lock to be taken again")

    one.open_gate()
    assert daemon.wait(30) == 0
    assert pm.api.look(task["id"])["status"] == "dev_done"
    assert one.starts() == 1


def test_a_status_is_not_set_when_the_task_goes_to_another_while_the_comment_is_left(one: Runner, pm: PmServer) -> None:
    """Defect: there was no look between the comment and the status, which freed the other's lock."""
    task = pm.api.task("Contested")
    daemon = one.start("--single-task", AGENT_RUNNER_FAULT="report.commented:1*stop->off")
    until(lambda: is_stopped(daemon), "the comment to be left")
    pm.api.register("rival")
    pm.api.status(task["id"], "pm_1", "created")
    pm.api.lock(task["id"], "rival")
    pm.api.status(task["id"], "rival", "under_work")

    resume(daemon)

    assert daemon.wait(30) == 1
    now = pm.api.look(task["id"])
    assert (now["status"], now["locked_by"]) == ("under_work", "rival")
    assert changed_by(pm, "dev_1") == ["under_work"]


def test_a_task_that_another_brought_to_where_we_want_it_is_not_our_success(
    one: Runner, pm: PmServer, tmp_path: Path
) -> None:
    """Defect: the status alone was taken for our own report: no comment, and a success for the hooks."""
    one.env["AGENT_COMMAND"] += " wait"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post_task.py").write_text(f"import sys\nopen({str(tmp_path / 'told')!r}, 'w').write(sys.stdin.read())\n")
    task = pm.api.task("Superseded")
    daemon = one.start("--single-task", "--hooks-dir", str(hooks))
    until(lambda: one.starts() and one.journal_is("RUNNING"), "the agent at work")
    pm.api.register("rival")
    pm.api.status(task["id"], "pm_1", "created")
    pm.api.lock(task["id"], "rival")
    for status in ("under_work", "dev_done"):
        pm.api.status(task["id"], "rival", status)

    one.open_gate()

    assert daemon.wait(30) == 1
    assert changed_by(pm, "dev_1") == ["under_work"]
    notes = pm.api.look(task["id"])["notes"]
    assert "its status is left alone, and this work is kept" in notes
    assert "lost_claim" in json.dumps(json.loads((tmp_path / "told").read_text()))


def test_a_report_that_arrived_is_ours_also_when_qa_has_the_task_by_then(one: Runner, pm: PmServer) -> None:
    """The daemon is killed between the status and its journal; QA is quicker than the next start."""
    task = pm.api.task("Done")
    one.run("--single-task", AGENT_RUNNER_FAULT="report.moved:kill")
    assert one.journal_is("EXITED")
    pm.api.register("qa_1", "qa")
    pm.api.lock(task["id"], "qa_1")
    pm.api.status(task["id"], "qa_1", "under_work")

    ended = one.run("--single-task")

    assert ended.returncode == 0, ended.stdout
    assert "Task status is already: dev_done" in ended.stdout
    now = pm.api.look(task["id"])
    assert (now["status"], now["locked_by"]) == ("under_work", "qa_1")
    assert changed_by(pm, "dev_1") == ["dev_done", "under_work"], "newest first"
