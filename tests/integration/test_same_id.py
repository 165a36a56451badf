"""Two runners that sign in as one agent, each with a home of its own: every task is done by one of them."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.judge import is_stopped
from tests.pm_server import PmServer, running_pm
from tests.runner import Runner
from tests.waiting import until

SERVERS = {"a real server": ["--real"], "a lock that its holder gets again": ["--defect", "racy_lock=0.05"]}


@pytest.fixture(params=SERVERS.values(), ids=SERVERS.keys())
def pm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PmServer]:
    (tmp_path / "pm").mkdir()
    with running_pm(tmp_path / "pm", *request.param) as server:
        yield server


@pytest.fixture
def here(tmp_path: Path, pm: PmServer) -> Iterator[Runner]:
    runner = Runner(tmp_path, pm, "wait", "write")
    yield runner
    runner.close()


@pytest.fixture
def there(tmp_path: Path, pm: PmServer, here: Runner) -> Iterator[Runner]:
    """A second runner with the id of the first, that shares its repository and its agents' ledger."""
    runner = Runner(tmp_path, pm, "wait", "write")
    runner.home = tmp_path / "home-there"
    runner.env["HEADLESS_PM_HOME"] = str(runner.home)
    runner.log = tmp_path / "there.log"
    yield runner
    runner.close()


def moves(pm: PmServer) -> list[str]:
    """Return what the agent id did with the only task, newest first."""
    rows = pm.api.get("/changelog", limit=1000).json()
    return [row["new_status"] for row in rows if row["changed_by"] == "dev_1"]


@pytest.mark.parametrize("point", ["after.CLAIMING", "claim.looked"])
def test_a_lock_in_our_name_that_we_did_not_get_is_not_ours(
    here: Runner, there: Runner, pm: PmServer, point: str
) -> None:
    """Defect: the refusal of a lock was read as `I have it already`, and two agents did the task."""
    pm.api.task("Wanted twice")
    slow = here.start("--single-task", AGENT_RUNNER_FAULT=f"{point}:1*stop->off")
    until(lambda: is_stopped(slow), "the first runner to stand still before its lock")
    quick = there.start("--single-task")
    until(lambda: there.starts() == 1 and there.journal_is("RUNNING"), "the second runner's agent")

    slow.send_signal(signal.SIGCONT)

    assert slow.wait(30) == 3
    assert here.starts() == 1
    assert here.said("another runner that signs in as dev_1")
    there.open_gate()
    assert quick.wait(30) == 0
    assert moves(pm) == ["dev_done", "under_work"]


def test_a_claim_that_was_only_written_down_is_not_gone_on_with_where_the_other_one_has_the_task(
    here: Runner, there: Runner, pm: PmServer
) -> None:
    pm.api.task("Wanted twice")
    here.run("--single-task", AGENT_RUNNER_FAULT="after.CLAIMING:kill")
    quick = there.start("--single-task")
    until(lambda: there.starts() == 1 and there.journal_is("RUNNING"), "the second runner's agent")

    again = here.run("--single-task")

    assert again.returncode == 3, again.stdout
    assert here.starts() == 1
    there.open_gate()
    assert quick.wait(30) == 0
    assert moves(pm) == ["dev_done", "under_work"]


def test_of_two_that_got_the_lock_the_first_to_leave_its_mark_has_the_task(
    here: Runner, there: Runner, pm: PmServer
) -> None:
    """Both were told that they have it, and both see their own name in the lock."""
    task = pm.api.task("Wanted twice")
    slow = here.start("--single-task", AGENT_RUNNER_FAULT="claim.locked:1*stop->off")
    until(lambda: is_stopped(slow), "the first runner to stand still with its lock")
    for status in ("under_work", "created"):
        pm.api.status(task["id"], "pm_1", status)
    quick = there.start("--single-task")
    until(lambda: there.starts() == 1 and there.journal_is("RUNNING"), "the second runner's agent")

    slow.send_signal(signal.SIGCONT)

    assert slow.wait(30) == 3
    assert here.starts() == 1
    assert pm.api.look(task["id"])["notes"].count("[agent-runner claims") == 2
    there.open_gate()
    assert quick.wait(30) == 0
    assert moves(pm) == ["dev_done", "under_work"]


def test_two_runners_of_one_id_do_every_task_once(here: Runner, there: Runner, pm: PmServer) -> None:
    tasks = [pm.api.task(f"Number {number}", complexity="major")["id"] for number in range(6)]
    here.open_gate()
    daemons = [runner.start(HEADLESS_PM_POLL_INTERVAL="0.1") for runner in (here, there)]

    until(lambda: all(pm.api.look(task)["status"] == "dev_done" for task in tasks), "all tasks", 50)

    until(lambda: here.journal() is None and there.journal() is None, "the ends")
    for daemon in daemons:
        daemon.terminate()
        daemon.wait(30)
    starts = Counter(line[1] for line in here.ledger() if line[0] == "start")
    assert starts == {str(task): 1 for task in tasks}
    assert Counter(moves(pm)) == {"under_work": 6, "dev_done": 6}


def test_who_comes_back_to_a_task_that_was_taken_over_stops_its_agent_and_says_nothing_of_the_status(
    here: Runner, there: Runner, pm: PmServer
) -> None:
    task = pm.api.task("Believed abandoned", complexity="major")
    first = here.start("--single-task")
    until(lambda: here.starts() == 1 and here.journal_is("RUNNING"), "the agent at work")
    here.kill(first)
    taking_over = there.start(HEADLESS_PM_HEARTBEAT_INTERVAL="0.2")
    until(lambda: there.starts() == 2 and there.journal_is("RUNNING"), "the second runner's agent", 30)

    back = here.run("--single-task")

    assert back.returncode == 1, back.stdout
    assert "Task 1 is not ours any more" in back.stdout
    assert pm.api.look(task["id"])["status"] == "under_work"
    there.open_gate()
    until(lambda: pm.api.look(task["id"])["status"] == "dev_done", "the end of the task")
    assert taking_over.poll() is None
    assert moves(pm) == ["dev_done", "under_work"]
    assert here.starts() == 2
