"""After the work: what was left is committed, the branch pushed, a pull request opened; each once, none by force."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pm_server import PmServer
from tests.runner import Runner, ended, git, make_repository
from tests.waiting import until

MakeRunner = Callable[..., Runner]

WORK = "date +%N > work.txt && git add -A && git commit -qm 'Do the work'"
GH = """#!/bin/sh
printf '%s\\n' "$*" >> {log}
case "$1 $2" in
"pr list") if [ -e {log}.open ]; then echo '[{{"url": "https://github.com/o/r/pull/7"}}]'; else echo '[]'; fi ;;
"pr create") cat > {log}.body; touch {log}.open; echo https://github.com/o/r/pull/7 ;;
esac
"""
GITHUB = "https://github.com/o/r.git"


def prepared(one: Runner, script: str = WORK, **env: str) -> Runner:
    """Give a runner an agent with a script; no `gh` but that of a test is on the PATH."""
    file = one.directory / "agent.sh"
    file.write_text(f"set -e\ncat > /dev/null\n{script}\n")
    one.env |= {"AGENT_COMMAND": f"sh {file}", "HEADLESS_PM_EVIDENCE": "auto", "HEADLESS_PM_MAX_ATTEMPTS": "1", **env}
    return one


def with_remote(one: Runner, url: str = "") -> Path:
    """Give a repository a bare remote, also where its address is to look like another one."""
    remote = one.directory / "remote.git"
    git(one.directory, "init", "-q", "--bare", "-b", "main", str(remote))
    git(one.repository, "remote", "add", "origin", url or str(remote))
    if url:
        git(one.repository, "config", f"url.{remote}.insteadOf", url)
    git(one.repository, "push", "-q", "origin", "main")
    return remote


def with_gh(one: Runner) -> Path:
    """Put a program called gh on the PATH that notes what it is asked, and return its log."""
    place, log = one.directory / "bin", one.directory / "gh.log"
    place.mkdir()
    program(place / "gh", GH.format(log=log))
    one.env["PATH"] = f"{place}:{one.env['PATH']}"
    return log


def program(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def receipt(one: Runner) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((one.runs()[-1].path / "result.json").read_text())
    return data


def test_a_secret_in_a_title_is_not_pushed(runner: MakeRunner, pm: PmServer) -> None:
    """Regression: what the agent left was committed, and pushed, under the title as it was."""
    secret = "pmkey-supersecret-123456"
    one = prepared(runner(), "echo left > left.txt", HEADLESS_PM_EVIDENCE="change", ANTHROPIC_API_KEY=secret)
    remote = with_remote(one)
    task = pm.api.task(f"Fix it {secret}", complexity="major")

    one.run("--single-task")

    branch = f"feature/task-{task['id']}"
    assert git(remote, "log", "-1", "--format=%s", branch) == "WIP: Fix it [secret]"


def test_a_push_that_is_refused_is_told_with_the_server_s_reason(runner: MakeRunner, pm: PmServer) -> None:
    """Regression: "failed to push some refs" was all that was told."""
    one = prepared(runner())
    remote = with_remote(one)
    program(remote / "hooks" / "pre-receive", "#!/bin/sh\necho 'nope, no branches today' >&2\nexit 1\n")
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    assert "origin did not take it: nope, no branches today" in ended(pm, task)[1]


LEAK = 'printf "KEY=%s\\n" "$ANTHROPIC_API_KEY"'


def test_a_file_that_holds_a_known_secret_is_neither_committed_for_the_agent_nor_lost(
    runner: MakeRunner, pm: PmServer
) -> None:
    """Regression: an `.env` with the agent's own key was committed with the rest, and pushed."""
    key = "sk-made-up-0123456789"
    script = f"echo left > left.txt && {LEAK} > .env && {LEAK} >> README"
    one = prepared(runner(), script, HEADLESS_PM_EVIDENCE="change", ANTHROPIC_API_KEY=key)
    remote = with_remote(one)
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    branch, notes = f"feature/task-{task['id']}", ended(pm, task)[1]
    assert git(remote, "ls-tree", "-r", "--name-only", branch) == "README\nleft.txt"
    assert git(remote, "show", f"{branch}:README") == "A repository"
    assert "not committed, for a secret that the runner knows is in it: README, .env" in notes
    assert key not in notes
    (kept,) = (one.repository / ".worktrees").iterdir()
    assert (kept / ".env").read_text() == f"KEY={key}\n"


