"""Workspaces on real repositories: opened, kept, adopted, closed, and through git killed anywhere."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from components.errors import ConfigError, GitFailed, NotARepository, UnsafeName
from components.git_worktree import GitWorktree
from components.model import Task, Workspace
from components.states import Complexity
from components.worktree_entry import WorktreeEntry

CLAIM = "11aa22bb-0000-4000-8000-000000000001"
OTHER_CLAIM = "33cc44dd-0000-4000-8000-000000000002"
MAJOR = Task("1", "A major task", complexity=Complexity.MAJOR)
MINOR = Task("2", "A minor task")
ROOT = Path(__file__).parents[2]
GIT = shutil.which("git") or "git"


def sh(directory: Path, *words: str) -> str:
    """Run git as a person or an agent would, and return what it printed."""
    return subprocess.run([GIT, *words], cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


def commit(directory: Path, name: str, text: str = "done\n") -> str:
    (directory / name).write_text(text)
    sh(directory, "add", "--", name)
    sh(directory, "commit", "-q", "-m", f"Add {name}")
    return sh(directory, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "repository"
    top.mkdir()
    sh(top, "init", "-q", "-b", "main")
    (top / ".gitignore").write_text("*.log\n__pycache__/\n.venv/\n.env\n")
    (top / "deep").mkdir()
    (top / "deep" / "b.txt").write_text("b\n")
    sh(top, "add", ".")
    sh(top, "commit", "-q", "-m", "First")
    commit(top, "a.txt", "a\n")
    return top


@pytest.fixture
def worktrees(repository: Path) -> GitWorktree:
    return GitWorktree(repository)


def assert_sound(repository: Path, workspace: Workspace) -> None:
    """The repository works, and the workspace is a whole worktree on its own branch."""
    assert str(workspace.path) in sh(repository, "worktree", "list")
    assert sh(workspace.path, "symbolic-ref", "HEAD") == f"refs/heads/{workspace.branch}"
    assert sh(workspace.path, "status", "--porcelain") == ""
    assert sh(repository, "status", "--porcelain") == ""
    commit(workspace.path, "work.txt")


# --- the main checkout ---------------------------------------------------------------------------------------------


def test_a_minor_task_works_in_the_main_checkout_and_nothing_is_made_r10(
    repository: Path, worktrees: GitWorktree
) -> None:
    workspace = worktrees.open(MINOR, CLAIM, 1)

    assert workspace == Workspace(repository, repository, "main", sh(repository, "rev-parse", "HEAD"))
    assert not (repository / ".worktrees").exists()
    assert worktrees.unsaved(workspace) == []
    assert worktrees.close(workspace) == []
    assert (repository / "a.txt").exists()


def test_a_minor_task_that_goes_on_keeps_the_commit_it_began_at(repository: Path, worktrees: GitWorktree) -> None:
    first = worktrees.open(MINOR, CLAIM, 1)
    sh(repository, "checkout", "-q", "-b", "fix")
    commit(repository, "fix.txt")

    again = worktrees.open(MINOR, CLAIM, 2, first)

    assert (again.branch, again.base_commit) == ("fix", first.base_commit)


def test_a_minor_task_on_a_detached_head_has_no_branch(repository: Path, worktrees: GitWorktree) -> None:
    sh(repository, "checkout", "-q", "--detach")

    assert worktrees.open(MINOR, CLAIM, 1).branch == ""


# --- names, branches, start ----------------------------------------------------------------------------------------


def test_a_major_task_gets_a_worktree_that_git_status_does_not_see_r10(
    repository: Path, worktrees: GitWorktree
) -> None:
    workspace = worktrees.open(MAJOR, CLAIM, 1)

    assert workspace.path == repository / ".worktrees" / "task-1-11aa22bb-a1"
    assert workspace.branch == "feature/task-1"
    assert workspace.base_commit == sh(repository, "rev-parse", "main")
    assert workspace.is_worktree
    assert (workspace.path / "deep" / "b.txt").read_text() == "b\n"
    assert_sound(repository, workspace)


def test_the_exclude_line_is_written_once_and_other_lines_stay(repository: Path, worktrees: GitWorktree) -> None:
    exclude = repository / ".git" / "info" / "exclude"
    exclude.write_text("mine")

    worktrees.open(MAJOR, CLAIM, 1)
    worktrees.open(MAJOR, OTHER_CLAIM, 1)

    assert exclude.read_text() == "mine\n/.worktrees\n"


@pytest.mark.parametrize("branch", ["master", "trunk"])
def test_a_repository_whose_branch_is_not_main_works_defect_7(tmp_path: Path, branch: str) -> None:
    sh(tmp_path, "init", "-q", "-b", branch, "other")
    commit(tmp_path / "other", "a.txt")

    workspace = GitWorktree(tmp_path / "other").open(MAJOR, CLAIM, 1)

    assert_sound(tmp_path / "other", workspace)


def test_a_repository_without_commits_is_refused_with_what_to_do_defect_27(tmp_path: Path) -> None:
    sh(tmp_path, "init", "-q", "empty")

    with pytest.raises(NotARepository, match="git commit"):
        GitWorktree(tmp_path / "empty")


def test_a_detached_head_is_where_the_work_starts(repository: Path, worktrees: GitWorktree) -> None:
    sh(repository, "checkout", "-q", "--detach", "HEAD~1")

    workspace = worktrees.open(MAJOR, CLAIM, 1)

    assert workspace.base_commit == sh(repository, "rev-parse", "HEAD")
    assert_sound(repository, workspace)


def test_a_dirty_main_checkout_stays_as_it_is_and_out_of_the_worktree(repository: Path, worktrees: GitWorktree) -> None:
    (repository / "a.txt").write_text("changed by a person\n")

    workspace = worktrees.open(MAJOR, CLAIM, 1)

    assert (workspace.path / "a.txt").read_text() == "a\n"
    assert (repository / "a.txt").read_text() == "changed by a person\n"


def test_the_branch_of_the_task_is_used_defect_7(repository: Path, worktrees: GitWorktree) -> None:
    assert worktrees.open(replace(MAJOR, branch="users/ann/fix"), CLAIM, 1).branch == "users/ann/fix"


def test_an_existing_branch_of_the_task_is_where_work_starts_and_is_not_written(
    repository: Path, worktrees: GitWorktree
) -> None:
    sh(repository, "checkout", "-q", "-b", "fix")
    tip = commit(repository, "fix.txt")
    sh(repository, "checkout", "-q", "main")

    workspace = worktrees.open(replace(MAJOR, branch="fix"), CLAIM, 1)

    assert workspace.branch == "fix-11aa22bb"
    assert workspace.base_commit == tip
    assert_sound(repository, workspace)
    assert sh(repository, "rev-parse", "fix") == tip


def test_a_branch_that_only_a_remote_has_is_where_work_starts(repository: Path, tmp_path: Path) -> None:
    sh(repository, "checkout", "-q", "-b", "fix")
    tip = commit(repository, "fix.txt")
    sh(repository, "checkout", "-q", "main")
    sh(tmp_path, "clone", "-q", str(repository), "clone")

    workspace = GitWorktree(tmp_path / "clone").open(replace(MAJOR, branch="fix"), CLAIM, 1)

    assert (workspace.branch, workspace.base_commit) == ("fix-11aa22bb", tip)


def test_the_default_branch_and_one_that_is_checked_out_are_never_the_agents(
    repository: Path, worktrees: GitWorktree
) -> None:
    sh(repository, "checkout", "-q", "-b", "in-use")

    assert worktrees.open(replace(MAJOR, branch="main"), CLAIM, 1).branch == "feature/task-1"
    assert worktrees.open(replace(MAJOR, branch="in-use"), OTHER_CLAIM, 1).branch == "feature/task-1-33cc44dd"


def test_an_id_that_the_server_gives_again_gets_names_of_its_own_defect_14(
    repository: Path, worktrees: GitWorktree
) -> None:
    earlier = worktrees.open(MAJOR, CLAIM, 1)
    (earlier.path / "draft").write_text("of the earlier task 1")

    workspace = worktrees.open(MAJOR, OTHER_CLAIM, 1)

    assert workspace.path != earlier.path
    assert workspace.branch == "feature/task-1-33cc44dd"
    assert not (workspace.path / "draft").exists()
    assert (earlier.path / "draft").exists()


def test_a_branch_called_feature_is_no_obstacle(repository: Path, worktrees: GitWorktree) -> None:
    sh(repository, "branch", "feature")

    assert worktrees.open(MAJOR, CLAIM, 1).branch == "task-1"


@pytest.mark.parametrize(
    "branch", ["--upload-pack=touch pwned", "../../x", "a..b", "x.lock", "-x", "@{-1}", "a\x1b[2Jb", "x" * 10_000]
)
def test_a_hostile_branch_text_is_not_used(repository: Path, worktrees: GitWorktree, branch: str) -> None:
    workspace = worktrees.open(replace(MAJOR, branch=branch), CLAIM, 1)

    assert workspace.branch == "feature/task-1"
    assert sorted(path.name for path in repository.parent.iterdir()) == ["repository", "user-home"]


@pytest.mark.parametrize("task_id", ["../../x", "a/b", "", "x" * 65, "a\n", "$(id)"])
def test_a_hostile_id_is_refused_before_git_or_a_path_is_touched(
    repository: Path, worktrees: GitWorktree, task_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    for task in (replace(MAJOR, id=task_id), replace(MINOR, id=task_id)):
        with pytest.raises(UnsafeName):
            worktrees.open(task, CLAIM, 1)
    assert not (repository / ".worktrees").exists()


def test_hooks_of_the_repository_do_not_run(repository: Path, worktrees: GitWorktree) -> None:
    for name in ("post-checkout", "reference-transaction", "post-index-change"):
        hook = repository / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {repository.parent}/ran\n")
        hook.chmod(hook.stat().st_mode | stat.S_IXUSR)

    worktrees.close(worktrees.open(MAJOR, CLAIM, 1))

    assert not (repository.parent / "ran").exists()


# --- where worktrees go --------------------------------------------------------------------------------------------


def test_a_base_outside_of_the_repository_leaves_exclude_alone(repository: Path, tmp_path: Path) -> None:
    before = (repository / ".git" / "info" / "exclude").read_text()
    worktrees = GitWorktree(repository, tmp_path / "elsewhere")

    workspace = worktrees.open(MAJOR, CLAIM, 1)

    assert workspace.path.parent == tmp_path / "elsewhere"
    assert (repository / ".git" / "info" / "exclude").read_text() == before
    assert worktrees.close(workspace) == []


def test_a_base_that_is_a_link_is_followed_as_it_was_at_the_start(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (repository / "link [1]").symlink_to(tmp_path / "real")
    worktrees = GitWorktree(repository, Path("link [1]"))

    workspace = worktrees.open(MAJOR, CLAIM, 1)

    assert workspace.path.parent == tmp_path / "real"
    assert_sound(repository, workspace)
    assert worktrees.close(workspace) == []


def test_a_link_planted_in_place_of_the_base_is_not_followed(repository: Path, tmp_path: Path) -> None:
    worktrees = GitWorktree(repository)
    workspace = worktrees.open(MAJOR, CLAIM, 1)
    (repository / ".worktrees").rename(tmp_path / "moved")
    (repository / ".worktrees").symlink_to(tmp_path / "moved")

    assert worktrees.close(workspace)
    with pytest.raises(GitFailed, match="link"):
        worktrees.open(MAJOR, OTHER_CLAIM, 1)
    assert (tmp_path / "moved" / workspace.path.name / "a.txt").exists()


def test_a_base_on_the_repository_itself_is_a_configuration_mistake(repository: Path) -> None:
    for base in (Path(), Path(".git/worktrees")):
        with pytest.raises(ConfigError, match="worktree base"):
            GitWorktree(repository, base)


def test_a_base_that_cannot_be_made_is_a_failure_and_never_the_main_checkout(repository: Path) -> None:
    (repository.parent / "file").write_text("")

    with pytest.raises(GitFailed, match="no worktree for task 1"):
        GitWorktree(repository, repository.parent / "file").open(MAJOR, CLAIM, 1)


# --- going on ------------------------------------------------------------------------------------------------------


def test_a_dirty_worktree_survives_recovery_r9(repository: Path, worktrees: GitWorktree) -> None:
    last = worktrees.open(MAJOR, CLAIM, 1)
    (last.path / "draft.txt").write_text("half of the work")
    (last.path / "a.txt").write_text("changed")
    sh(last.path, "add", "a.txt")

    again = GitWorktree(repository).open(MAJOR, CLAIM, 2, last)

    assert again == last
    assert (last.path / "draft.txt").read_text() == "half of the work"
    assert sh(last.path, "status", "--porcelain") == "M  a.txt\n?? draft.txt"


def test_a_worktree_that_a_crash_kept_out_of_the_journal_is_adopted(repository: Path, worktrees: GitWorktree) -> None:
    lost = worktrees.open(MAJOR, CLAIM, 1)
    commit(lost.path, "work.txt")

    assert worktrees.open(MAJOR, CLAIM, 1) == lost
    assert len(list((repository / ".worktrees").iterdir())) == 1


def test_a_deleted_directory_is_made_again_at_the_same_path_with_what_was_staged(worktrees: GitWorktree) -> None:
    last = worktrees.open(MAJOR, CLAIM, 1)
    done = commit(last.path, "work.txt")
    (last.path / "a.txt").write_text("staged")
    sh(last.path, "add", "a.txt")
    shutil.rmtree(last.path)

    assert worktrees.open(MAJOR, CLAIM, 2, last) == last
    assert sh(last.path, "rev-parse", last.branch) == done
    assert (last.path / "work.txt").exists()
    assert sh(last.path, "status", "--porcelain") == "M  a.txt"


def test_a_worktree_that_was_removed_altogether_is_made_again_from_its_branch(
    repository: Path, worktrees: GitWorktree
) -> None:
    last = worktrees.open(MAJOR, CLAIM, 1)
    commit(last.path, "work.txt")
    sh(repository, "worktree", "remove", str(last.path))

    assert worktrees.open(MAJOR, CLAIM, 2, last) == last
    assert (last.path / "work.txt").exists()


def test_a_worktree_without_branch_or_directory_is_a_new_one(repository: Path, worktrees: GitWorktree) -> None:
    last = worktrees.open(MAJOR, CLAIM, 1)
    sh(repository, "worktree", "remove", str(last.path))
    sh(repository, "branch", "-D", last.branch)

    assert_sound(repository, worktrees.open(MAJOR, CLAIM, 2, last))


def test_a_worktree_that_lost_its_git_file_is_connected_again(repository: Path, worktrees: GitWorktree) -> None:
    last = worktrees.open(MAJOR, CLAIM, 1)
    (last.path / ".git").unlink()

    assert worktrees.open(MAJOR, CLAIM, 2, last) == last
    assert_sound(repository, last)


def test_a_worktree_replaced_by_a_link_is_left_alone_and_work_goes_on_from_its_branch(
    repository: Path, worktrees: GitWorktree, tmp_path: Path
) -> None:
    last = worktrees.open(MAJOR, CLAIM, 1)
    done = commit(last.path, "work.txt")
    last.path.rename(tmp_path / "precious")
    last.path.symlink_to(tmp_path / "precious")

    again = worktrees.open(MAJOR, CLAIM, 1, last)

    assert again.path.name == "task-1-11aa22bb-a1-2"
    assert again.base_commit == done
    assert (tmp_path / "precious" / "work.txt").exists()
    assert last.path.is_symlink()


def test_a_base_that_is_configured_anew_does_not_lose_the_worktree_in_hand(repository: Path, tmp_path: Path) -> None:
    last = GitWorktree(repository).open(MAJOR, CLAIM, 1)
    (last.path / "draft.txt").write_text("")

    assert GitWorktree(repository, tmp_path / "new").open(MAJOR, CLAIM, 2, last) == last


def test_an_old_lock_of_a_killed_git_is_cleared_and_a_fresh_one_left(worktrees: GitWorktree) -> None:
    last = worktrees.open(MAJOR, CLAIM, 1)
    entry = last.repository / ".git" / "worktrees" / last.path.name
    (entry / "index.lock").touch()
    os.utime(entry / "index.lock", (1, 1))
    (entry / "HEAD.lock").touch()

    worktrees.open(MAJOR, CLAIM, 2, last)

    assert not (entry / "index.lock").exists()
    assert (entry / "HEAD.lock").exists()


def test_a_lock_on_the_branch_is_taken_over_only_when_it_is_old(repository: Path, worktrees: GitWorktree) -> None:
    heads = repository / ".git" / "refs" / "heads" / "feature"
    heads.mkdir(parents=True)
    (heads / "task-1.lock").touch()
    assert worktrees.open(MAJOR, CLAIM, 1).branch == "feature/task-1-11aa22bb"

    os.utime(heads / "task-1.lock", (1, 1))
    assert worktrees.open(MAJOR, OTHER_CLAIM, 1).branch == "feature/task-1"


# --- closing -------------------------------------------------------------------------------------------------------


def test_a_worktree_with_nothing_unsaved_is_removed_and_its_branch_stays(
    repository: Path, worktrees: GitWorktree
) -> None:
    workspace = worktrees.open(MAJOR, CLAIM, 1)
    done = commit(workspace.path, "work.txt")
    (workspace.path / "__pycache__").mkdir()
    (workspace.path / "__pycache__" / "a.pyc").write_text("")

    assert worktrees.unsaved(workspace) == []
    assert worktrees.close(workspace) == []

    assert list((repository / ".worktrees").iterdir()) == []
    assert str(workspace.path) not in sh(repository, "worktree", "list")
    assert sh(repository, "rev-parse", workspace.branch) == done
    assert worktrees.close(workspace) == []


def _uncommitted(path: Path) -> None:
    (path / "a.txt").write_text("changed")


def _staged(path: Path) -> None:
    (path / "new.txt").write_text("new")
    sh(path, "add", "new.txt")
    (path / "new.txt").unlink()


def _untracked(path: Path) -> None:
    (path / "draft.txt").write_text("draft")


def _ignored(path: Path) -> None:
    (path / ".env").write_text("TOKEN=1")


def _detached(path: Path) -> None:
    sh(path, "checkout", "-q", "--detach")
    commit(path, "lost.txt")


def _merging(path: Path) -> None:
    sh(path, "checkout", "-q", "-b", "side")
    commit(path, "side.txt")
    sh(path, "checkout", "-q", "feature/task-1")
    sh(path, "merge", "--no-commit", "--no-ff", "side")


def _hidden(path: Path) -> None:
    sh(path, "update-index", "--assume-unchanged", "a.txt")
    (path / "a.txt").write_text("changed")


def _skipped(path: Path) -> None:
    sh(path, "update-index", "--skip-worktree", "a.txt")
    (path / "a.txt").write_text("changed")


def _nested(path: Path) -> None:
    sh(path, "init", "-q", "nested.log")
    commit(path / "nested.log", "x")


def _locked(path: Path) -> None:
    sh(path, "worktree", "lock", str(path))


def _cut_off(path: Path) -> None:
    (path / ".git").unlink()


def _led_elsewhere(path: Path) -> None:
    sh(path, "init", "-q", "--separate-git-dir", str(path.parent / "elsewhere.git"), str(path.parent / "elsewhere"))
    (path / ".git").write_text(f"gitdir: {path.parent}/elsewhere.git\n")


def _unhelpful(path: Path) -> None:
    sh(path, "config", "status.showUntrackedFiles", "no")
    (path / "draft.txt").write_text("draft")


LOSSES = {
    _uncommitted: "1 uncommitted change: a.txt",
    _staged: "1 uncommitted change: new.txt",
    _untracked: "1 untracked file: draft.txt",
    _ignored: "1 ignored file: .env",
    _detached: "1 commit on no branch",
    _merging: "a merge is in progress",
    _hidden: "1 file that is not in HEAD: a.txt",
    _skipped: "1 file that is not in HEAD: a.txt",
    _nested: "1 ignored file: nested.log/",
    _locked: "it is locked",
    _cut_off: "its .git does not lead",
    _led_elsewhere: "its .git does not lead",
    _unhelpful: "1 untracked file: draft.txt",
}


@pytest.mark.parametrize("spoil", LOSSES, ids=lambda spoil: spoil.__name__.strip("_"))
def test_a_worktree_that_holds_unsaved_work_is_left_with_the_reason_r9(worktrees: GitWorktree, spoil) -> None:  # type: ignore[no-untyped-def]
    workspace = worktrees.open(MAJOR, CLAIM, 1)
    spoil(workspace.path)
    before = sorted((path, path.lstat().st_mtime_ns) for path in workspace.path.rglob("*") if not path.is_dir())

    reasons = worktrees.close(workspace)

    assert LOSSES[spoil] in "; ".join(reasons)
    assert worktrees.unsaved(workspace) == reasons
    assert before == sorted((path, path.lstat().st_mtime_ns) for path in workspace.path.rglob("*") if not path.is_dir())


def test_commits_on_no_branch_are_told_though_the_directory_is_gone(repository: Path, worktrees: GitWorktree) -> None:
    workspace = worktrees.open(MAJOR, CLAIM, 1)
    _detached(workspace.path)
    shutil.rmtree(workspace.path)

    assert worktrees.close(workspace) == ["1 commit on no branch"]
    assert workspace.path.name in sh(repository, "worktree", "list")


def test_a_deleted_directory_without_losses_is_forgotten_and_strangers_are_not(
    repository: Path, worktrees: GitWorktree, tmp_path: Path
) -> None:
    workspace = worktrees.open(MAJOR, CLAIM, 1)
    sh(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "usb-stick"))
    (tmp_path / "usb-stick").rename(tmp_path / "unplugged")
    shutil.rmtree(workspace.path)

    assert worktrees.close(workspace) == []
    assert (repository / ".git" / "worktrees" / "usb-stick").exists(), "prune would have dropped it"


def test_a_link_planted_in_place_of_the_worktree_is_not_followed(worktrees: GitWorktree, tmp_path: Path) -> None:
    workspace = worktrees.open(MAJOR, CLAIM, 1)
    workspace.path.rename(tmp_path / "precious")
    workspace.path.symlink_to(tmp_path / "precious")

    assert worktrees.close(workspace)
    assert (tmp_path / "precious" / "a.txt").exists()


def test_links_inside_of_the_worktree_are_removed_and_not_followed(worktrees: GitWorktree, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("")
    workspace = worktrees.open(MAJOR, CLAIM, 1)
    (workspace.path / ".venv").mkdir()
    (workspace.path / ".venv" / "link").symlink_to(tmp_path / "precious")

    assert worktrees.close(workspace) == []
    assert (tmp_path / "precious" / "file").exists()


def test_a_path_that_is_not_ours_is_never_removed(repository: Path, worktrees: GitWorktree, tmp_path: Path) -> None:
    workspace = worktrees.open(MAJOR, CLAIM, 1)
    sh(repository, "worktree", "add", "-q", "--detach", str(repository / ".worktrees" / "task-9-55ee66ff-a1"))
    sh(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "outside"))

    for path in (tmp_path / "outside", repository / ".worktrees" / "task-9-55ee66ff-a1", repository, tmp_path):
        assert worktrees.close(replace(workspace, path=path))
        assert path.is_dir()


@pytest.mark.parametrize("deregistered", [False, True])
def test_a_removal_that_was_killed_half_way_is_gone_through_again(worktrees: GitWorktree, deregistered: bool) -> None:
    workspace = worktrees.open(MAJOR, CLAIM, 1)
    worktree = WorktreeEntry(workspace.repository / ".git", workspace.path)
    workspace.path.rename(worktree.aside)
    if deregistered:
        sh(workspace.repository, "worktree", "remove", str(workspace.path))
        (worktree.aside / "a.txt").unlink()

    assert worktrees.close(workspace) == []
    assert not worktree.aside.exists()
    assert not worktree.entry.exists()


@pytest.mark.parametrize("age", [0, 3600])
def test_a_removal_is_whole_though_git_cannot_drop_the_empty_branch(worktrees: GitWorktree, age: float) -> None:
    """Defect: a packed-refs.lock of a killed git left the files aside, in a directory that git had forgotten."""
    workspace = worktrees.open(MAJOR, CLAIM, 1)
    worktree = WorktreeEntry(workspace.repository / ".git", workspace.path)
    lock = workspace.repository / ".git" / "packed-refs.lock"
    lock.touch()
    os.utime(lock, (time.time() - age, time.time() - age))

    assert worktrees.close(workspace) == []

    assert not any(os.path.lexists(path) for path in (worktree.path, worktree.aside, worktree.entry))
    assert lock.exists() == (age == 0), "a fresh one may be a living git's"
    assert (workspace.branch in sh(workspace.repository, "branch")) == (age == 0)


def test_work_that_appeared_during_a_removal_that_was_killed_is_put_back(worktrees: GitWorktree) -> None:
    workspace = worktrees.open(MAJOR, CLAIM, 1)
    worktree = WorktreeEntry(workspace.repository / ".git", workspace.path)
    workspace.path.rename(worktree.aside)
    (worktree.aside / "late.txt").write_text("by a process that nobody had ended")

    assert worktrees.close(workspace) == ["1 untracked file: late.txt"]
    assert (workspace.path / "late.txt").exists()


def test_a_file_name_cannot_send_escapes_to_the_terminal(worktrees: GitWorktree) -> None:
    workspace = worktrees.open(MAJOR, CLAIM, 1)
    (workspace.path / "\x1b[2J\udcff").write_text("")

    assert worktrees.close(workspace) == ["1 untracked file: \\x1b[2J\\udcff"]


# --- many at once, and killed anywhere -----------------------------------------------------------------------------


def _open_one(repository: Path, number: int, branch: str) -> Workspace:
    task = replace(MAJOR, id=str(number), branch=branch)
    return GitWorktree(repository).open(task, f"{number:08}-claim", 1)


@pytest.mark.parametrize("branch", ["", "shared"])
def test_worktrees_opened_by_eight_processes_at_once_are_all_whole(repository: Path, branch: str) -> None:
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        opened = pool.starmap(_open_one, [(repository, number, branch) for number in range(8)])

    assert len({workspace.branch for workspace in opened}) == 8
    for workspace in opened:
        assert_sound(repository, workspace)
    assert len(sh(repository, "branch", "--format=%(refname)").splitlines()) == 9, "no stray branch"


def test_an_empty_commondir_in_an_entry_of_ours_is_repaired(repository: Path, worktrees: GitWorktree) -> None:
    last = worktrees.open(MAJOR, CLAIM, 1)
    (last.path / "draft.txt").write_text("")
    (repository / ".git" / "worktrees" / last.path.name / "commondir").write_text("")
    with pytest.raises(subprocess.CalledProcessError):
        sh(repository, "worktree", "list")

    assert_sound(repository, worktrees.open(replace(MAJOR, id="2"), OTHER_CLAIM, 1))
    assert worktrees.open(MAJOR, CLAIM, 2, last) == last
    assert (last.path / "draft.txt").exists()


def test_an_empty_commondir_of_a_stranger_is_left_and_named(repository: Path, worktrees: GitWorktree) -> None:
    sh(repository, "worktree", "add", "-q", "--detach", str(repository.parent / "theirs"))
    (repository / ".git" / "worktrees" / "theirs" / "commondir").write_text("")

    with pytest.raises(GitFailed, match="theirs/commondir"):
        worktrees.open(MAJOR, CLAIM, 1)
    assert (repository / ".git" / "worktrees" / "theirs" / "commondir").read_text() == ""


STRACED = """#!/bin/sh
# git, killed once at the n-th system call that changes a file, in the chosen command (and what it starts, with -f)
case " $* " in *" {command} "*)
    if mkdir {once} 2>/dev/null; then
        exec strace {follow} -o {trace} -e trace={calls} -e inject={calls}:signal=SIGKILL:when={nth} {git} "$@"
    fi ;;
