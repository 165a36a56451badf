"""Typed tasks that wait for their turn while somebody kills or interrupts whoever waits for them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from components import background, typed_task
from tests.typed import MakeTerminal, Terminal
from tests.waiting import until


def full(terminal: MakeTerminal) -> Terminal:
    """Return a shell where one task is at work, and no second one may be."""
    one = terminal("wait")
    one.env["HEADLESS_PM_MAX_PARALLEL_TASKS"] = "1"
    one.start()
    return one


def waiter_in_the_foreground(one: Terminal, *words: str) -> subprocess.Popen[str]:
    """Start a command that waits for its turn."""
    return subprocess.Popen(
        one.argv(*words),
        env=one.env,
        cwd=one.repository,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def waiting(one: Terminal) -> str:
    """Return the id of the task that waits for its turn, once one does."""

    def queued() -> list[str]:
        return [claim for claim in typed_task.claims(one.home) if typed_task.waiter(one.home, claim)]

    until(lambda: len(queued()) == 1, "the queued one")
    return queued()[0]


def test_ctrl_c_while_a_task_waits_for_its_turn_drops_it_and_says_so(terminal: MakeTerminal) -> None:
    """Regression: without a word a task was left that `status` called starting, and that nobody ever started."""
    one = full(terminal)
    process = waiter_in_the_foreground(one, "task", ".", "Another", "--wait", "--json")
    claim = waiting(one)

    os.killpg(process.pid, signal.SIGINT)
    told, said = process.communicate(timeout=20)

    assert process.returncode == 130
    assert f"{claim[:8]}: cancelled before it began" in said
    assert (json.loads(told)["is_over"], json.loads(told)["reason"]) == (True, "cancelled")
    assert one.at_work(claim) == {}
    shown = one.told("show", claim)
    assert (shown["status"], shown["is_over"]) == ("cancelled", True)
    assert shown["completed_at"] > shown["created_at"]


def test_ctrl_c_while_a_killed_one_waits_to_go_on_leaves_it_as_it_was(terminal: MakeTerminal) -> None:
    one = terminal("wait")
    lost = one.start()
    one.kill(lost, "runner", "shim", "agent")
    until(lambda: one.at_work(lost)["stage"] == "interrupted", "the end of all")
    one.env["HEADLESS_PM_MAX_PARALLEL_TASKS"] = "1"
    one.start()
    process = waiter_in_the_foreground(one, "restart", lost, "--resume", "--wait")
    assert waiting(one) == lost

    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=20)

    assert process.returncode == 130
    assert f"`restart {lost[:8]} --resume`" in said
    assert one.at_work(lost)["stage"] == "interrupted"


def test_a_task_whose_waiter_was_killed_is_interrupted_at_once_and_everywhere(terminal: MakeTerminal) -> None:
    """Regression: it was starting for half a minute, and `show` said pending for ever, without a way on."""
    one = full(terminal)
    told = one.told("task", ".", "Another", "--wait", "-b")
    claim, pid = told["id"], told["pid"]
    assert waiting(one) == claim
    queued = one.at_work(claim)
    assert (queued["stage"], queued["pids"]) == ("queued", {"waiter": pid})
    assert one.told("show", claim)["pids"] == {"waiter": pid}

    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), "its end")

    seen, shown = one.at_work(claim), one.told("show", claim)
    assert (seen["stage"], seen["pids"]) == ("interrupted", {})
    assert f"restart {claim[:8]} --resume" in seen["remark"]
    listed = next(each for each in one.told("list")["executions"] if each["id"] == claim)
    assert (shown["status"], listed["status"]) == ("interrupted", "interrupted")
    next_ones = one.say("show", claim).rpartition("NEXT")[2]
    assert f"restart {claim[:8]} --resume" in next_ones and "watch it work" not in next_ones


def test_a_task_whose_runner_was_killed_at_its_beginning_is_interrupted_at_once(terminal: MakeTerminal) -> None:
    """Regression: it was starting, or pending, for half a minute, though its lock told that its runner is dead."""
    one = full(terminal)
    told = one.told("task", ".", "Another", "--wait", "-b")
    os.kill(told["pid"], signal.SIGKILL)
    runner = background.start(one.home, told["id"], 2, one.env)
    os.kill(runner, signal.SIGKILL)
    os.waitpid(runner, 0)

    assert one.at_work(told["id"])["stage"] == "interrupted"
    assert one.told("show", told["id"])["status"] == "interrupted"


def test_a_restart_where_the_repository_is_gone_is_refused_before_anything_is_started(terminal: MakeTerminal) -> None:
    """Regression: it was started, died at once, and only the runner's log told why; one that had ended named git."""
    one = terminal("wait")
    lost, over = one.start(), one.start("Another")
    one.kill(lost, "runner", "shim", "agent")
    one.say("cancel", over)
    until(lambda: one.at_work(lost)["stage"] == "interrupted", "the end of all")
    one.repository.rename(one.directory / "moved")
    one.repository = one.directory  # where commands are typed

    for words in ((lost,), (lost, "--resume", "-b"), (over, "--resume")):
        refused = one.run("restart", *words)

        assert (refused.returncode, refused.stdout) == (4, ""), words
        assert f"execution {words[0][:8]}: repository '{one.directory}/repository': no such directory" in refused.stderr
    assert one.at_work(lost)["stage"] == "interrupted"


def test_a_restart_whose_settings_do_not_hold_any_more_is_refused_before_anything_is_started(
    terminal: MakeTerminal,
) -> None:
    one = terminal("wait")
    file = one.directory / "config.yaml"
    file.write_text("max_attempts: 2\n")
    claim = one.told("task", ".", "Mend the roof", "-b", "--config", str(file))["id"]
    one.say("cancel", claim)
    file.unlink()

    refused = one.run("restart", claim, "-b")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert str(file) in refused.stderr
    assert len(typed_task.claims(one.home)) == 1


def test_a_runner_that_dies_before_it_does_anything_is_told_of_at_once_with_its_cause(terminal: MakeTerminal) -> None:
    """Regression: the terminal was silent for half a minute, and then told nothing of the cause."""
    one = terminal()
    (one.home / "tasks").mkdir(parents=True)
    locks = one.home / "locks"
    locks.write_text("no directory")

    begun = time.monotonic()
    ran = one.run("task", ".", "Mend the roof")

    assert ran.returncode == 1
    assert "its runner has ended before it began an attempt" in ran.stderr and str(locks) in ran.stderr
    assert time.monotonic() - begun < 12
    logged = one.run("logs", typed_task.claims(one.home)[0])
    assert (logged.returncode, logged.stdout) == (0, "")
    assert "--runner` shows" in logged.stderr
