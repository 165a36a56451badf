"""Journals that are lost or refused: what is ours at the server is found again, and what was refused is kept."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components import journal_format
from components.run_directory import JOURNAL
from tests.pm_server import PmServer, running_pm
from tests.runner import Runner
from tests.waiting import until

MakeRunner = Callable[..., Runner]


@pytest.fixture
def pm(tmp_path: Path) -> Iterator[PmServer]:
    (tmp_path / "pm").mkdir()
    with running_pm(tmp_path / "pm", "--real", "--faults") as server:
        yield server


@pytest.fixture
def one(tmp_path: Path, pm: PmServer) -> Iterator[Runner]:
    runner = Runner(tmp_path, pm, "wait", "write")
    yield runner
    runner.close()


def is_done(pm: PmServer, task: dict[str, Any]) -> bool:
    now = pm.api.look(task["id"])
    return (now["status"], now["locked_by"]) == ("dev_done", None)


def begun(one: Runner) -> None:
    daemon = one.start("--single-task")
    until(lambda: one.starts() == 1 and one.journal_is("RUNNING"), "the agent at work")
    one.kill(daemon)


def test_an_agent_whose_daemon_lost_its_journal_is_adopted_all_the_same(one: Runner, pm: PmServer) -> None:
    task = pm.api.task("Lost journal")
    begun(one)
    (one.home / "locks" / "agent-dev_1.lock").unlink()

    second = one.start("--single-task")
    until(lambda: one.said("Recovering previously locked task..."), "the recovery")
    one.open_gate()

    assert second.wait(30) == 0
    assert one.starts() == 1
    assert is_done(pm, task)


def test_a_corrupt_journal_is_set_aside_and_its_task_gone_on_with(one: Runner, pm: PmServer) -> None:
    task = pm.api.task("Corrupt journal")
    begun(one)
    lock = one.home / "locks" / "agent-dev_1.lock"
    lock.write_bytes(lock.read_bytes()[:100])

    second = one.start("--single-task")
    until(lambda: one.said("Recovering previously locked task..."), "the recovery")
    one.open_gate()

    assert second.wait(30) == 0
    assert one.starts() == 1
    assert len(list(lock.parent.glob("*.bad-*"))) == 1
    assert is_done(pm, task)


def test_a_task_that_only_the_server_remembers_as_ours_is_done_afresh(one: Runner, pm: PmServer) -> None:
    task = pm.api.task("Disk wiped")
    pm.api.register("dev_1")
    pm.api.lock(task["id"], "dev_1")
    pm.api.status(task["id"], "dev_1", "under_work")
    one.open_gate()

    ended = one.run("--max-tasks", "1", HEADLESS_PM_HEARTBEAT_INTERVAL="0.3")

    assert ended.returncode == 0, ended.stdout
    assert one.starts() == 1
    assert is_done(pm, task)


def test_a_task_at_work_whose_lock_the_server_forgot_is_taken_up_again(one: Runner, pm: PmServer) -> None:
    task = pm.api.task("Forgotten lock")
    pm.api.register("dev_1")
    pm.api.lock(task["id"], "dev_1")
    pm.api.status(task["id"], "dev_1", "under_work")
    pm.api.status(task["id"], "dev_1", "created")
    pm.api.status(task["id"], "dev_1", "under_work")
    assert pm.api.look(task["id"])["locked_by"] is None
    one.open_gate()

    ended = one.run("--max-tasks", "1", HEADLESS_PM_HEARTBEAT_INTERVAL="0.3")

    assert ended.returncode == 0, ended.stdout
    assert is_done(pm, task)


def test_a_task_at_work_that_another_left_is_not_taken(one: Runner, pm: PmServer) -> None:
    task = pm.api.task("Somebody else's")
    pm.api.register("dev_9")
    pm.api.lock(task["id"], "dev_9")
    pm.api.status(task["id"], "dev_9", "under_work")
    pm.api.status(task["id"], "dev_9", "created")
    pm.api.status(task["id"], "dev_9", "under_work")

    assert one.run("--single-task").returncode == 3
    assert pm.api.look(task["id"])["status"] == "under_work"


def test_a_report_that_the_server_refuses_is_kept_for_a_person(one: Runner, pm: PmServer) -> None:
    task = pm.api.task("Refused report")
    daemon = one.start("--single-task")
    until(lambda: one.starts() == 1 and one.journal_is("RUNNING"), "the agent at work")
    pm.api.fault("reply", on="status", status=403, times=10)
    one.open_gate()

    daemon.wait(30)

    letters = [json.loads(path.read_text()) for path in (one.home / "dead-letters").iterdir()]
    assert [(letter["task_id"], letter["wanted"]) for letter in letters] == [(str(task["id"]), ["dev_done"])]
    pm.api.forgive()
    assert one.run("--single-task").returncode == 3, "a task whose report was refused is left to people"


def test_a_hang_up_reads_the_configuration_again_and_keeps_the_old_one_if_it_is_bad(one: Runner, pm: PmServer) -> None:
    config = one.home / "config.yaml"
    one.home.mkdir(exist_ok=True)
    config.write_text("claude_timeout: 100\n")
    daemon = one.start()
    until(lambda: one.log.exists() and one.said("No tasks available"), "the rest")
    config.write_text("claude_timout: 5\n")
    daemon.send_signal(1)
    until(lambda: one.said("The configuration stays as it was"), "the refusal")
    config.write_text("claude_timeout: 77\n")
    daemon.send_signal(1)
    until(lambda: one.said("is in force"), "the reload")
    pm.api.task("With the new limit")

    until(lambda: one.starts() == 1, "the agent")

    assert json.loads((one.runs()[0].path / "spec.json").read_text())["limits"]["timeout"] == 77


def test_a_user_signal_tells_state_and_stacks_and_changes_nothing(one: Runner, pm: PmServer) -> None:
    pm.api.task("Watched")
    daemon = one.start("--single-task")
    until(lambda: one.starts() == 1 and one.journal_is("RUNNING"), "the agent at work")

    daemon.send_signal(10)
    until(lambda: one.said("State: task") and one.said("phase RUNNING"), "the state")

    assert one.said("most recent call first")
    one.open_gate()
    assert daemon.wait(30) == 0


def test_an_agent_of_an_earlier_claim_is_ended_before_another_starts(one: Runner, pm: PmServer) -> None:
    """The server gave the task away and then again to us, while our first agent worked on unseen."""
    task = pm.api.task("Twice claimed")
    begun(one)
    (one.home / "locks" / "agent-dev_1.lock").unlink()
    pm.api.status(task["id"], "pm_1", "created")

    second = one.start("--single-task")
    until(lambda: one.starts() == 2, "the second agent")

    first_run = min(one.runs(), key=lambda run: run.path.stat().st_ctime)
    assert first_run.state().name == "ENDED"
    one.open_gate()
    assert second.wait(30) == 0
    assert is_done(pm, task)


def test_a_task_of_our_id_on_another_machine_is_not_taken_from_the_runner_that_lives_there(
    one: Runner, pm: PmServer, tmp_path: Path
) -> None:
    """Two homes stand for two machines; both have runners of one agent id."""
    pm.api.task("Theirs")
    begun_there = one.start("--single-task")
    until(lambda: one.starts() == 1 and one.journal_is("RUNNING"), "the agent at work")

    here = one.run("--single-task", HEADLESS_PM_HOME=str(tmp_path / "another-home"))

    assert here.returncode == 3, here.stdout
    assert one.starts() == 1
    one.open_gate()
    assert begun_there.wait(30) == 0


def test_a_task_of_our_id_is_taken_up_when_the_other_runner_has_been_silent(
    one: Runner, pm: PmServer, tmp_path: Path
) -> None:
    task = pm.api.task("Abandoned there")
    begun(one)
    one.open_gate()

    ended = one.run(
        "--max-tasks",
        "1",
        HEADLESS_PM_HOME=str(tmp_path / "another-home"),
        HEADLESS_PM_HEARTBEAT_INTERVAL="0.3",
    )

    assert ended.returncode == 0, ended.stdout
    assert is_done(pm, task)


@pytest.mark.parametrize("kind", ["nested", "directory", "pipe"])
def test_whatever_stands_where_the_journal_should_is_set_aside(one: Runner, pm: PmServer, kind: str) -> None:
    task = pm.api.task("Go on")
    lock = one.home / "locks" / "agent-dev_1.lock"
    lock.parent.mkdir(parents=True)
    if kind == "nested":
        lock.write_text("[" * 200_000)
    elif kind == "directory":
        lock.mkdir()
    else:
        os.mkfifo(lock)
    one.open_gate()

    ended = one.run("--single-task")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(list(lock.parent.glob("*.bad-*"))) == 1
    assert is_done(pm, task)


def sent_back(one: Runner, pm: PmServer) -> dict[str, Any]:
    """Make a task that was done here, and that QA rejected."""
    task = pm.api.task("Sent back", complexity="major")
    one.open_gate()
    assert one.run("--single-task").returncode == 0
    pm.api.register("qa_1", "qa")
    for status in ("under_work", "created"):
        pm.api.status(task["id"], "qa_1", status)
    return task


@pytest.mark.parametrize("loss", ["lost", "corrupt"])
def test_what_an_earlier_claim_brought_is_not_told_as_the_result_of_this_one(
    one: Runner, pm: PmServer, loss: str
) -> None:
    """Defect: with the journal gone before the run, the earlier claim's run was gone on with, and reported again."""
    task = sent_back(one, pm)
    one.run("--single-task", AGENT_RUNNER_FAULT="after.ANNOUNCED:kill")
    assert one.journal_is("ANNOUNCED")
    lock = one.home / "locks" / "agent-dev_1.lock"
    if loss == "lost":
        lock.unlink()
    else:
        lock.write_bytes(lock.read_bytes()[:100])

    ended = one.run("--max-tasks", "1", HEADLESS_PM_HEARTBEAT_INTERVAL="0.3")

    assert ended.returncode == 0, ended.stdout
    assert one.starts() == 2
    assert is_done(pm, task)


