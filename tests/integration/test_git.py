"""Git's answers, from real repositories."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from components import durable, git, git_command
from components.errors import GitFailed, NotARepository, UnsafeName


def sh(directory: Path, *words: str) -> str:
    """Run git as a person would, and return what it printed."""
    return subprocess.run(["git", *words], cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "repository"
    top.mkdir()
    sh(top, "init", "-q", "-b", "main")
    (top / "a.txt").write_text("one\n")
    (top / ".gitignore").write_text("*.log\n")
    sh(top, "add", ".")
    sh(top, "commit", "-q", "-m", "First")
    return top


def test_a_subdirectory_leads_to_the_top_of_the_checkout(repository: Path) -> None:
    (repository / "deep" / "down").mkdir(parents=True)

    assert git.require_repository(repository / "deep" / "down") == repository
    assert git.git_directory(repository) == repository / ".git"


def test_a_linked_worktree_is_a_checkout_of_its_own_with_the_git_directory_of_the_first(repository: Path) -> None:
    linked = repository.parent / "linked"
    sh(repository, "worktree", "add", "-q", "-b", "other", str(linked))

    assert git.require_repository(linked) == linked
    assert git.git_directory(linked) == repository / ".git"


def test_each_place_that_is_no_checkout_is_refused_with_what_to_do(repository: Path, tmp_path: Path) -> None:
    plain, empty, bare = tmp_path / "plain", tmp_path / "empty", tmp_path / "bare"
    for directory in (plain, empty, bare):
        directory.mkdir()
    sh(empty, "init", "-q")
    sh(bare, "init", "-q", "--bare")

    for path, remedy in (
        (tmp_path / "absent", "--repo"),
        (plain, "git init, git add FILES"),
        (repository / "a.txt", "is a file"),
        (empty, "git commit"),
        (bare, "git clone"),
        (repository / ".git", "git clone"),
    ):
        with pytest.raises(NotARepository, match=remedy):
            git.require_repository(path)


def test_the_branch_is_empty_when_head_is_detached(repository: Path) -> None:
    assert git.current_branch(repository) == "main"

    sh(repository, "checkout", "-q", "--detach")

    assert git.current_branch(repository) == ""
    assert git.head_commit(repository) == sh(repository, "rev-parse", "main")


def test_the_default_branch_is_what_origin_says_else_main_else_master(repository: Path, tmp_path: Path) -> None:
    assert git.default_branch(repository) == "main"

    sh(repository, "branch", "-m", "main", "master")
    assert git.default_branch(repository) == "master"

    sh(repository, "branch", "-m", "master", "trunk")
    sh(repository, "clone", "-q", str(repository), str(tmp_path / "clone"))
    sh(tmp_path / "clone", "checkout", "-q", "-b", "main")
    assert git.default_branch(tmp_path / "clone") == "trunk"


def test_branches_of_remotes_are_known_by_their_own_name(repository: Path, tmp_path: Path) -> None:
    sh(repository, "branch", "feature/far")
    sh(repository, "clone", "-q", str(repository), str(tmp_path / "clone"))

    known = git.branches(tmp_path / "clone")

    assert known["feature/far"] == known["main"] == git.head_commit(repository)
    assert not git.branch_exists(tmp_path / "clone", "feature/far")
    assert git.branch_exists(tmp_path / "clone", "main")


@pytest.mark.parametrize("name", ["--upload-pack=touch pwned", "a..b", "x.lock", "@{-1}", "-x", "x" * 10_000, ""])
def test_a_hostile_branch_is_answered_without_asking_git(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert not git.is_valid_branch(name)
    assert not git.branch_exists(tmp_path, name)


def test_a_valid_branch_is_one_for_git_too() -> None:
    assert git.is_valid_branch("feature/task-1")


def test_status_tells_changed_untracked_and_ignored_with_any_name(repository: Path) -> None:
    sh(repository, "config", "status.showUntrackedFiles", "no")
    (repository / "a.txt").write_text("two\n")
    (repository / "with space\nand line").write_text("")
    (repository / "x.log").write_text("")

    entries = git.status(repository, ignored=True)

    assert set(entries) == {
        git.Entry(" M", "a.txt"),
        git.Entry(git.UNTRACKED, "with space\nand line"),
        git.Entry(git.IGNORED, "x.log"),
    }
    assert git.Entry(git.IGNORED, "x.log") not in git.status(repository)


def test_commits_and_the_size_of_the_change_since_a_base(repository: Path) -> None:
    base = git.head_commit(repository)
    (repository / "a.txt").write_text("one\ntwo\n")
    (repository / "image").write_bytes(b"\0\1\2")
    sh(repository, "add", ".")
    sh(repository, "commit", "-q", "-m", "Second: with a line\n\nand a body")
    (repository / "a.txt").write_text("three\n")

    assert [commit.subject for commit in git.commits_between(repository, base)] == ["Second: with a line"]
    assert git.commits_between(repository, base)[0].id == git.head_commit(repository)
    assert git.commits_between(repository, base, base) == []
    assert git.diff_stat(repository, base) == git.DiffStat(files=2, insertions=1, deletions=0)
    assert git.diff_stat(repository, base, None) == git.DiffStat(files=2, insertions=1, deletions=1)


def test_a_revision_that_could_be_an_option_is_refused_by_name(repository: Path) -> None:
    for revision in ("--output=pwned", "main..x", ""):
        with pytest.raises(UnsafeName, match="revision"):
            git.commits_between(repository, revision)


def test_an_operation_half_way_is_told(repository: Path) -> None:
    assert git.operation_in_progress(repository) == ""

    (repository / ".git" / "MERGE_HEAD").write_text(git.head_commit(repository))

    assert git.operation_in_progress(repository) == "merge"


def test_a_failure_quotes_git_and_says_what_to_do(repository: Path) -> None:
    (repository / ".git" / "refs" / "heads" / "x.lock").touch()

    with pytest.raises(GitFailed, match=r"update-ref.*x\.lock.*remove the lock file"):
        git_command.run(repository, "update-ref", "refs/heads/x", "HEAD")


def test_a_machine_without_git_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(GitFailed, match="apt-get install git"):
        git_command.run(tmp_path, "status")


def test_a_directory_without_a_repository_is_not_taken_for_the_one_around_it(repository: Path) -> None:
    (repository / "inside").mkdir()

    with pytest.raises(GitFailed, match="not a git repository"):
        git.head_commit(repository / "inside")


def test_a_planted_fsmonitor_or_hook_does_not_run_and_no_secret_reaches_git(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, seen = tmp_path / "program", tmp_path / "seen"
    program.write_text(f"#!/bin/sh\nenv >> {seen}\ncat\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("API_KEY", "sesame")
    sh(repository, "config", "core.fsmonitor", str(program))
    git.status(repository)
    assert not seen.exists()

    sh(repository, "config", "filter.planted.clean", str(program))
    (repository / ".gitattributes").write_text("a.txt filter=planted\n")
    (repository / "a.txt").write_text("two\n")
    git.status(repository)

    assert seen.exists(), "filters are the repository's own business, so this is how their environment is seen"
    assert "sesame" not in seen.read_text()


def test_a_caller_in_a_hook_of_another_repository_is_not_led_there(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    sh(tmp_path, "init", "-q", str(other))
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))

    assert git.require_repository(repository) == repository
    assert git.current_branch(repository) == "main"


def test_the_lock_excludes_another_runner_and_is_inherited_by_git(repository: Path) -> None:
    with git_command.locked(repository / ".git") as lock:
        assert durable.try_lock(repository / ".git" / "agent-runner.lock") is None
        shown = git_command.run(
            repository, "-c", f"alias.held=!readlink /proc/self/fd/{lock}", "held", lock=lock
        ).stdout.decode()
        assert shown.strip().endswith("agent-runner.lock")

    again = durable.try_lock(repository / ".git" / "agent-runner.lock")
    assert again is not None
    os.close(again)
