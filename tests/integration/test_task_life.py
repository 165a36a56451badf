"""A task's whole life, by the real command against a server with the real one's ways and a stand-in agent."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.pm_server import PmServer
from tests.runner import Runner, git

MakeRunner = Callable[..., Runner]


def status(pm: PmServer, task: dict[str, Any]) -> tuple[str, str | None]:
    now = pm.api.look(task["id"])
    return now["status"], now["locked_by"]


def test_a_minor_task_is_done_in_the_checkout_and_given_on(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Write it")
    one = runner("write", "commit")

    ended = one.run("--single-task")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert status(pm, task) == ("dev_done", None)
    assert git(one.repository, "log", "-1", "--format=%s") == "Do the work"
    assert one.starts() == 1
    assert not (one.home / "locks" / "agent-dev_1.lock").exists()
    assert "Task status updated to: dev_done" in ended.stdout


def test_r10_a_minor_task_leaves_no_trace_of_ours_in_the_repository(runner: MakeRunner, pm: PmServer) -> None:
    pm.api.task("Write it")
    one = runner()
    one.env["AGENT_COMMAND"] = "true"

    one.run("--single-task")

    assert git(one.repository, "status", "--porcelain", "--ignored") == ""
    assert not (one.repository / ".worktrees").exists()


def test_without_a_task_it_says_so_and_ends_with_a_code_of_its_own(runner: MakeRunner) -> None:
    ended = runner("write").run("--single-task")

    assert ended.returncode == 3
    assert "No tasks available" in ended.stdout


def test_a_major_task_is_done_in_a_worktree_on_a_branch_of_its_own(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Build it", complexity="major", branch="main")
    one = runner("write", "commit")

    ended = one.run("--single-task")

    branch = f"feature/task-{task['id']}"
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert git(one.repository, "log", "-1", "--format=%s", branch) == "Do the work"
    assert git(one.repository, "log", "-1", "--format=%s", "main") == "Begin"
    assert git(one.repository, "status", "--porcelain") == ""
    assert git(one.repository, "worktree", "list").count("\n") == 0


def test_r9_a_worktree_with_uncommitted_work_is_kept(runner: MakeRunner, pm: PmServer) -> None:
    pm.api.task("Build it", complexity="major")
    one = runner("scribble", "fail")

    ended = one.run("--single-task")

    kept = list((one.repository / ".worktrees").glob("*/scribble.txt"))
    assert [path.read_text() for path in kept] == ["not committed\n"]
    assert "is kept" in ended.stdout


def test_r7_a_task_that_cannot_be_done_is_parked_with_a_note(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Impossible")
    one = runner("fail")

    ended = one.run("--single-task")

    now = pm.api.look(task["id"])
    assert ended.returncode == 1
    assert (now["status"], now["locked_by"]) == ("pending", None)
    assert "agent_failed" in now["notes"]
    assert one.starts() == 3
    assert any("needs a person" in document["title"] for document in pm.api.get("/documents").json())


def test_an_agent_that_crashes_is_started_again_for_the_same_task(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Shaky")
    one = runner("crash-once", "write")

    ended = one.run("--single-task")

    assert ended.returncode == 0, ended.stdout
    assert [line[2] for line in one.ledger() if line[0] == "start"] == ["1", "2"]
    assert status(pm, task) == ("dev_done", None)


def test_an_agent_over_its_time_is_ended_and_the_task_parked(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Endless")
    one = runner("wait")

    ended = one.run("--single-task", HEADLESS_PM_CLAUDE_TIMEOUT="1")

    assert ended.returncode == 1
    assert status(pm, task) == ("pending", None)
    assert "timed_out" in pm.api.look(task["id"])["notes"]


def test_qa_is_given_what_the_developer_finished(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Flow")
    runner("write", "commit").run("--single-task")

    ended = runner("write", agent_id="qa_1").run("--single-task", role="qa")

    assert ended.returncode == 0, ended.stdout
    assert status(pm, task) == ("qa_done", None)


def test_a_hook_that_refuses_gives_the_task_back(runner: MakeRunner, pm: PmServer, tmp_path: Path) -> None:
    task = pm.api.task("Refused")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre_task.py").write_text("import sys\nprint('not today')\nsys.exit(1)\n")
    one = runner("write")

    ended = one.run("--single-task", "--hooks-dir", str(hooks))

    assert ended.returncode == 1
    assert one.starts() == 0
    assert status(pm, task) == ("created", None)
    assert pm.api.look(task["id"])["notes"].count("hook_rejected") == 1


def test_a_task_that_is_given_back_again_and_again_has_one_comment_of_it(
    runner: MakeRunner, pm: PmServer, tmp_path: Path
) -> None:
    """Each round of an outage left the same comment once more."""
    task = pm.api.task("Refused")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    hook = hooks / "pre_task.py"
    one = runner("write")

    for words in ("'not today'", "'not today'", "'not tomorrow'"):
        hook.write_text(f"import sys\nprint({words})\nsys.exit(1)\n")
        one.run("--single-task", "--hooks-dir", str(hooks))

    notes = pm.api.look(task["id"])["notes"]
    assert (notes.count("not today"), notes.count("not tomorrow")) == (1, 1), notes
    assert status(pm, task) == ("created", None)


def test_r1_the_agent_is_told_all_of_the_task(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("A title of note", description="The description in words")
    one = runner()
    one.env["AGENT_COMMAND"] = "true"

    one.run("--single-task")

    prompt = (one.runs()[0].path / "prompt").read_text()
    for words in (str(task["id"]), "A title of note", "The description in words"):
        assert words in prompt


def test_the_key_reaches_neither_agent_nor_hooks_nor_files_nor_output(
    runner: MakeRunner, pm: PmServer, tmp_path: Path
) -> None:
    pm.api.task("Spy")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre_task.py").write_text("import os\nprint(os.environ)\n")
    one = runner()
    one.env["AGENT_COMMAND"] = "sh -c 'env; cat /proc/*/cmdline 2>/dev/null'"

    ended = one.run("--single-task", "--verbose", "--hooks-dir", str(hooks))

    assert pm.key not in ended.stdout + ended.stderr
    for path in one.home.rglob("*"):
        assert not path.is_file() or pm.key.encode() not in path.read_bytes(), path


def test_a_reader_that_closes_the_pipe_early_changes_nothing(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Piped")
    one = runner("write", "commit")
    words = " ".join(one.argv("--single-task"))

    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {words} 2>&1 | grep -q ."], env=one.env, timeout=50, check=False
    )

    assert ended.returncode == 0
    assert status(pm, task) == ("dev_done", None)


def test_the_earlier_runner_s_lock_file_is_continued(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Recovery test task")
    one = runner("write", "commit")
    lock = one.home / "locks" / "agent-dev_1.lock"
    lock.parent.mkdir(parents=True)
    data = {
        "task_id": task["id"],
        "task_title": task["title"],
        "agent_id": "dev_1",
        "locked_at": "2026-11-21T08:54:11",
        "worktree_path": None,
        "branch_name": None,
        "task_data": {"id": task["id"], "title": task["title"], "status": "created", "skill_level": "junior"},
    }
    lock.write_text(json.dumps(data))

    ended = one.run("--single-task")

    assert ended.returncode == 0, ended.stdout
    assert "Recovering previously locked task..." in ended.stdout
    assert status(pm, task) == ("dev_done", None)
    assert not lock.exists()


def test_a_corrupt_lock_file_is_kept_aside_and_work_goes_on(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Next")
    one = runner("write", "commit")
    lock = one.home / "locks" / "agent-dev_1.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text('{"half')

    ended = one.run("--single-task")

    assert ended.returncode == 0, ended.stdout
    assert "cannot be used" in ended.stdout
    assert [path.read_text() for path in lock.parent.glob("*.bad-*")] == ['{"half']
    assert status(pm, task) == ("dev_done", None)


def test_a_task_with_hostile_words_is_done_under_a_name_of_ours(runner: MakeRunner, pm: PmServer) -> None:
    title = "--upload-pack=x ../../x \x1b]0;owned\x07\x1b[2J"
    task = pm.api.task(title, complexity="major", branch="--upload-pack=touch /tmp/owned", description="@/etc/passwd")
    one = runner("write", "commit")

    ended = one.run("--single-task")

    assert ended.returncode == 0, ended.stdout
    assert "\x1b]0;" not in ended.stdout
    assert f"feature/task-{task['id']}" in git(one.repository, "branch", "--list")


def test_the_model_follows_the_task_s_level(runner: MakeRunner, pm: PmServer) -> None:
    """R2: the level is the task's `difficulty`."""
    for level in ("junior", "principal"):
        pm.api.task(f"For a {level}", difficulty=level)
    one = runner()
    one.env["AGENT_COMMAND"] = "sh -c 'echo $AGENT_RUNNER_MODEL'"

    one.run("--max-tasks", "2", "--level", "principal")

    assert [run.out.read_text().strip() for run in one.runs()] == ["sonnet", "opus"]


