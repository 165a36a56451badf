"""The commands of the history, over executions that were really run and many that were made up."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import pruning, store_url
from components.execution import Execution
from components.pruning import Rule
from components.states import Door, ExecutionStatus
from components.store import Store
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

    assert re.search(rf"^{claim[:8]} +succeeded +repository +task-{claim[:8]} ", listed, re.MULTILINE)
    for words in ("Work: 1 commit", "(gone)", "work.txt | 1 +", "MOVES", f"agent-runner restart {claim[:8]}"):
        assert words in shown
    assert "+work of attempt 1" in terminal.say("diff", claim)
    assert "\x1b" not in terminal.say("diff", claim)
    assert terminal.told("diff", claim)["insertions"] == 1
    assert terminal.told("top") == {"agents": []}


def test_the_change_is_gone_only_with_its_branch_and_says_so(terminal: Terminal) -> None:
    claim = done(terminal)
    git(terminal.repository, "branch", "-D", f"feature/task-t{claim[:8]}")
    git(terminal.repository, "reflog", "expire", "--expire=now", "--all")
    git(terminal.repository, "gc", "-q", "--prune=now")
    refs = git(terminal.repository, "for-each-ref", "--format=%(refname)").split()

    ran = terminal.run("diff", claim)

    assert ran.returncode in (0, 4)
    assert ran.returncode == 0 if len(refs) > 1 else "not in" in ran.stderr


def test_a_pager_of_the_repositorys_own_configuration_is_never_run(terminal: Terminal, tmp_path: Path) -> None:
    claim = done(terminal)
    for key in ("core.pager", "pager.diff", "diff.external"):
        git(terminal.repository, "config", key, f"touch {tmp_path / 'was-run'}; cat")

    terminal.say("diff", claim)

    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("command", ["show", "diff", "logs", "restart", "cancel"])
def test_an_unknown_id_is_told_with_what_there_is(terminal: Terminal, command: str) -> None:
    claim = done(terminal)

    ran = terminal.run(command, "zzzz")

    assert ran.returncode == 4
    assert claim[:8] in ran.stderr


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
    assert "more than one" in ran.stderr


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


def test_nothing_alive_or_failed_is_ever_planned_to_go(tmp_path: Path) -> None:
    one = Terminal(tmp_path, "wait")
    try:
        claim = one.start()
        later = time.time() + 90 * 86400
        planned = pruning.plan(one.home, Rule(1.0), None, now=later)
        one.open_gate()
        one.ended(claim)
    finally:
        one.close()

    assert planned.going == ()


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


def test_cost_is_summed(terminal: Terminal) -> None:
    done(terminal)

    told = json.loads(terminal.say("cost", "--by", "project", "--json"))

    assert [(one["key"], one["runs"]) for one in told["costs"]] == [(str(terminal.repository), 1)]
