"""The `workspaces` command as a person types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components import durable, snapshot
from components.git_worktree import GitWorktree
from components.model import Task, Workspace
from components.states import Complexity
from components.task_persistence import TaskPersistence

CHECKOUT = Path(__file__).parents[2]
CLAIM = "11aa22bb00004000800000000000000a"
MAJOR = Task("12", "A major task", complexity=Complexity.MAJOR)
Ran = subprocess.CompletedProcess[str]


def sh(directory: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "repository"
    top.mkdir()
    sh(top, "init", "-q", "-b", "main")
    (top / "a.txt").write_text("a\n")
    sh(top, "add", ".")
    sh(top, "commit", "-q", "-m", "First")
    return top


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def workspace(repository: Path) -> Workspace:
    return GitWorktree(repository).open(MAJOR, CLAIM, 1)


def type_in(repository: Path, *words: str) -> Ran:
    environ = {
        "HOME": os.environ["HOME"],
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(CHECKOUT),
        "LC_ALL": "C.UTF-8",
        "HEADLESS_PM_HOME": str(repository.parent / "home"),
    }
    argv = [sys.executable, "-W", "error", "-m", "components.cli", "workspaces", *words]
    return subprocess.run(argv, cwd=repository, env=environ, capture_output=True, text=True, timeout=60, check=False)


def typed(repository: Path, *words: str) -> str:
    ran = type_in(repository, *words)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return ran.stdout


def saved(workspace: Workspace, text: str = "draft\n", claim: str = CLAIM) -> str:
    (workspace.path / "draft.txt").write_text(text)
    ref = snapshot.take(workspace, "12", claim, why="the agent died")
    assert ref is not None
    return ref


def test_an_empty_repository_is_told_in_words(repository: Path) -> None:
    assert typed(repository) == "There are no worktrees of the runner.\n\nThere are no snapshots of unsaved work.\n"


def test_outside_of_a_repository_those_of_all_known_ones_are_listed(
    repository: Path, home: Path, workspace: Workspace, tmp_path: Path
) -> None:
    """Regression: who was at home could not see the worktrees that `show` names."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "is not in a git repository" in type_in(elsewhere).stderr

    home.mkdir(mode=0o700, exist_ok=True)
    (home / "config.yaml").write_text(f"projects: {{shop: {repository}, gone: {tmp_path / 'gone'}}}\n")
    (home / "config.yaml").chmod(0o600)

    told = typed(elsewhere)
    assert told.startswith(f"REPOSITORY {repository}: --repo to work with it from here\nWORKTREES\n{workspace.path}\n")
    assert [one["path"] for one in json.loads(typed(elsewhere, "--json"))["worktrees"]] == [str(workspace.path)]


def test_a_worktree_is_removable_kept_or_in_use(repository: Path, home: Path, workspace: Workspace) -> None:
    assert "task 12, feature/task-12, new: removable" in typed(repository)

    (workspace.path / "draft.txt").write_text("draft\n")
    shown = typed(repository, "list")
    assert f"{workspace.path}\n    task 12, feature/task-12, new: kept\n    - 1 untracked file: draft.txt\n" in shown

    journal = TaskPersistence("dev_001", home)
    journal.lock_task(MAJOR, workspace.path, workspace.branch)
    before = journal.lock_file.read_bytes()
    assert "new: in use by agent dev_001\n    - 1 untracked file" in typed(repository)
    assert journal.lock_file.read_bytes() == before


def test_a_living_agent_without_a_journal_keeps_its_worktree_in_use(
    repository: Path, home: Path, workspace: Workspace
) -> None:
    run = durable.make_directory(home / "runs" / "12-11aa22bb-2")
    alive = durable.try_lock(run / "alive")

    assert "in use by run 12-11aa22bb-2" in typed(repository)
    assert alive is not None
    os.close(alive)
    assert "new: removable" in typed(repository)


def test_a_journal_that_cannot_be_read_is_passed_by_and_left(
    repository: Path, home: Path, workspace: Workspace
) -> None:
    locks = durable.make_directory(home / "locks")
    (locks / "agent-dev_001.lock").write_text("torn")

    assert "removable" in typed(repository)
    assert (locks / "agent-dev_001.lock").read_text() == "torn"