def test_the_next_who_takes_a_major_task_begins_where_the_last_one_left_it(
    runner: MakeRunner, pm: PmServer, tmp_path: Path
) -> None:
    """QA must judge the developer's commits, and a second developer, and a second QA, those of all before them."""
    task = pm.api.task("Handed on", complexity="major")
    developer, qa = runner("write", "commit"), runner(agent_id="qa_1")
    qa.env["AGENT_COMMAND"] = "sh -c 'cat work.txt; echo QA: REJECTED - not yet'"
    developer.run("--single-task")

    first = qa.run("--single-task", role="qa")
    again = developer.run("--single-task")
    second = qa.run("--single-task", role="qa")

    assert (first.returncode, again.returncode, second.returncode) == (0, 0, 0), first.stdout + again.stdout
    seen = [run.out.read_text() for run in qa.runs() if "QA:" in run.out.read_text()]
    assert [text.count("work of attempt 1") for text in seen] == [1, 2]
    assert status(pm, task) == ("created", None)


def test_a_branch_on_which_nothing_was_committed_does_not_stay(runner: MakeRunner, pm: PmServer) -> None:
    pm.api.task("Look only", complexity="major")
    one = runner()
    one.env["AGENT_COMMAND"] = "true"

    one.run("--single-task")

    assert git(one.repository, "branch", "--format=%(refname:short)") == "main"
