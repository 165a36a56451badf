"""The commands of the history, over executions that were really run and many that were made up."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import background, pruning, store_url, typed_task
from components.execution import Execution, Spend
from components.pruning import Rule
from components.states import Door, ExecutionStatus
from components.store import Store
from components.typed_task import TypedTask
from tests.runner import git
from tests.typed import Terminal
from tests.waiting import until


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    one = Terminal(tmp_path, "write", "commit")
    yield one
    one.close()


def done(terminal: Terminal, text: str = "Mend the roof") -> str:
    """Do a task and return its id."""
    assert terminal.run("task", ".", text).returncode == 0
    return str(terminal.told("list")["executions"][0]["id"])


def test_what_was_done_is_listed_shown_and_its_change_outlives_its_worktree(terminal: Terminal) -> None:
    claim = done(terminal)

    listed, shown = terminal.say("list"), terminal.say("show", claim[:6])

    assert re.search(rf"^{claim[:8]} +succeeded +repository +[0-9]+ s +[0-9]+ s +Mend the roof$", listed, re.MULTILINE)
    assert listed.splitlines()[0].split() == ["ID", "STATE", "PROJECT", "AGE", "TOOK", "TITLE"]
    for words in ("Work: 1 commit", "(gone)", "work.txt | 1 +", "MOVES", f"agent-runner restart {claim[:8]}"):
        assert words in shown
    assert "+work of attempt 1" in terminal.say("diff", claim)
    assert "\x1b" not in terminal.say("diff", claim)
    assert terminal.told("diff", claim)["insertions"] == 1
    assert terminal.told("top") == {"agents": []}


def test_the_change_is_gone_only_with_its_branch_and_says_so(terminal: Terminal) -> None:
    claim = done(terminal)
    git(terminal.repository, "branch", "-D", f"feature/task-t{claim[:8]}")
    for ref in git(terminal.repository, "for-each-ref", "--format=%(refname)", "refs/agent-runner").split():
        git(terminal.repository, "update-ref", "-d", ref)
    git(terminal.repository, "reflog", "expire", "--expire=now", "--all")
    git(terminal.repository, "gc", "-q", "--prune=now")
    assert git(terminal.repository, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]

    ran = terminal.run("diff", claim)

    assert (ran.returncode, ran.stdout) == (4, "")
    assert "not in" in ran.stderr
    assert terminal.run("show", claim).returncode == 0


def test_a_pager_of_the_repositorys_own_configuration_is_never_run(terminal: Terminal, tmp_path: Path) -> None:
    claim = done(terminal)
    for key in ("core.pager", "pager.diff", "diff.external"):
        git(terminal.repository, "config", key, f"touch {tmp_path / 'was-run'}; cat")

    terminal.say("diff", claim)

    assert not (tmp_path / "was-run").exists()


def test_where_nothing_has_changed_diff_says_so_and_is_not_offered(terminal: Terminal) -> None:
    """It printed nothing, and `show` offered it below "no changes"."""
    terminal.env["AGENT_COMMAND"] = terminal.env["AGENT_COMMAND"].removesuffix(" write commit")
    claim = done(terminal)

    ran = terminal.run("diff", claim)

    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == f"Execution {claim[:8]} has changed nothing.\n"
    assert f"agent-runner diff {claim[:8]}" not in terminal.say("show", claim)


def test_what_is_no_repository_is_told_in_one_sentence_without_risky_advice(terminal: Terminal) -> None:
    """It read `project '/etc': repository '/etc' is not in a git repository`, and advised `git add .` there."""
    (terminal.directory / "plain").mkdir()
    for path, words in (("plain", "is not in a git repository. Name one"), ("agent.py", "is a file")):
        place = terminal.directory / path

        ran = terminal.run("task", str(place), "Mend the roof")

        assert (ran.returncode, ran.stdout) == (4, "")
        assert ran.stderr.startswith(f"Error: project '{place}' {words}")
        assert "git add ." not in ran.stderr


@pytest.mark.parametrize("command", ["show", "diff", "logs", "restart", "cancel"])
def test_an_unknown_id_is_told_with_what_there_is(terminal: Terminal, command: str) -> None:
    claim = done(terminal)

    ran = terminal.run(command, "zzzz")

    assert ran.returncode == 4
    assert claim[:8] in ran.stderr


@pytest.mark.parametrize("command", ["show", "diff", "logs", "restart", "cancel"])
def test_an_id_of_several_is_told_with_all_that_it_may_be(terminal: Terminal, command: str) -> None:
    store = Store(store_url.of_file(terminal.home / "store.db"))
    for claim in ("0123cafe" + "0" * 24, "0123beef" + "0" * 24):
        task = background.task_of(claim, "Paint it", "Red", role="backend_dev", level="senior", complexity="major")
        typed_task.save(terminal.home, TypedTask(claim, task, terminal.repository, str(terminal.repository)))
        store.add(Execution(claim, Door.TASK, "", task.id, task.title, created_at=task.created_at))
    store.close()

    ran = terminal.run(command, "0123")

    assert (ran.returncode, ran.stdout) == (4, "")
    assert "type more of the one that is meant" in ran.stderr
    assert sorted(line.split()[0] for line in ran.stderr.splitlines()[1:]) == ["0123beef", "0123cafe"]


@pytest.mark.parametrize("words", [("list", "--status", "odd"), ("list", "--since", "soon"), ("prune",)])
def test_a_mistake_in_the_call_is_told(terminal: Terminal, words: tuple[str, ...]) -> None:
    assert terminal.run(*words).returncode == 2


def test_a_store_of_a_newer_version_is_left_alone_and_status_goes_without(terminal: Terminal) -> None:
    done(terminal)
    with sqlite3.connect(terminal.home / "store.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    refused = terminal.run("list")

    assert refused.returncode == 75
    assert "Upgrade this runner" in refused.stderr
    assert "THE HISTORY CANNOT BE ASKED" in terminal.say("status")


def test_a_locked_store_is_not_waited_for_by_who_only_looks(terminal: Terminal) -> None:
    """Half a minute of silence, while what runs is known without it; the error told nothing to do."""
    terminal.env["AGENT_COMMAND"] += " wait"
    filled(terminal.home, 1)
    with contextlib.closing(sqlite3.connect(terminal.home / "store.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        claim = terminal.told("task", ".", "Mend the roof", "-b")["id"]
        until(terminal.starts, "the agent at work")
        began = time.monotonic()

        status, shown, listed = terminal.told("status"), terminal.told("show", claim), terminal.run("list")

        assert time.monotonic() - began < 15
        assert (listed.returncode, listed.stdout) == (69, "")
    assert ([one["id"] for one in status["executions"]], shown["status"]) == ([claim], "running")
    for trouble in (status["trouble"], shown["trouble"], listed.stderr):
        assert "database is locked" in trouble
        assert "name another by HEADLESS_PM_STORE" in trouble
        assert "agent-runner doctor" in trouble


def test_a_damaged_store_is_kept_aside_and_made_again(terminal: Terminal) -> None:
    claim = done(terminal)
    (terminal.home / "store.db").write_bytes(b"this is no database at all" * 1000)

    ran = terminal.run("list")

    assert ran.returncode == 0
    assert claim[:8] in ran.stdout
    assert "entered again" in ran.stderr


def filled(home: Path, count: int) -> None:
    """Enter executions that are over, one a minute."""
    import sqlalchemy as sa

    from components import store_rows
    from components.store_tables import executions

    store = Store(store_url.of_file(home / "store.db"))
    rows = [
        Execution(
            f"{number:032x}",
            Door.RUN,
            "/srv/shop",
            str(number),
            f"Task {number}",
            status=ExecutionStatus.SUCCEEDED,
            created_at=f"2026-01-{1 + number // 1440:02}T{number // 60 % 24:02}:{number % 60:02}:00.000+00:00",
        )
        for number in range(count)
    ]
    with store._writing() as connection:
        connection.execute(sa.insert(executions), [store_rows.columns(one) for one in rows])
    store.close()


def test_pages_follow_each_other_without_a_gap(terminal: Terminal) -> None:
    filled(terminal.home, 25)
    seen: list[str] = []
    words = ["list", "--limit", "10"]

    while True:
        page = terminal.told(*words)
        seen += [one["id"] for one in page["executions"]]
        if page["next"] is None:
            break
        last = page["executions"][-1]["id"]
        words = ["list", "--limit", "10", "--before", last]

    assert seen == [f"{number:032x}" for number in reversed(range(25))]


def test_a_beginning_of_several_ids_is_refused_with_the_candidates(terminal: Terminal) -> None:
    filled(terminal.home, 25)

    ran = terminal.run("show", "0000")

    assert ran.returncode == 4
    assert "'0000' is the beginning of 25 ids; type more of" in ran.stderr


def test_a_pipe_that_is_closed_is_no_error(terminal: Terminal) -> None:
    filled(terminal.home, 2000)

    ran = subprocess.run(
        "set -o pipefail; " + " ".join([*terminal.argv("list", "--limit", "2000"), "| head -1"]),
        shell=True,
        executable="/bin/bash",
        env=terminal.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")


def test_pruning_takes_what_is_old_and_leaves_failures_and_what_lives(terminal: Terminal) -> None:
    old, young = done(terminal), done(terminal, "Another")
    long_ago = time.time() - 40 * 86400
    for path in (*terminal.home.glob(f"runs/*{old[:8]}*"), terminal.home / "tasks" / old):
        os.utime(path, (long_ago, long_ago))

    would = terminal.told("prune", "--dry-run")["going"]
    gone = terminal.told("prune", "--yes")["deleted"]

    assert [one["short_id"] for one in would] == gone == [old[:8]]
    assert not list(terminal.home.glob(f"runs/*{old[:8]}*"))
    assert list(terminal.home.glob(f"runs/*{young[:8]}*"))
    assert not any((terminal.home / "removed").iterdir())
    assert old[:8] in terminal.say("list")
    assert "succeeded" in terminal.say("show", old)


@pytest.mark.parametrize("command", ["logs", "restart", "cancel"])
def test_what_was_pruned_is_not_told_to_be_unknown(terminal: Terminal, command: str) -> None:
    """Regression: an execution that `list` still shows was called unknown, with others offered in its place."""
    store = Store(store_url.of_file(terminal.home / "store.db"))
    store.add(
        Execution("0123cafe" + "0" * 24, Door.TASK, "", "7", "Paint it", created_at="2026-01-02T00:00:00.000+00:00")
    )
    store.close()

    ran = terminal.run(command, "0123")

    assert (ran.returncode, ran.stdout) == (4, "")
    assert "it was pruned" in ran.stderr
    assert "`show 0123cafe`" in ran.stderr


def test_nothing_alive_is_ever_planned_to_go_and_it_may_when_it_is_over(tmp_path: Path) -> None:
    one = Terminal(tmp_path, "wait", "write", "commit")
    later = time.time() + 90 * 86400
    try:
        claim = one.start()
        for rule in (Rule(1.0), Rule(total_bytes=0)):
            planned = pruning.plan(one.home, rule, None, now=later)
            assert (planned.going, planned.staying, planned.protected) == ((), 1, 1)
        one.kill(claim, "runner")
        assert pruning.plan(one.home, Rule(1.0), None, now=later).going == ()
        one.say("restart", claim, "--resume", "-b")
        one.open_gate()
        one.ended(claim)
    finally:
        one.close()

    assert [gone.short_id for gone in pruning.plan(one.home, Rule(1.0), None, now=later).going] == [claim[:8]]


def left(home: Path, number: int, reason: str = "succeeded", size: int = 4096) -> str:
    """Leave the run of an execution that ended `number` days ago, and return its short id."""
    short = f"{number:08x}"
    run = home / "runs" / f"{number}-{short}-1"
    run.mkdir(parents=True)
    (run / "result.json").write_text(json.dumps({"verdict": {"reason": reason, "detail": ""}}))
    (run / "out").write_bytes(b"x" * size)
    then = time.time() - number * 86400
    os.utime(run, (then, then))
    return short


def going(home: Path, rule: Rule) -> list[str]:
    return [one.short_id for one in pruning.plan(home, rule, None).going]


def test_the_newest_failures_stay_and_the_older_ones_go(tmp_path: Path) -> None:
    failures = [left(tmp_path, number, "agent_failed") for number in range(100, 125)]
    done = left(tmp_path, 99)

    gone = going(tmp_path, Rule(30.0))

    assert gone == [*reversed(failures[pruning.KEPT_FAILURES :]), done]


def test_an_execution_without_a_verdict_counts_as_a_failure(tmp_path: Path) -> None:
    short = left(tmp_path, 100)
    (tmp_path / "runs" / f"100-{short}-1" / "result.json").write_text("{torn")

    assert going(tmp_path, Rule(30.0)) == []


def test_the_oldest_go_until_what_is_left_is_small_enough(tmp_path: Path) -> None:
    old, middle, young = (left(tmp_path, number, size=100_000) for number in (3, 2, 1))

    assert going(tmp_path, Rule(total_bytes=250_000)) == [old]
    assert going(tmp_path, Rule(total_bytes=150_000)) == [old, middle]
    assert going(tmp_path, Rule(total_bytes=0)) == [old, middle, young]
    assert going(tmp_path, Rule(2.5, 1_000_000)) == [old]


def test_nothing_is_pruned_while_a_journal_cannot_be_read(terminal: Terminal) -> None:
    short = left(terminal.home, 100)
    (terminal.home / "locks").mkdir()
    (terminal.home / "locks" / "agent-dev_1.lock").write_text("{torn")

    ran = terminal.run("prune", "--yes")

    assert ran.returncode == 1
    assert "agent-dev_1.lock cannot be read, so nothing is pruned" in ran.stderr
    assert list(terminal.home.glob(f"runs/*-{short}-*"))


def test_what_a_pruning_that_was_killed_had_set_aside_is_deleted_by_the_next(terminal: Terminal) -> None:
    (terminal.home / "removed" / "7-00000007-1").mkdir(parents=True)
    left(terminal.home, 100)

    terminal.say("prune", "--yes")

    assert not any((terminal.home / "removed").iterdir())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_both_names(terminal: Terminal, shell: str) -> None:
    script = terminal.say("completion", shell)

    assert "_AGENT_RUNNER_COMPLETE" in script
    assert "advanced-agent-runner" in script


def test_the_shell_completes_commands_and_ids(terminal: Terminal) -> None:
    claim = done(terminal)

    def completed(words: str, number: str) -> str:
        env = {"_AGENT_RUNNER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": number}
        return terminal.run(**env).stdout

    assert "plain,status" in completed("agent-runner sta", "1")
    assert f"plain,{claim[:8]}" in completed(f"agent-runner show {claim[:2]}", "2")


def test_a_watched_status_ends_when_its_pipe_is_closed(terminal: Terminal) -> None:
    process = subprocess.Popen(
        terminal.argv("status", "--watch"), env=terminal.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"No agent is at work here")
    process.stdout.close()

    until(lambda: process.poll() is not None, "its end")
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert (process.returncode, said) == (0, b"")


def test_a_cost_that_no_agent_told_is_not_known(terminal: Terminal) -> None:
    """Regression: it was shown as 0.00, as if the work had cost nothing."""
    done(terminal)

    told, shown = terminal.told("cost"), terminal.say("cost")

    assert (told["usd"], told["is_whole"], told["costs"][0]["usd"]) == (None, False, None)
    heading, *rows, told_in_words = shown.splitlines()
    assert (heading.split(), [row.split()[1:] for row in rows]) == (["DAY", "RUNS"], [["1"], ["1"]])
    assert told_in_words == "No agent has told what it cost."


def test_a_cost_that_some_runs_told_is_at_least_that_much(terminal: Terminal) -> None:
    done(terminal)
    store = Store(store_url.of_file(terminal.home / "store.db"))
    told = Spend("told", "0" * 32, "dev_1", "2026-01-02", "opus", str(terminal.repository), usd=1.5, input_tokens=7)
    store.spend([told])
    store.close()

    by_project, by_agent = terminal.told("cost", "--by", "project"), terminal.told("cost", "--by", "agent")
    shown = terminal.say("cost", "--by", "project").splitlines()

    assert [(one["usd"], one["told_runs"], one["is_whole"]) for one in by_project["costs"]] == [(1.5, 1, False)]
    assert [(one["usd"], one["is_whole"]) for one in by_agent["costs"]] == [(1.5, True), (None, False)]
    assert by_project["usd"] == by_agent["usd"] == 1.5
    assert shown[1].split()[1:4] == ["2", "1.50+", "7"]


def test_cost_is_summed(terminal: Terminal) -> None:
    done(terminal)

    told = json.loads(terminal.say("cost", "--by", "project", "--json"))

    assert [(one["key"], one["runs"]) for one in told["costs"]] == [(str(terminal.repository), 1)]


def test_a_typed_task_is_listed_from_the_moment_it_is_typed(terminal: Terminal) -> None:
    """Regression: `list` showed a task only once its runner had entered it in the history."""
    done(terminal)
    claim = "0123cafe" + "0" * 24
    task = background.task_of(claim, "Paint it", "Red", role="backend_dev", level="senior", complexity="major")
    typed_task.save(terminal.home, TypedTask(claim, task, terminal.repository, str(terminal.repository)))

    def listed(*words: str) -> list[str]:
        return [one["id"] for one in terminal.told("list", *words)["executions"]]

    assert listed()[0] == claim
    assert len(listed()) == 2
    assert listed("--status", "pending", "--text", "paint", "--project", ".") == [claim]
    assert listed("--status", "failed") == listed("--agent", "dev_1") == listed("--text", "green") == []
    assert listed("--limit", "1") == [claim]
    assert terminal.told("show", claim)["agent_id"] == "task-0123cafe"


def test_what_works_on_an_execution_is_told_while_it_does(tmp_path: Path) -> None:
    """Regression: `show --json` told no process ids at all."""
    one = Terminal(tmp_path, "wait", "write", "commit")
    try:
        claim = one.start()
        until(lambda: len(one.told("show", claim)["pids"]) == 3, "all of its processes")
        told = one.told("show", claim)
        one.open_gate()
        ended = one.ended(claim)
    finally:
        one.close()

    assert told["pids"] == {who: told[f"{who}_pid"] for who in ("runner", "shim", "agent")}
    assert min(told["pids"].values()) > 0
    assert (ended["pids"], ended["agent_pid"]) == ({}, 0)


def test_a_typed_task_that_is_over_leaves_no_agent(terminal: Terminal) -> None:
    """Regression: `status --all` and `locks` grew by a row, and the home by a lock file, with every typed task."""
    claim = done(terminal)

    until(lambda: not list((terminal.home / "locks").glob("*.flock")), "that its runner has gone")
    assert terminal.told("status", "--all")["agents"] == terminal.told("locks")["agents"] == []

    (terminal.home / "locks" / f"agent-task-{claim[:8]}.flock").touch()  # as a runner leaves it that is killed here
    assert terminal.told("status", "--all")["agents"] == terminal.told("locks")["agents"] == []
    long_ago = time.time() - 40 * 86400
    for path in (*terminal.home.glob(f"runs/*{claim[:8]}*"), terminal.home / "tasks" / claim):
        os.utime(path, (long_ago, long_ago))
    terminal.say("prune", "--yes")
    assert not list((terminal.home / "locks").iterdir())
    assert not list((terminal.home / "spend").iterdir())


def test_a_cost_that_nobody_told_is_unknown_and_not_nothing(terminal: Terminal) -> None:
    """Regression: programs read that it had cost 0.0, and that this was all of it."""
    claim = done(terminal)

    assert terminal.told("list")["executions"][0]["cost_usd"] is None
    assert terminal.told("show", claim)["cost_usd"] is None
    assert terminal.told("status", "--all")["ended"][0]["cost_usd"] is None


def test_what_was_pruned_is_shown_without_commands_that_would_fail(terminal: Terminal) -> None:
    store = Store(store_url.of_file(terminal.home / "store.db"))
    store.add(
        Execution("0123cafe" + "0" * 24, Door.TASK, "", "7", "Paint it", created_at="2026-01-02T00:00:00.000+00:00")
    )
    store.close()

    assert "NEXT" not in terminal.say("show", "0123")


def test_what_is_not_there_is_told_as_that(terminal: Terminal, tmp_path: Path) -> None:
    """Regression: a missing branch was found out by the agent, a project that is gone was a mistake in the call."""
    (tmp_path / "config.yaml").write_text(f"projects:\n  gone: {tmp_path / 'gone'}\n")
    config = ("--config", str(tmp_path / "config.yaml"))

    branch = terminal.run("task", ".", "x", "--branch", "nosuch")
    task, status = terminal.run("task", "gone", "x", *config), terminal.run("status", "gone", *config)
    nobody = terminal.run("cancel", "")

    assert [ran.returncode for ran in (branch, task, status, nobody)] == [4, 4, 4, 4]
    assert "'nosuch'" in branch.stderr
    assert "bring it back" in task.stderr and "bring it back" in status.stderr
    assert "there is no execution ''" in nobody.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("agent-runner workspaces ", "restore"),
        ("agent-runner list --status fa", "failed"),
        ("agent-runner task . x --role fr", "frontend_dev"),
        ("agent-runner task . x --level ", "principal"),
    ],
)
def test_groups_and_statuses_are_completed(terminal: Terminal, typed: str, offered: str) -> None:
    """Regression: both completed nothing."""
    env = {"_AGENT_RUNNER_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}

    assert offered in terminal.run(**env).stdout
