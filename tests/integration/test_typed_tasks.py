"""Typed tasks while somebody kills their processes, cancels them twice, restarts them, or starts too many."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components import background
from tests.runner import git
from tests.typed import MakeTerminal, Terminal
from tests.waiting import until


def test_a_task_in_the_foreground_shows_the_work_and_ends_with_its_verdict(terminal: MakeTerminal) -> None:
    one = terminal("commit", "write")

    ran = one.run("task", str(one.repository), "Mend the roof")

    assert ran.returncode == 0, ran.stderr
    assert "working" in ran.stdout
    assert "succeeded" in ran.stdout.splitlines()[-1]


def test_a_program_too_is_told_what_to_type_next(terminal: MakeTerminal) -> None:
    """Regression: only people were, though the answer in JSON is for who starts tasks by a script."""
    one = terminal()

    told = one.told("task", ".", "Mend the roof", "-b")

    short = told["id"][:8]
    assert told["next"] == [f"agent-runner {words}" for words in (f"logs {short} -f", "status", f"cancel {short}")]


def test_a_task_that_fails_says_so_by_its_exit_code(terminal: MakeTerminal) -> None:
    assert terminal("fail").run("task", ".", "Mend the roof").returncode == 1


def test_a_runner_that_cannot_begin_says_why_at_once(terminal: MakeTerminal) -> None:
    one = terminal()

    ran = one.run("task", ".", "Mend the roof", AGENT_COMMAND="no-such-agent-anywhere")

    assert ran.returncode == 1
    assert "no-such-agent-anywhere" in ran.stdout + ran.stderr


def test_an_agent_without_its_runner_is_taken_up_by_restart_with_resume(terminal: MakeTerminal) -> None:
    one = terminal("wait")
    claim = one.start()
    one.kill(claim, "runner")
    until(lambda: "runner" not in one.pids(claim), "the runner's end")
    agent = one.pids(claim)["agent"]

    refused = one.run("restart", claim)
    again = one.told("restart", claim, "--resume", "-b")["id"]
    until(lambda: "runner" in one.pids(claim), "the new runner")

    assert (refused.returncode, again) == (75, claim)
    assert "takes it up" in refused.stderr
    assert one.pids(claim)["agent"] == agent
    one.open_gate()
    assert one.ended(claim)["status"] == "succeeded"
    assert one.starts() == 1


def test_an_execution_of_which_all_was_killed_is_interrupted_and_goes_on_by_restart_with_resume(
    terminal: MakeTerminal,
) -> None:
    one = terminal("wait")
    claim = one.start()
    one.kill(claim, "runner", "shim", "agent")

    until(lambda: one.at_work(claim)["stage"] == "interrupted", "that it is shown as what it is")
    assert one.pids(claim) == {}
    one.open_gate()
    ran = one.run("restart", claim, "--resume")

    assert ran.returncode == 0, ran.stderr
    assert one.ended(claim)["attempt"] == 2


def test_restart_of_what_was_killed_ends_the_old_one_and_begins_a_new_one(terminal: MakeTerminal) -> None:
    one = terminal("wait")
    claim = one.start()
    one.kill(claim, "runner", "shim", "agent")
    until(lambda: one.at_work(claim)["stage"] == "interrupted", "that nothing of it lives")

    new = one.told("restart", claim, "-b")["id"]

    assert new != claim
    one.open_gate()
    ended = one.ended(new)
    assert (ended["status"], ended["restarted_from"]) == ("succeeded", claim)
    assert f"of {claim[:8]}" in one.say("show", new)
    assert one.told("show", claim)["status"] == "cancelled"


def test_restart_of_what_was_killed_takes_nothing_that_its_agent_had_started_for_the_agent(
    terminal: MakeTerminal,
) -> None:
    """Regression: it was refused, for an agent that was said to run still."""
    one = terminal()
    child = one.directory / "child"
    script = f"[ ! -e {child} ] || exit 0\n(trap '' TERM; sleep 300) & echo $! > {child}\nwait\n"
    (one.directory / "agent.sh").write_text(f"cat > /dev/null\n{script}")
    one.env["AGENT_COMMAND"] = f"sh {one.directory / 'agent.sh'}"
    claim = one.told("task", ".", "Mend the roof", "-b")["id"]
    until(lambda: child.exists() and child.read_text().strip(), "the agent's child")
    pids = one.told("status")["executions"][0]["pids"]
    for who in ("runner", "shim", "agent"):
        os.kill(pids[who], signal.SIGKILL)
    until(lambda: "something that it started lives on" in one.at_work(claim)["remark"], "that only the child lives")

    new = one.told("restart", claim, "-b")["id"]

    assert (one.ended(new)["restarted_from"], one.told("show", claim)["status"]) == (claim, "cancelled")


@pytest.mark.parametrize("outcome", ["succeed", "fail"])
def test_what_is_resumed_goes_on_upon_its_own_work_when_its_worktree_is_gone(
    terminal: MakeTerminal, outcome: str
) -> None:
    """Regression: its conversation said that the work was done, and its files were those of `main`."""
    one = terminal("commit", "write", *(["fail-after"] if outcome == "fail" else []))
    claim = one.told("task", ".", "Mend the roof", "-b")["id"]
    before = one.ended(claim)
    assert not Path(before["workspace"]).exists()

    twice = one.ended(one.told("restart", claim, "--resume", "-b")["id"])
    thrice = one.ended(one.told("restart", twice["id"], "--resume", "-b")["id"])

    for later in (twice, thrice):
        assert [later[name] for name in ("branch", "workspace", "session_id", "base_commit")] == [
            before[name] for name in ("branch", "workspace", "session_id", "base_commit")
        ]
    assert git(one.repository, "rev-list", "--count", f"main..{before['branch']}") == str(one.starts())


def test_what_cannot_be_resumed_because_its_branch_is_gone_is_refused_with_the_way_back(
    terminal: MakeTerminal,
) -> None:
    one = terminal("commit", "write")
    claim = one.told("task", ".", "Mend the roof", "-b", HEADLESS_PM_EVIDENCE="auto")["id"]
    branch = one.ended(claim)["branch"]
    head = git(one.repository, "rev-parse", branch)
    git(one.repository, "branch", "-D", branch)

    refused = one.run("restart", claim, "--resume", "-b")
    assert refused.returncode == 4
    assert f"git branch {branch} {head[:12]}" in refused.stderr


def test_an_execution_that_changed_nothing_is_resumed_where_it_began(terminal: MakeTerminal) -> None:
    one = terminal("fail")
    claim = one.told("task", ".", "Mend the roof", "-b")["id"]
    before = one.ended(claim)
    git(one.repository, "commit", "-q", "--allow-empty", "-m", "Meanwhile")
    assert git(one.repository, "branch", "--list", before["branch"]) == ""

    again = one.ended(one.told("restart", claim, "--resume", "-b")["id"])

    assert (again["workspace"], again["base_commit"]) == (before["workspace"], before["base_commit"])


@pytest.mark.parametrize("who", ["shim", "agent"])
def test_a_killed_shim_or_agent_is_made_up_for_by_the_runner(terminal: MakeTerminal, who: str) -> None:
    one = terminal("wait")
    claim = one.start()
    one.kill(claim, who)
    one.open_gate()

    assert one.ended(claim)["status"] == "succeeded"


def test_a_task_whose_runner_is_dead_can_be_cancelled(terminal: MakeTerminal) -> None:
    one = terminal("wait")
    claim = one.start()
    agent = one.pids(claim)["agent"]
    one.kill(claim, "runner")

    said = one.say("cancel", claim)

    assert said.strip() == f"{claim[:8]}: cancelled"
    assert not Path(f"/proc/{agent}").exists()
    assert one.ended(claim)["status"] == "cancelled"


DAMAGE: dict[str, Callable[[Path], object]] = {"damaged": lambda path: path.write_text("{"), "deleted": Path.unlink}


def spoil_journal(one: Terminal, claim: str, damage: str) -> None:
    """Damage or delete the journal of a typed task."""
    DAMAGE[damage](one.home / "locks" / f"agent-task-{claim[:8]}.lock")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_task_of_which_all_but_its_journal_is_lost_is_cancelled_for_good(terminal: MakeTerminal, damage: str) -> None:
    """Regression: `cancel` called it over, `status` showed it for ever, and nothing could be pruned any more."""
    one = terminal("wait")
    claim = one.start()
    one.kill(claim, "runner", "shim", "agent")
    until(lambda: one.pids(claim) == {}, "the end of all")
    spoil_journal(one, claim, damage)

    assert one.at_work(claim)["stage"] == "interrupted"
    one.say("prune", "--dry-run")
    one.say("workspaces", "prune", "--dry-run")
    assert one.say("cancel", claim).strip() == f"{claim[:8]}: cancelled"

    assert one.at_work(claim) == {}
    assert one.told("show", claim)["status"] == "cancelled"
    assert not (one.home / "locks" / f"agent-task-{claim[:8]}.lock").exists()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_task_whose_journal_is_lost_goes_on_by_restart_with_resume_under_its_own_id(
    terminal: MakeTerminal, damage: str
) -> None:
    """Regression: a new execution was made, and the old one stayed for ever."""
    one = terminal("wait")
    claim = one.start()
    one.kill(claim, "runner", "shim", "agent")
    until(lambda: one.pids(claim) == {}, "the end of all")
    spoil_journal(one, claim, damage)
    one.open_gate()

    assert one.told("restart", claim, "--resume", "-b")["id"] == claim
    ended = one.ended(claim)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 2)


def test_an_agent_whose_runner_and_journal_are_gone_is_shown_and_cancelled(terminal: MakeTerminal) -> None:
    """Regression: `cancel` called it cancelled while its agent lived, and `status` said that nobody starts it."""
    one = terminal("wait")
    claim = one.start()
    agent = one.pids(claim)["agent"]
    one.kill(claim, "runner")
    spoil_journal(one, claim, "damaged")
    until(lambda: "runner" not in one.pids(claim), "the runner's end")

    seen = one.at_work(claim)
    assert (seen["stage"], seen["pids"]["agent"]) == ("running", agent)
    assert "the agent works on" in seen["remark"] and f"restart {claim[:8]} --resume" in seen["remark"]
    assert (one.told("status")["strays"], one.told("list")["executions"][0]["status"]) == ([], "running")
    one.say("cancel", claim)

    assert not Path(f"/proc/{agent}").exists()
    assert one.told("show", claim)["status"] == "cancelled"


def test_when_a_cancelling_returns_the_runner_is_gone_too(terminal: MakeTerminal) -> None:
    one = terminal("wait")
    claim = one.start()
    runner = one.pids(claim)["runner"]

    one.say("cancel", claim)

    assert not background.running(one.home)
    until(lambda: not Path(f"/proc/{runner}").exists(), "nothing but its last moment")


def test_a_task_of_which_what_was_typed_is_gone_is_cancelled_at_once(terminal: MakeTerminal) -> None:
    """Regression: `cancel` waited a minute for a runner that could not begin, and it stayed for ever."""
    one = terminal("wait")
    claim = one.start()
    one.kill(claim, "runner", "shim", "agent")
    until(lambda: one.at_work(claim)["stage"] == "interrupted", "the end of all")
    (one.home / "tasks" / claim / "task.json").unlink()

    assert one.say("cancel", claim).strip() == f"{claim[:8]}: cancelled"

    assert one.at_work(claim) == {}
    assert one.told("show", claim)["status"] == "cancelled"


def test_a_restart_that_is_refused_a_turn_has_ended_nothing(terminal: MakeTerminal) -> None:
    """Regression: the task was cancelled first, and its own last steps were counted as one that runs."""
    one = terminal("wait")
    lost = one.start()
    one.kill(lost, "runner", "shim", "agent")
    until(lambda: one.at_work(lost)["stage"] == "interrupted", "the end of all")
    one.start()

    refused = one.run("restart", lost, "-b", HEADLESS_PM_MAX_PARALLEL_TASKS="1")

    assert refused.returncode == 75
    assert "1 task runs here, and" in refused.stderr
    assert one.at_work(lost)["stage"] == "interrupted"


def test_two_may_cancel_at_once(terminal: MakeTerminal) -> None:
    """Regression: both wrote the same temporary file, and one of them failed with a file that was not there."""
    one = terminal("wait")
    claim = one.start()

    both = [
        subprocess.Popen(one.argv("cancel", claim), env=one.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ends = [(process.communicate(timeout=50), process.returncode) for process in both]

    assert [code for _, code in ends] == [0] * 4, ends
    assert one.ended(claim)["status"] == "cancelled"


def test_a_second_cancel_leaves_the_agent_the_grace_that_the_first_gave_it(terminal: MakeTerminal) -> None:
    """Regression: the shim took a second request for impatience and killed an agent that was saving its work."""
    one = terminal("wait")
    saved = one.repository.parent / "saved"
    script = one.repository.parent / "saving.sh"
    script.write_text(f"trap 'sleep 1.5; echo saved > {saved}; exit 0' TERM\necho ready\nwhile :; do sleep 0.1; done\n")
    one.env["AGENT_COMMAND"] = f"sh {script}"
    claim = one.start()
    until(lambda: "ready" in one.say("logs", claim), "the agent at work")

    both = [subprocess.Popen(one.argv("cancel", claim), env=one.env, stdout=subprocess.DEVNULL) for _ in range(2)]

    assert [process.wait(50) for process in both] == [0, 0]
    assert saved.exists()
    assert one.ended(claim)["status"] == "cancelled"


def test_a_history_that_was_deleted_is_built_again_and_this_is_said(terminal: MakeTerminal) -> None:
    """Regression: an empty history was shown, and a success as interrupted."""
    one = terminal("wait", "write")
    claim = one.start()
    one.open_gate()
    one.ended(claim)
    for file in one.home.glob("store.db*"):
        file.unlink()

    listed = one.run("list")

    assert claim[:8] in listed.stdout
    assert "is gone" in listed.stderr
    assert one.told("show", claim)["status"] == "succeeded"


def test_more_tasks_than_allowed_are_refused_or_wait(terminal: MakeTerminal) -> None:
    one = terminal("wait")
    one.env["HEADLESS_PM_MAX_PARALLEL_TASKS"] = "1"
    first = one.start()

    refused = one.run("task", ".", "Another", "-b")
    waiting = subprocess.Popen(
        one.argv("task", ".", "A third", "--wait", "-b"), env=one.env, cwd=one.repository, stdout=subprocess.DEVNULL
    )
    until(lambda: [e["stage"] for e in one.told("status")["executions"]].count("queued") == 1, "the queued one")
    returned = waiting.wait(30)
    one.open_gate()

    assert refused.returncode == 75
    assert "max_parallel_tasks is 1" in refused.stderr
    assert returned == 0
    one.ended(first)
    until(lambda: len(one.told("list")["executions"]) == 2, "the one that waited")


def test_ctrl_c_leaves_a_task_at_work_in_the_background(terminal: MakeTerminal) -> None:
    one = terminal("wait")
    process = subprocess.Popen(
        one.argv("task", ".", "Mend the roof"),
        env=one.env,
        cwd=one.repository,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    until(lambda: one.starts() == 1, "the agent")
    claim = one.told("status")["executions"][0]["id"]

    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=20)

    assert process.returncode == 130
    assert f"{claim[:8]} works on in the background".encode() in said
    assert "runner" in one.pids(claim)
    one.open_gate()
    assert one.ended(claim)["status"] == "succeeded"


def test_a_silent_agent_is_told_of_on_a_terminal_while_it_works(terminal: MakeTerminal) -> None:
    """Regression: nothing moved on the terminal until the agent said something."""
    one = terminal("wait")
    parent, child = pty.openpty()
    process = subprocess.Popen(
        one.argv("task", ".", "Mend the roof"), env=one.env, cwd=one.repository, stdin=child, stdout=child, stderr=child
    )
    os.close(child)
    shown = b""
    while b"s, running" not in shown:
        shown += os.read(parent, 4096)
    one.open_gate()
    while b"succeeded" not in shown:
        shown += os.read(parent, 4096)
    assert process.wait(20) == 0
    os.close(parent)

    after = shown.decode().rpartition("... ")[2]
    assert "\r\x1b[K" in after  # the line is gone before the last ones are shown


def test_a_failed_program_is_told_by_its_exit_code_its_last_error_and_what_to_type(terminal: MakeTerminal) -> None:
    """Regression: the cause was told to be the first line that it had printed."""
    one = terminal()
    (one.directory / "own.py").write_text("import sys; print('hello'); print('boom', file=sys.stderr); sys.exit(3)")

    ran = one.run("task", ".", "x", AGENT_COMMAND=f"{sys.executable} {one.directory / 'own.py'}")

    assert ran.returncode == 1
    assert "the agent failed: exit code 3: boom" in ran.stdout
    assert "agent-runner restart" in ran.stdout.splitlines()[-1]
    assert "\x1b" not in ran.stdout


def test_a_foreground_task_tells_programs_its_end_as_one_object(terminal: MakeTerminal) -> None:
    """Regression: without -b, --json was ignored."""
    one = terminal()

    ran = one.run("task", ".", "Mend the roof", "--json")

    told = json.loads(ran.stdout)
    assert (ran.returncode, told["is_over"], told["reason"], told["cost_usd"]) == (0, True, "succeeded", None)
    assert told["detail"] == "the agent finished the task: finished"
    assert "working" in ran.stderr


@pytest.mark.parametrize("words", [("", "x"), (".", " "), (".", "x", "--model", ""), (".", "x", "--executor", "odd")])
def test_a_task_that_names_nothing_is_refused(terminal: MakeTerminal, words: tuple[str, ...]) -> None:
    """Regression: an empty project was the current directory."""
    one = terminal()

    ran = one.run("task", *words)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert not (one.home / "tasks").exists()


def test_a_mistake_in_an_option_is_told_by_the_name_of_that_option(terminal: MakeTerminal) -> None:
    """Regression: `--timeout 0` was told of as --claude-timeout, which `task` does not have."""
    said = terminal().run("task", ".", "x", "--timeout", "0", "--budget", "-1").stderr

    assert "argument --timeout" in said and "argument --budget" in said
    assert "argument --claude-timeout" not in said and "argument --task-budget" not in said


def test_ctrl_c_twice_at_a_terminal_cancels(terminal: MakeTerminal) -> None:
    one = terminal("wait")
    parent, child = pty.openpty()
    process = subprocess.Popen(
        one.argv("task", ".", "Mend the roof"),
        env=one.env,
        cwd=one.repository,
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    until(lambda: one.starts() == 1, "the agent")
    claim = one.told("status")["executions"][0]["id"]

    os.killpg(process.pid, signal.SIGINT)
    shown = b""
    while b"Ctrl-C again" not in shown:
        shown += os.read(parent, 4096)
    os.killpg(process.pid, signal.SIGINT)
    end = process.wait(40)
    os.close(parent)

    assert end == 130
    assert one.ended(claim)["status"] == "cancelled"
