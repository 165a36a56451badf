"""A minor task that names a branch is done on it, and the checkout goes back to where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components import durable, git_command, home_branch
from components.errors import GitFailed, UnsafeName
from components.home_branch import FILE
from components.model import Task, Workspace
from tests.pm_server import PmServer
from tests.runner import Runner, ended, git, make_repository
from tests.waiting import until

MakeRunner = Callable[..., Runner]
WORK = "date +%N >> $AGENT_RUNNER_TASK_ID.txt && git add -A && git commit -qm 'Do the work'"


def prepared(one: Runner, script: str = WORK, **env: str) -> Runner:
    file = one.directory / "agent.sh"
    file.write_text(f"set -e\ncat > /dev/null\n{script}\n")
    one.env |= {"AGENT_COMMAND": f"sh {file}", "HEADLESS_PM_EVIDENCE": "auto", "HEADLESS_PM_MAX_ATTEMPTS": "1", **env}
    return one


def subjects(one: Runner, branch: str) -> list[str]:
    return git(one.repository, "log", "--format=%s", branch).splitlines()


def is_at_home(one: Runner) -> bool:
    repository = one.repository
    is_clean = not git(repository, "status", "--porcelain")
    return (
        is_clean and git(repository, "branch", "--show-current") == "main" and not (repository / ".git" / FILE).exists()
    )


def test_the_work_is_on_the_branch_that_the_task_names_and_the_checkout_is_back_on_its_own(
    runner: MakeRunner, pm: PmServer
) -> None:
    one = prepared(runner())
    git(one.repository, "branch", "rounding")
    task = pm.api.task("Round it", branch="rounding")

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"
    assert subjects(one, "rounding") == ["Do the work", "Begin"]
    assert subjects(one, "main") == ["Begin"]
    assert is_at_home(one)
    assert "names branch" not in ended(pm, task)[1]


def test_what_the_agent_left_is_committed_on_that_branch(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), "echo left > left")
    task = pm.api.task("Round it", branch="rounding")

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"
    assert subjects(one, "rounding") == ["WIP: Round it", "Begin"]
    assert is_at_home(one)


def test_a_branch_that_was_made_for_a_task_goes_when_nothing_came_upon_it(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), "exit 1")
    pm.api.task("Round it", branch="rounding")

    one.run("--single-task")

    assert git(one.repository, "branch", "--format=%(refname:short)") == "main"
    assert is_at_home(one)


def test_main_is_the_checked_out_branch_where_there_is_no_main(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner())
    git(one.repository, "branch", "-m", "main", "trunk")
    task = pm.api.task("Round it", branch="main")

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"
    assert subjects(one, "trunk") == ["Do the work", "Begin"]
    assert git(one.repository, "branch", "--format=%(refname:short)") == "trunk"


def test_a_checkout_with_somebody_s_changes_is_not_moved_and_the_task_is_free_again(
    runner: MakeRunner, pm: PmServer
) -> None:
    one = prepared(runner())
    git(one.repository, "branch", "rounding")
    (one.repository / "README").write_text("somebody's words\n")
    task = pm.api.task("Round it", branch="rounding")

    done = one.run("--single-task")

    status, notes = ended(pm, task)
    assert status == "created"
    assert "is on main with changes that are not committed (README)" in notes + done.stderr + done.stdout
    assert (one.repository / "README").read_text() == "somebody's words\n"
    assert subjects(one, "rounding") == ["Begin"]
    assert one.starts() == 0


def test_a_checkout_that_keeps_unsaved_work_stays_on_its_branch_and_says_so(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner(), "echo changed >> README; exit 1")
    pm.api.task("Round it", branch="rounding")

    done = one.run("--single-task")

    assert git(one.repository, "branch", "--show-current") == "rounding"
    assert "`git switch main` brings it back" in done.stdout + done.stderr


def test_a_task_that_names_none_is_done_on_the_checkout_s_own_branch_though_one_stayed_elsewhere(
    runner: MakeRunner, pm: PmServer
) -> None:
    one = prepared(runner(), "echo changed >> README; exit 1")
    pm.api.task("Round it", branch="rounding")
    one.run("--single-task")
    git(one.repository, "commit", "-qam", "Somebody looks after it")
    prepared(one)
    task = pm.api.task("Go on", branch="")

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"
    assert subjects(one, "main") == ["Do the work", "Begin"]
    assert is_at_home(one)


@pytest.mark.parametrize("point", ["checkout.moving", "checkout.moved"])
@pytest.mark.parametrize("times", [0, 1])
def test_a_runner_killed_while_it_moves_the_checkout_goes_on_at_the_next_start(
    runner: MakeRunner, pm: PmServer, point: str, times: int
) -> None:
    """The first move is to the branch, the second one back."""
    one = prepared(runner())
    task = pm.api.task("Round it", branch="rounding")
    killed = one.run("--single-task", AGENT_RUNNER_FAULT=f"{point}:{f'{times}*off->' if times else ''}kill")
    assert killed.returncode == -9

    one.run("--single-task")

    assert ended(pm, task)[0] == "dev_done"
    assert subjects(one, "rounding") == ["Do the work", "Begin"]
    assert is_at_home(one)


def test_two_agents_take_turns_each_on_the_branch_of_its_task(runner: MakeRunner, pm: PmServer) -> None:
    one = prepared(runner())
    two = prepared(runner(agent_id="dev_2"))
    tasks = {name: pm.api.task(f"Do {name}", branch=name) for name in ("alpha", "beta", "gamma", "delta")}
    running = [each.start(HEADLESS_PM_MAX_ATTEMPTS="3") for each in (one, two)]

    until(lambda: all(ended(pm, task)[0] == "dev_done" for task in tasks.values()), "the end of all tasks", seconds=60)
    until(lambda: is_at_home(one), "the checkout on its own branch")

    for name, task in tasks.items():
        assert git(one.repository, "ls-tree", "--name-only", name).split() == [f"{task['id']}.txt", "README"]
        assert subjects(one, name) == ["Do the work", "Begin"]
    assert all(process.poll() is None for process in running)


# --- a move that was cut off ----------------------------------------------------------------------------------------


@pytest.fixture
def half_moved(tmp_path: Path) -> Path:
    """A checkout that git was moving to `rounding` when it died: one of two files is there, HEAD is not."""
    repository = make_repository(tmp_path / "repository")
    git(repository, "switch", "-qc", "rounding")
    (repository / "README").write_text("rounding\n")
    (repository / "new").write_text("new\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "Round")
    git(repository, "switch", "-q", "main")
    (repository / "README").write_text("rounding\n")
    note = {"claim": "c1", "branch": "rounding", "home": "main", "made": "", "is_moving": True}
    durable.write(repository / ".git" / FILE, json.dumps(note).encode())
    return repository


@pytest.fixture
def lock(half_moved: Path) -> Iterator[int]:
    with git_command.locked(half_moved / ".git") as descriptor:
        yield descriptor


def test_a_move_that_was_cut_off_is_finished(half_moved: Path, lock: int) -> None:
    (half_moved / "new").write_text("new\n")

    home_branch.enter(Workspace(half_moved, half_moved, "rounding", "", is_worktree=False), "c1", "1", lock)

    assert git(half_moved, "branch", "--show-current") == "rounding"
    assert git(half_moved, "status", "--porcelain") == ""
    assert home_branch.leave(half_moved, "c1", lock) == ""
    assert git(half_moved, "branch", "--show-current") == "main"
    assert (half_moved / "README").read_text() == "A repository\n"


@pytest.mark.parametrize("name", ["README", "new"])
def test_what_somebody_has_written_since_a_move_was_cut_off_is_not_overwritten(
    half_moved: Path, lock: int, name: str
) -> None:
    (half_moved / name).write_text("somebody's words\n")

    with pytest.raises(GitFailed, match=f"somebody has changed {name} since"):
        home_branch.enter(Workspace(half_moved, half_moved, "rounding", "", is_worktree=False), "c1", "1", lock)

    assert (half_moved / name).read_text() == "somebody's words\n"


def test_no_branch_that_was_there_before_is_ever_removed(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    git(repository, "branch", "rounding")
    commit = git(repository, "rev-parse", "HEAD")
    with git_command.locked(repository / ".git") as lock:
        home_branch.enter(Workspace(repository, repository, "rounding", commit, is_worktree=False), "c1", "1", lock)
        home_branch.leave(repository, "c1", lock)

    assert git(repository, "branch", "--format=%(refname:short)").split() == ["main", "rounding"]


@pytest.mark.parametrize("branch", ["-x", "--help", "a b", "bad..name", "main/x", "refs/heads/main", "$(touch x)"])
def test_a_name_that_cannot_be_a_branch_there_is_refused(tmp_path: Path, branch: str) -> None:
    """Regression: the work was done on the checkout's own branch, where its author did not want it."""
    repository = make_repository(tmp_path / "repository")
    task = Task(id="1", title="Do it", description="", branch=branch)

    with pytest.raises(UnsafeName, match="cannot be made: correct its name"):
        home_branch.wanted(repository, task)

    assert os.listdir(repository / ".git" / "refs" / "heads") == ["main"]