esac
exec {git} "$@"
"""
CALLS = "mkdir,mkdirat,write,link,rename,renameat2,unlink,unlinkat"


def _kill_git(directory: Path, command: str, nth: int, follow: str) -> Path:
    """Make a git that dies once, at the n-th change of a command; return where that is noted."""
    shutil.rmtree(directory / "once", ignore_errors=True)
    directory.mkdir(exist_ok=True)
    trace, program = directory / "trace", directory / "git"
    once = directory / "once"
    program.write_text(
        STRACED.format(command=command, once=once, follow=follow, nth=nth, git=GIT, trace=trace, calls=CALLS)
    )
    program.chmod(0o755)
    return trace


def _can_trace() -> bool:
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode == 0


@pytest.mark.skipif(not _can_trace(), reason="strace is missing or may not trace: git is not killed half-way")
@pytest.mark.parametrize(
    ("command", "follow", "at_least"),
    [("worktree add", "", 6), ("worktree add", "-f", 8), ("update-ref -m", "", 3), ("symbolic-ref -m", "", 2)],
)
def test_git_killed_at_any_change_of_a_file_leaves_a_repository_that_works(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, follow: str, at_least: int
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    worktrees, nth, killed = GitWorktree(repository), 0, True
    while killed:
        nth += 1
        trace = _kill_git(tmp_path / "bin", command, nth, follow)

        workspace = worktrees.open(MAJOR, f"{nth:08}-claim", 1)

        killed = "SIGKILL" in trace.read_text()
        assert_sound(repository, workspace)
        assert [path.name for path in (repository / ".git" / "worktrees").iterdir()] == [workspace.path.name]
        assert command == "worktree add" or workspace.path.name.endswith("-a1"), "only the branch was to be made again"
        assert worktrees.close(workspace) == []
    assert nth > at_least


START = """
import sys
from pathlib import Path
from components.git_worktree import GitWorktree
from components.model import Task
from components.states import Complexity
worktrees = GitWorktree(Path(sys.argv[1]))
print("ready", flush=True)
worktrees.open(Task("1", "", complexity=Complexity.MAJOR), sys.argv[2], 1)
"""


def test_a_runner_killed_while_it_opens_finds_its_worktree_at_the_next_start(repository: Path) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    for number in range(8):
        claim = f"{number:08}-claim"
        words = [sys.executable, "-c", START, str(repository), claim]
        with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT) as runner:
            assert runner.stdout is not None
            assert runner.stdout.readline() == b"ready\n"
            with contextlib.suppress(subprocess.TimeoutExpired):
                runner.wait(chance.uniform(0.0, 0.15))
            runner.kill()

        workspace = GitWorktree(repository).open(MAJOR, claim, 1)

        assert_sound(repository, workspace)
        entries = [entry.name for entry in (repository / ".git" / "worktrees").iterdir()]
        assert entries == [workspace.path.name], f"seed {seed}"
        assert GitWorktree(repository).close(workspace) == []