def test_which_claim_is_the_last_one_is_not_told_by_a_clock(one: Runner, pm: PmServer) -> None:
    """Defect: after a step of the clock the earlier claim's run was taken, and done told while an agent was at work."""
    task = sent_back(one, pm)
    [earlier] = one.runs()
    copy = earlier.path / JOURNAL
    copy.write_bytes(journal_format.dump(replace(journal_format.parse(copy.read_bytes()), locked_at="2036-01-01")))
    one.ledger_file.with_name("ledger.gate").unlink()
    first = one.start("--single-task")
    until(lambda: one.starts() == 2 and one.journal_is("RUNNING"), "the second agent at work")
    one.kill(first)
    (one.home / "locks" / "agent-dev_1.lock").unlink()

    second = one.start("--single-task")
    until(lambda: one.journal_is("RUNNING"), "the recovery")

    held = one.journal()
    assert held is not None and one.runs()[-1].name == held.run != earlier.name
    one.open_gate()
    assert second.wait(30) == 0
    assert one.starts() == 2
    assert is_done(pm, task)


def test_of_several_attempts_the_last_one_is_gone_on_with(one: Runner, pm: PmServer) -> None:
    task = pm.api.task("Second attempt")
    first = one.start("--single-task")
    until(lambda: one.starts() == 1 and one.journal_is("RUNNING"), "the agent at work")
    os.kill(int(one.ledger()[0][3]), signal.SIGKILL)
    until(lambda: one.starts() == 2 and one.journal_is("RUNNING"), "the second attempt at work")
    one.kill(first)
    (one.home / "locks" / "agent-dev_1.lock").unlink()

    second = one.start("--single-task")
    until(lambda: one.said("Recovering previously locked task..."), "the recovery")
    one.open_gate()

    assert second.wait(30) == 0
    assert one.said("phase RUNNING, attempt 2, locked"), "the first attempt is judged already"
    assert one.starts() == 2
    assert is_done(pm, task)