def test_a_file_that_git_ignores_is_not_overwritten_by_one_of_the_branch(tmp_path: Path) -> None:
    """Regression: a person's `.env` was overwritten on the way to the branch, and deleted on the way home."""
    repository = make_repository(tmp_path / "repository")
    git(repository, "switch", "-qc", "legacy")
    (repository / ".env").write_text("old\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "Old")
    git(repository, "switch", "-q", "main")
    (repository / ".git" / "info" / "exclude").write_text(".env\n")
    (repository / ".env").write_text("my passwords\n")
    workspace = Workspace(repository, repository, "legacy", "", is_worktree=False)

    with (
        git_command.locked(repository / ".git") as lock,
        pytest.raises(GitFailed, match=r"would be overwritten by checkout: \.env"),
    ):
        home_branch.enter(workspace, "c1", "1", lock)

    assert (repository / ".env").read_text() == "my passwords\n"
    assert git(repository, "branch", "--show-current") == "main"
    assert not (repository / ".git" / FILE).exists()


def test_a_move_that_was_cut_off_is_finished_though_git_ignores_a_file_of_it(half_moved: Path, lock: int) -> None:
    (half_moved / ".git" / "info" / "exclude").write_text("new\n")
    (half_moved / "new").write_text("new\n")

    home_branch.enter(Workspace(half_moved, half_moved, "rounding", "", is_worktree=False), "c1", "1", lock)

    assert (git(half_moved, "branch", "--show-current"), git(half_moved, "status", "--porcelain")) == ("rounding", "")