def test_a_snapshot_is_listed_and_brought_back_though_its_worktree_is_gone(
    repository: Path, workspace: Workspace
) -> None:
    saved(workspace)
    shutil.rmtree(workspace.path)

    shown = typed(repository)
    assert "its directory was deleted" in shown
    assert [line.split()[0] for line in shown.splitlines() if "the agent died" in line] == ["12/11aa22bb/1"]

    told = typed(repository, "restore", "12")
    back = repository / ".worktrees" / "restored-12-1"
    assert f"directory  {back}\n  branch     restored/12-11aa22bb-1\n" in told
    assert (back / "draft.txt").read_text() == "draft\n"
    assert sh(back, "status", "--porcelain") == "?? draft.txt"
    assert sh(repository, "status", "--porcelain") == ""


def test_restoring_to_a_directory_of_ones_own_never_overwrites_it(repository: Path, workspace: Workspace) -> None:
    saved(workspace)
    (repository.parent / "mine").mkdir()
    (repository.parent / "mine" / "draft.txt").write_text("mine\n")

    told = typed(repository, "restore", "refs/agent-runner/12/11aa22bb/1", "--to", "../mine", "--commit")

    assert "1 file, committed" in told
    assert (repository.parent / "mine" / "draft.txt").read_text() == "mine\n"
    assert sh(repository.parent / "mine-2", "show", "HEAD:draft.txt") == "draft"
    assert sh(repository.parent / "mine-2", "status", "--porcelain") == ""


def test_a_task_means_its_newest_snapshot(repository: Path, workspace: Workspace) -> None:
    saved(workspace, "old\n")
    saved(workspace, "new\n")

    typed(repository, "restore", "12")

    assert (repository / ".worktrees" / "restored-12-2" / "draft.txt").read_text() == "new\n"


def test_show_tells_where_a_snapshot_comes_from_and_what_it_changes(repository: Path, workspace: Workspace) -> None:
    ref = saved(workspace)

    shown = typed(repository, "show", "12")

    assert shown.startswith(f"{ref}\n")
    assert f"Claim: {CLAIM}" in shown
    assert "draft.txt | 1 +\n 1 file changed, 1 insertion(+)" in shown


def test_an_execution_s_id_brings_its_newest_snapshot_back(repository: Path, workspace: Workspace) -> None:
    saved(workspace)

    typed(repository, "restore", CLAIM[:8])

    assert (repository / ".worktrees" / "restored-12-1" / "draft.txt").exists()
    assert type_in(repository, "show", "0123abcd").returncode == 4


def test_show_and_restore_answer_programs_too(repository: Path, workspace: Workspace) -> None:
    ref = saved(workspace)

    shown = json.loads(typed(repository, "show", "12", "--json"))
    restored = json.loads(typed(repository, "restore", "12", "--json"))

    assert (shown["ref"], restored["ref"]) == (ref, ref)
    assert "draft.txt | 1 +" in shown["diff_stat"]
    assert (Path(restored["directory"]) / "draft.txt").exists()
    assert sh(Path(restored["directory"]), "branch", "--show-current").strip() == restored["branch"]


def test_an_unknown_name_is_told_with_the_nearest_and_changes_nothing(repository: Path, workspace: Workspace) -> None:
    saved(workspace)

    for word in ("restore", "show"):
        ran = type_in(repository, word, "12/11aa22bb/2")
        assert ran.returncode == 4
        assert ran.stderr.startswith(
            "Error: there is no snapshot '12/11aa22bb/2'; type one that `workspaces list` shows. Near it: 12/11aa22bb/1"
        )
    assert len(sh(repository, "worktree", "list").splitlines()) == 2


def test_a_name_that_fits_several_claims_is_told_with_all_of_them(repository: Path, workspace: Workspace) -> None:
    saved(workspace, "one\n", "11aa0000")
    saved(workspace, "two\n", "11bb0000")

    ran = type_in(repository, "restore", "12/11")

    assert (ran.returncode, ran.stdout) == (4, "")
    assert "Name one: 12/11aa0000, 12/11bb0000." in ran.stderr


def test_json_tells_all_of_it(repository: Path, workspace: Workspace) -> None:
    ref = saved(workspace)

    told = json.loads(typed(repository, "--json"))

    (worktree,) = told["worktrees"]
    assert (worktree["path"], worktree["task"], worktree["state"]) == (str(workspace.path), "12", "kept")
    assert worktree["unsaved"] == ["1 untracked file: draft.txt"]
    (one,) = told["snapshots"]
    assert (one["ref"], one["why"], one["files"], one["left_out"]) == (ref, "the agent died", 1, 0)
    assert one["time"].endswith("+00:00")