def empty_lists(pm: PmServer) -> None:
    pm.api.fault("reply", on="list", status=200, body="[]", content_type="application/json", times=100_000)


def test_a_report_waits_while_the_server_shows_no_task_at_all(one: Runner, pm: PmServer) -> None:
    """Defect: one empty list made the task gone; its verdict was dropped, and it stayed locked for ever."""
    task = pm.api.task("Out of sight")
    daemon = one.start("--single-task")
    until(lambda: one.starts() == 1 and one.journal_is("RUNNING"), "the agent at work")
    empty_lists(pm)
    one.open_gate()
    until(lambda: one.said("looking again to be sure"), "a look that misses the task")
    pm.api.forgive()

    assert daemon.wait(30) == 0
    assert is_done(pm, task)


def test_an_agent_is_not_stopped_while_the_server_shows_no_task_at_all(one: Runner, pm: PmServer) -> None:
    task = pm.api.task("Out of sight")
    daemon = one.start("--single-task", HEADLESS_PM_HEARTBEAT_INTERVAL="0.2")
    until(lambda: one.starts() == 1 and one.journal_is("RUNNING"), "the agent at work")
    empty_lists(pm)

    def struck() -> int:
        return int(pm.api.call("GET", "//_faults").json()["struck"])

    until(lambda: struck() > 40, "some looks")
    pm.api.forgive()
    one.open_gate()

    assert daemon.wait(30) == 0
    assert one.starts() == 1
    assert is_done(pm, task)


def test_a_person_is_called_once_however_often_the_report_is_tried(one: Runner, pm: PmServer) -> None:
    """Defect: each try published the alarm again, and so did each lost answer."""
    one.env["AGENT_COMMAND"] += " fail"
    one.open_gate()
    task = pm.api.task("Fails")
    pm.api.fault("drop_response", on="documents", after=1)
    pm.api.fault("reply", on="status", status=500, times=2, after=1)

    assert one.run("--single-task", HEADLESS_PM_MAX_ATTEMPTS="1").returncode == 1

    assert pm.api.look(task["id"])["status"] == "pending"
    documents = pm.api.get("/documents", doc_type="critical_issue").json()
    assert [document["author_id"] for document in documents] == ["dev_1"]
    assert pm.api.look(task["id"])["notes"].count("[agent-runner ") == 1