@pytest.mark.parametrize("after", ["true", "git rm -q .env && git commit -qm 'Take it out'"])
def test_a_branch_whose_commits_hold_a_known_secret_is_not_pushed(runner: MakeRunner, pm: PmServer, after: str) -> None:
    key = "sk-made-up-0123456789"
    script = f"{LEAK} > .env && {WORK} && {after}"
    one = prepared(runner(), script, HEADLESS_PM_EVIDENCE="change", ANTHROPIC_API_KEY=key)
    remote = with_remote(one)
    task = pm.api.task("Do it", complexity="major")

    one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "dev_done"
    assert "the branch was not pushed: its commits hold a secret that the runner knows, in .env" in notes
    assert key not in notes
    assert git(remote, "branch", "--list", "feature/*") == ""


def test_what_the_agent_left_is_committed_on_the_task_s_branch_and_the_worktree_goes(
    runner: MakeRunner, pm: PmServer
) -> None:
    one = prepared(runner(), f"{WORK} && echo left > left.txt && rm README && mkdir __pycache__")
    task = pm.api.task("Build\nit", complexity="major")

    one.run("--single-task")

    branch = f"feature/task-{task['id']}"
    assert ended(pm, task)[0] == "dev_done"
    assert git(one.repository, "log", "-1", "--format=%s", branch) == "WIP: Build it"
    assert f"Agent-Runner-Task: {task['id']}" in git(one.repository, "log", "-1", "--format=%B", branch)
    assert git(one.repository, "ls-tree", "-r", "--name-only", branch) == "left.txt\nwork.txt"
    assert git(one.repository, "worktree", "list").count("\n") == 0
    assert git(one.repository, "log", "-1", "--format=%s", "main") == "Begin"


def test_a_minor_task_s_rest_is_committed_on_the_branch_of_a_checkout_that_was_clean(
    runner: MakeRunner, pm: PmServer
) -> None:
    one = prepared(runner(), "echo staged > staged && git add staged && echo left > left")
    task = pm.api.task("Write it")

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"
    assert git(one.repository, "log", "-1", "--format=%s", "main") == "WIP: Write it"
    assert git(one.repository, "status", "--porcelain") == ""


def test_without_a_name_in_git_s_settings_the_commit_bears_the_runner_s(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), "echo left > left")
    (Path(one.env["GIT_CONFIG_GLOBAL"])).write_text("")
    pm.api.task("Write it")

    one.run("--single-task")

    assert git(one.repository, "log", "-1", "--format=%an") == "Advanced Agent Runner"


def test_work_that_failed_is_not_committed(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), "echo left > left && exit 1")
    task = pm.api.task("Build it", complexity="major")

    one.run("--single-task")

    assert ended(pm, task)[0] == "pending"
    assert "1 file, +1 -0; not committed by the agent: left" in ended(pm, task)[1]
    assert [path.read_text() for path in (one.repository / ".worktrees").glob("*/left")] == ["left\n"]


def test_a_major_task_s_branch_is_pushed(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), f"{WORK} && echo left > left")
    remote = with_remote(one)
    task = pm.api.task("Build it", complexity="major")

    one.run("--single-task")

    branch = f"feature/task-{task['id']}"
    assert git(remote, "rev-parse", branch) == git(one.repository, "rev-parse", branch)
    assert f"pushed to origin as {branch}" in ended(pm, task)[1]