def test_what_was_left_out_is_told_when_it_is_brought_back(repository: Path, workspace: Workspace) -> None:
    sh(workspace.path, "init", "-q", "nested")
    saved(workspace)

    ran = type_in(repository, "restore", "12")

    assert ran.returncode == 0
    assert "left out   nested/.git: the history of a repository inside" in ran.stderr


def test_every_line_fits_eighty_columns_and_no_escape_gets_through(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "\x1b[2J").write_text("x")
    for number in range(8):
        (workspace.path / f"a-rather-long-name-of-a-file-{number}").write_text("x")
    snapshot.take(workspace, "12", CLAIM, why="a long story about how it came that this had to be saved " * 3)

    shown = typed(repository)

    assert "\x1b" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines() if str(repository) not in line), shown


def test_outside_of_a_repository_it_is_a_mistake_with_a_remedy(repository: Path) -> None:
    ran = type_in(repository, "--repo", str(repository.parent))

    assert ran.returncode == 2
    assert "is not in a git repository" in ran.stderr


def aged(workspace: Workspace, days: float) -> None:
    """Make a worktree look as if nobody had worked in it for so many days."""
    then = time.time() - days * 86400
    os.utime(workspace.path, (then, then))


def test_pruning_removes_what_nobody_needs_and_keeps_its_branch(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "work.txt").write_text("done\n")
    sh(workspace.path, "add", ".")
    sh(workspace.path, "commit", "-q", "-m", "Work")
    aged(workspace, 40)

    would = typed(repository, "prune", "--repo", ".", "--dry-run")
    assert workspace.path.is_dir()
    told = typed(repository, "prune", "--repo", ".", "--yes")

    assert f"THESE GO\n{workspace.path}\n    worktree, execution 11aa22bb, not used for 40 d\n" in would
    assert "Removed 1 workspace." in told
    assert not workspace.path.exists()
    assert sh(repository, "show", f"{workspace.branch}:work.txt") == "done"
    assert "No workspace is to go" in typed(repository, "prune", "--repo", ".", "--yes")


def test_pruning_never_takes_unsaved_work(repository: Path, workspace: Workspace) -> None:
    (workspace.path / "draft.txt").write_text("draft\n")
    aged(workspace, 40)

    told = json.loads(typed(repository, "prune", "--repo", ".", "--yes", "--json"))

    assert (told["removed"], told["workspaces"][0]["unsaved"]) == ([], ["1 untracked file: draft.txt"])
    assert (workspace.path / "draft.txt").read_text() == "draft\n"


def test_pruning_never_takes_what_a_runner_has_in_hand(repository: Path, home: Path, workspace: Workspace) -> None:
    journal = TaskPersistence("dev_001", home)
    journal.lock_task(MAJOR, workspace.path, workspace.branch)
    aged(workspace, 40)

    told = typed(repository, "prune", "--repo", ".", "--yes", "--older-than", "0")

    assert "in use by agent dev_001" in told
    assert workspace.path.is_dir()


def test_pruning_never_takes_the_directory_that_a_process_is_in(repository: Path, workspace: Workspace) -> None:
    """An agent of another home, or a person's shell, has no journal here."""
    aged(workspace, 40)
    with subprocess.Popen(["sleep", "60"], cwd=workspace.path) as inside:
        told = typed(repository, "prune", "--repo", ".", "--yes")
        inside.kill()

    assert f"in use by process {inside.pid}" in told
    assert workspace.path.is_dir()


def test_nothing_is_pruned_while_a_journal_cannot_be_read(repository: Path, home: Path, workspace: Workspace) -> None:
    locks = durable.make_directory(home / "locks")
    (locks / "agent-dev_001.lock").write_text("torn")
    aged(workspace, 40)

    ran = type_in(repository, "prune", "--repo", ".", "--yes")

    assert ran.returncode == 1
    assert "agent-dev_001.lock cannot be read, so nothing is pruned" in ran.stderr
    assert workspace.path.is_dir()


def test_what_is_young_stays_unless_it_is_asked_for(repository: Path, workspace: Workspace) -> None:
    assert "0 in use or with unsaved work; 1 used too recently" in typed(repository, "prune", "--repo", ".", "--yes")
    assert workspace.path.is_dir()

    typed(repository, "prune", "--repo", ".", "--yes", "--older-than", "0")

    assert not workspace.path.exists()


def test_pruning_that_nobody_confirms_is_refused(repository: Path, workspace: Workspace) -> None:
    ran = type_in(repository, "prune", "--older-than", "0")

    assert (ran.returncode, "give --yes, or --dry-run" in ran.stderr) == (2, True)
    assert workspace.path.is_dir()
