"""What dies and what goes on: daemons and agents killed at work, and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components import durable, vital_signs
from components.run_directory import RunState
from tests.pm_server import PmServer, running_pm
from tests.runner import Runner, git
from tests.waiting import until

MakeRunner = Callable[..., Runner]


def is_done(pm: PmServer, task: dict[str, Any], status: str = "dev_done") -> bool:
    now = pm.api.look(task["id"])
    return (now["status"], now["locked_by"]) == (status, None)


def at_work(one: Runner) -> None:
    until(lambda: one.starts() and one.journal_is("RUNNING"), "the agent at work")


def test_r3_an_agent_outlives_its_killed_daemon_and_the_next_one_takes_its_result(
    runner: MakeRunner, pm: PmServer
) -> None:
    task = pm.api.task("Long")
    one = runner("wait", "write", "commit")
    first = one.start("--single-task")
    at_work(one)
    one.kill(first)

    second = one.start("--single-task")
    until(lambda: one.said("Recovering previously locked task..."), "the recovery")
    one.open_gate()

    assert second.wait(30) == 0
    assert one.starts() == 1
    assert is_done(pm, task)
    assert len(one.runs()) == 1
    assert one.log.read_text().count("Recovering previously locked task...") == 1


def test_a_killed_agent_is_started_again_as_the_next_attempt(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Long")
    one = runner("wait", "write")
    daemon = one.start("--single-task")
    at_work(one)
    os.kill(int(one.ledger()[0][3]), signal.SIGKILL)

    until(lambda: one.starts() == 2, "the second attempt")
    one.open_gate()

    assert daemon.wait(30) == 0
    assert is_done(pm, task)


def test_when_daemon_shim_and_agent_are_killed_the_next_start_makes_one_more_attempt(
    runner: MakeRunner, pm: PmServer
) -> None:
    task = pm.api.task("Long")
    one = runner("wait", "write")
    first = one.start("--single-task")
    at_work(one)
    pids = one.runs()[0].pids()
    one.kill(first)
    for who in ("shim", "agent"):
        os.kill(pids[who].pid, signal.SIGKILL)

    second = one.start("--single-task")
    until(lambda: one.starts() == 2, "the second attempt")
    one.open_gate()

    assert second.wait(30) == 0
    assert is_done(pm, task)


def test_an_agent_whose_shim_was_killed_is_waited_for(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Long")
    one = runner("wait", "write")
    daemon = one.start("--single-task")
    at_work(one)
    os.kill(one.runs()[0].pids()["shim"].pid, signal.SIGKILL)
    until(lambda: one.runs()[0].state() is RunState.ALIVE, "the agent to live on")

    one.open_gate()

    daemon.wait(30)
    assert max(int(line[2]) for line in one.ledger()) <= 2
    assert is_done(pm, task)


def test_r6_a_term_leaves_the_agent_at_work_and_the_next_start_adopts_it(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Long")
    one = runner("wait", "write")
    first = one.start()
    at_work(one)

    first.terminate()

    assert first.wait(10) == 0
    assert one.runs()[0].state() is RunState.ALIVE
    second = one.start("--single-task")
    until(lambda: one.said("Recovering previously locked task..."), "the recovery")
    one.open_gate()
    assert second.wait(30) == 0
    assert one.starts() == 1
    assert is_done(pm, task)


def test_a_term_with_wait_sees_the_task_through(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Long")
    pm.api.task("Not taken any more")
    one = runner("wait", "write")
    daemon = one.start("--on-term", "wait")
    at_work(one)

    daemon.terminate()
    one.open_gate()

    assert daemon.wait(30) == 0
    assert one.starts() == 1
    assert is_done(pm, task)


def test_a_second_term_stops_the_agent_and_gives_the_task_back(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Long")
    one = runner("wait", "write")
    daemon = one.start("--on-term", "wait")
    at_work(one)

    daemon.terminate()
    until(lambda: one.said("is waited for"), "the first signal to be heard")
    daemon.terminate()

    daemon.wait(30)
    assert one.runs()[0].state() is RunState.ENDED
    assert is_done(pm, task, "created")


def test_a_term_while_idle_ends_it_at_once(runner: MakeRunner) -> None:
    one = runner("write")
    daemon = one.start(HEADLESS_PM_POLL_INTERVAL="60")
    until(lambda: one.log.exists() and one.said("No tasks available"), "the rest")

    daemon.terminate()

    assert daemon.wait(10) == 0


def test_a_second_daemon_of_one_agent_id_is_refused_and_changes_nothing(runner: MakeRunner, pm: PmServer) -> None:
    pm.api.task("Long")
    one = runner("wait", "write")
    first = one.start("--single-task")
    at_work(one)

    second = one.run("--single-task")

    assert second.returncode == 75
    assert f"process {first.pid} " in second.stderr
    assert one.starts() == 1
    one.open_gate()
    assert first.wait(30) == 0


def test_two_agents_take_turns_in_one_checkout(runner: MakeRunner, pm: PmServer) -> None:
    first_task, second_task = pm.api.task("One"), pm.api.task("Two")
    one, two = runner("wait", "write"), runner("wait", "write", agent_id="dev_2")
    first = one.start("--single-task")
    at_work(one)

    second = two.start("--single-task")
    until(lambda: two.log.exists() and two.said("another agent works in the checkout"), "the second to wait")
    assert one.starts() == 1
    one.open_gate()

    assert first.wait(30) == 0
    assert second.wait(30) == 0
    assert is_done(pm, first_task)
    assert is_done(pm, second_task)


def test_a_task_taken_away_meanwhile_ends_the_agent_and_its_status_is_not_touched(
    runner: MakeRunner, pm: PmServer
) -> None:
    task = pm.api.task("Contested")
    one = runner("wait", "write")
    daemon = one.start("--single-task", HEADLESS_PM_HEARTBEAT_INTERVAL="0.3")
    at_work(one)
    pm.api.status(task["id"], "pm_1", "created")
    pm.api.register("rival")
    pm.api.lock(task["id"], "rival")
    pm.api.status(task["id"], "rival", "under_work")

    assert daemon.wait(30) == 1

    now = pm.api.look(task["id"])
    assert (now["status"], now["locked_by"]) == ("under_work", "rival")
    assert "lost_claim" in now["notes"]
    assert one.runs()[0].state() is RunState.ENDED


def test_a_server_that_goes_away_during_the_work_is_told_when_it_is_back(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--real") as pm:
        task = pm.api.task("Long")
        one = Runner(tmp_path, pm, "wait", "write")
        try:
            daemon = one.start("--single-task")
            at_work(one)
            pm.kill()
            one.open_gate()
            until(lambda: one.said("Trying again until it works"), "the outage to be told")
            pm.restart()

            assert daemon.wait(40) == 0
            assert is_done(pm, task)
            assert one.log.read_text().count("Trying again until it works") == 1
        finally:
            one.close()


def test_an_agent_is_attended_though_the_server_is_away_when_its_daemon_starts_again(tmp_path: Path) -> None:
    """Defect: the daemon waited for the server first, and the shim ended the agent, which nobody watched."""
    with running_pm(tmp_path, "--real") as pm:
        task = pm.api.task("Long")
        one = Runner(tmp_path, pm, "wait", "write")
        try:
            first = one.start(HEADLESS_PM_LEASH="3")
            at_work(one)
            pm.kill()
            one.kill(first)

            second = one.start("--single-task", HEADLESS_PM_LEASH="3")
            until(lambda: durable.is_held(one.runs()[0].path / "watched"), "the second daemon to watch it")
            until(lambda: vital_signs.age(one.runs()[0]) > 8, "twice the leash", 30)
            assert one.runs()[0].exit_record() is None
            one.open_gate()
            until(lambda: one.journal_is("EXITED"), "the verdict on the disk, though nobody can be told")
            pm.restart()

            assert second.wait(40) == 0
            assert one.starts() == 1
            assert is_done(pm, task)
        finally:
            one.close()


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def begun(one: Runner) -> subprocess.Popen[bytes]:
    daemon = one.start()
    at_work(one)
    return daemon


def test_an_agent_is_attended_at_once_though_the_server_does_not_answer(runner: MakeRunner, pm: PmServer) -> None:
    pm.api.task("Long")
    one = runner("wait", "write")
    one.kill(begun(one))
    watched = one.runs()[0].path / "watched"

    with silent_server() as url:
        second = one.start(HEADLESS_PM_API_URL=url)
        until(lambda: durable.is_held(watched), "the second daemon to watch it", 10)
        second.terminate()

        assert second.wait(10) == 0
    assert one.runs()[0].state() is RunState.ALIVE


def test_an_agent_is_seen_to_its_end_before_a_key_that_is_refused_ends_the_daemon(
    runner: MakeRunner, pm: PmServer
) -> None:
    task = pm.api.task("Long")
    one = runner("wait", "write")
    one.kill(begun(one))

    second = one.start(HEADLESS_PM_API_KEY="another")
    until(lambda: one.said("all the same"), "the refusal to be told")
    assert second.poll() is None
    one.open_gate()

    assert second.wait(30) == 77
    assert one.journal_is("EXITED")
    assert one.run("--single-task").returncode == 0
    assert is_done(pm, task)


def test_a_daemon_that_hears_nothing_from_the_server_ends_soon_after_a_term(runner: MakeRunner) -> None:
    """Defect: it went on asking for 27 s."""
    one = runner("write")
    with silent_server() as url:
        daemon = one.start(HEADLESS_PM_API_URL=url)
        until(lambda: has_socket(daemon.pid), "its question")
        daemon.terminate()

        assert daemon.wait(5) == 0
    assert one.said("Leaving")


def has_socket(pid: int) -> bool:
    """Whether a process has a socket open."""
    with contextlib.suppress(OSError):
        return any(os.readlink(fd).startswith("socket:") for fd in Path("/proc", str(pid), "fd").iterdir())
    return False


def test_a_runner_that_is_to_stop_does_not_wait_for_ever_for_a_server_that_is_gone(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--real") as pm:
        task = pm.api.task("Long")
        one = Runner(tmp_path, pm, "wait", "write")
        try:
            daemon = one.start("--on-term", "stop")
            at_work(one)
            pm.kill()
            daemon.terminate()
            daemon.wait(30)
            assert one.journal_is("EXITED")

            pm.restart()
            one.run("--idle-timeout", "1")

            assert is_done(pm, task, "created")
        finally:
            one.close()


def test_a_term_while_the_server_is_away_at_the_start_ends_it_without_an_error(runner: MakeRunner) -> None:
    """Defect: it ended with exit code 1 and `Error: stopped while waiting`, as if the configuration were wrong."""
    one = runner("write")
    daemon = one.start(HEADLESS_PM_API_URL="http://127.0.0.1:9")
    until(lambda: one.log.exists() and one.said("Trying again until it works"), "the outage to be told")

    daemon.terminate()

    assert daemon.wait(10) == 0


def test_unsaved_work_of_a_killed_attempt_and_of_one_at_work_is_kept_as_snapshots(
    runner: MakeRunner, pm: PmServer
) -> None:
    task = pm.api.task("Long", complexity="major")
    one = runner("scribble", "wait")
    daemon = one.start("--single-task", HEADLESS_PM_SNAPSHOT_INTERVAL="1")
    at_work(one)
    refs = f"refs/agent-runner/{task['id']}"
    until(lambda: git(one.repository, "for-each-ref", refs), "a snapshot while the agent works")
    for line in one.ledger():
        os.kill(int(line[3]), signal.SIGKILL)
    until(lambda: one.starts() == 2, "the second attempt")
    one.open_gate()
    assert daemon.wait(30) == 0

    ref = git(one.repository, "for-each-ref", "--format=%(refname)", refs).splitlines()[0]
    assert git(one.repository, "show", f"{ref}:scribble.txt") == "not committed"


def test_what_a_killed_agent_has_started_keeps_no_task_at_work(runner: MakeRunner, pm: PmServer) -> None:
    """Regression: with agent and shim killed at once, a process in the background passed for the agent for ever."""
    one = runner()
    child = one.directory / "child"
    script = f"(trap '' TERM; sleep 300) & echo $! > {child}\nwait\n"
    (one.directory / "agent.sh").write_text(f"cat > /dev/null\n[ $AGENT_RUNNER_ATTEMPT = 1 ] || exit 0\n{script}")
    one.env["AGENT_COMMAND"] = f"sh {one.directory / 'agent.sh'}"
    task = pm.api.task("Go on")
    daemon = one.start("--single-task")
    until(lambda: child.exists() and child.read_text().strip(), "the agent's child")
    (run,) = one.runs()
    for who in ("shim", "agent"):
        os.kill(run.pids()[who].pid, signal.SIGKILL)

    assert daemon.wait(30) == 0
    assert pm.api.look(task["id"])["status"] == "dev_done"
    assert one.said("its agent and its shim were killed")
    assert [each.path.name[-1] for each in one.runs()] == ["1", "2"]
    assert run.state() is RunState.VANISHED