@pytest.mark.parametrize(("complexity", "env"), [("minor", {}), ("major", {"HEADLESS_PM_PUSH": "never"})])
def test_nothing_else_is_pushed(runner: MakeRunner, pm: PmServer, complexity: str, env: dict[str, str]) -> None:
    one = prepared(runner(), **env)
    remote = with_remote(one)
    task = pm.api.task("Write it", complexity=complexity)

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"
    assert git(remote, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert git(remote, "log", "-1", "--format=%s", "main") == "Begin"


def test_a_branch_that_others_have_at_the_remote_is_never_overwritten(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner())
    remote = with_remote(one)
    task = pm.api.task("Build it", complexity="major")
    branch = f"feature/task-{task['id']}"
    others = make_repository(one.directory / "others")
    git(others, "commit", "-q", "--amend", "-m", "Theirs")  # else it may be the very commit that ours begins with
    git(others, "push", "-q", str(remote), f"main:refs/heads/{branch}")
    theirs = git(remote, "rev-parse", branch)

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"
    assert "the branch was not pushed" in ended(pm, task)[1]
    assert git(remote, "rev-parse", branch) == theirs


def test_a_remote_that_does_not_answer_is_a_warning_without_its_password(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner())
    git(one.repository, "remote", "add", "origin", "http://me:hunter2hunter2@127.0.0.1:1/r.git")
    task = pm.api.task("Build it", complexity="major")

    told = one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "dev_done"
    assert "the branch was not pushed" in notes
    assert "hunter2" not in notes + told.stdout + json.dumps(receipt(one))


@pytest.mark.parametrize(
    "change",
    [
        "git remote set-url origin {other}",
        "git config remote.origin.pushurl {other}",
        "git config url.{other}.pushInsteadOf {remote}",
        "git config remote.origin.receivepack 'touch {other}/owned; git-receive-pack'",
    ],
)
def test_nothing_is_pushed_by_a_way_that_the_agent_has_changed(runner: MakeRunner, pm: PmServer, change: str) -> None:
    one = runner()
    other = one.directory / "other.git"
    git(one.directory, "init", "-q", "--bare", str(other))
    remote = with_remote(one)
    prepared(one, f"{WORK} && {change.format(other=other, remote=remote)}")
    task = pm.api.task("Build it", complexity="major")

    one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "dev_done"
    assert "is not what it was before the agent came" in notes
    assert git(other, "for-each-ref") == ""
    assert not (other / "owned").exists()


def test_a_pull_request_is_opened_by_gh_with_the_receipt_and_only_once(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner())
    with_remote(one, GITHUB)
    log = with_gh(one)
    task = pm.api.task("Build it", complexity="major")

    one.run("--single-task")

    branch = f"feature/task-{task['id']}"
    asked = log.read_text().splitlines()
    assert [line.split()[1] for line in asked] == ["list", "create"]
    assert f"--repo github.com/o/r --head {branch} --base main --title=Build it" in asked[1]
    assert "Work: 1 commit" in Path(f"{log}.body").read_text()
    assert "pull request https://github.com/o/r/pull/7" in ended(pm, task)[1]


def test_a_pull_request_that_is_there_is_told_and_not_opened_again(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner())
    with_remote(one, GITHUB)
    log = with_gh(one)
    Path(f"{log}.open").touch()
    task = pm.api.task("Build it", complexity="major")

    one.run("--single-task")

    assert [line.split()[1] for line in log.read_text().splitlines()] == ["list"]
    assert "pull request https://github.com/o/r/pull/7" in ended(pm, task)[1]


def test_a_command_of_the_operator_opens_it_and_is_told_all_in_json(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner())
    with_remote(one)
    given = one.directory / "given.json"
    opener = program(one.directory / "opener", f"#!/bin/sh\ncat > {given}\necho see https://forge.example/pr/3\n")
    one.env["HEADLESS_PM_PULL_REQUEST_COMMAND"] = str(opener)
    task = pm.api.task("Build it", complexity="major")

    one.run("--single-task")

    told = json.loads(given.read_text())
    assert (told["branch"], told["base"], told["title"]) == (f"feature/task-{task['id']}", "main", "Build it")
    assert (told["remote"], told["task"], told["retry"]) == ("origin", str(task["id"]), False)
    assert receipt(one)["published"]["pull_request"] == "https://forge.example/pr/3"


def test_a_pull_request_that_cannot_be_opened_is_a_warning(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner())
    with_remote(one)
    opener = program(one.directory / "opener", "#!/bin/sh\necho not today >&2\nexit 4\n")
    one.env["HEADLESS_PM_PULL_REQUEST_COMMAND"] = str(opener)
    task = pm.api.task("Build it", complexity="major")

    one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "dev_done"
    assert "no pull request was opened: opener ended with exit code 4: not today" in notes


def test_conflicts_with_a_trunk_that_moved_on_are_told(runner: MakeRunner, pm: PmServer) -> None:
    others = "(cd ../.. && echo theirs > README && git commit -qam Theirs)"
    one = prepared(runner(), f"echo ours > README && git commit -qam Ours && {others}")
    task = pm.api.task("Build it", complexity="major")

    one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "dev_done"
    assert "onflicts with main in: README" in notes
    assert git(one.repository, "log", "-1", "--format=%s", "main") == "Theirs"


@pytest.mark.parametrize("place", ["publish.committed", "publish.pushed", "publish.requested"])
def test_a_runner_that_is_killed_in_between_hands_on_only_once(runner: MakeRunner, pm: PmServer, place: str) -> None:
    one = prepared(runner(), f"{WORK} && echo left > left")
    remote = with_remote(one, GITHUB)
    log = with_gh(one)
    task = pm.api.task("Build it", complexity="major")
    first = one.start("--single-task", AGENT_RUNNER_FAULT=f"{place}:1*kill->off")
    until(lambda: first.poll() is not None, "the end of the first")
    assert first.returncode == -9

    one.run("--single-task")

    branch = f"feature/task-{task['id']}"
    assert ended(pm, task)[0] == "dev_done"
    assert git(remote, "log", "--format=%s", f"main..{branch}") == "WIP: Build it\nDo the work"
    assert [line.split()[1] for line in log.read_text().splitlines()].count("create") == 1
    assert "pull request https://github.com/o/r/pull/7" in ended(pm, task)[1]
    assert ended(pm, task)[1].count("/1] succeeded") == 1
