"""Branches, commits and changes in a real checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from components import git, git_operations
from components.errors import GitFailed, NothingToCommit, UnsafeName
from components.git_operations import Author
from tests.runner import git as sh
from tests.runner import make_repository


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


def test_a_branch_is_made_at_a_commit_and_checked_out(top: Path) -> None:
    first = git.head_commit(top)
    sh(top, "commit", "-q", "--allow-empty", "-m", "Second")

    assert git_operations.create_branch(top, "feature/a", start=first) == first
    assert git.current_branch(top) == "feature/a"
    assert git_operations.create_branch(top, "b", start="main", switch=False) == sh(top, "rev-parse", "main")
    assert git.current_branch(top) == "feature/a"


@pytest.mark.parametrize("name", ["--orphan", "-b", "a b", "a..b", "HEAD", "refs/heads/x", "a\nb", "", "a.lock"])
def test_a_name_that_is_no_branch_never_reaches_git(top: Path, name: str) -> None:
    with pytest.raises(UnsafeName):
        git_operations.create_branch(top, name)


def test_a_branch_that_is_there_is_not_made_again(top: Path) -> None:
    git_operations.create_branch(top, "a")

    for taken in ("a", "a/b"):
        with pytest.raises(GitFailed, match="is there"):
            git_operations.create_branch(top, taken)


def test_all_changes_are_staged_and_committed_with_author_and_message(top: Path) -> None:
    (top / "README").unlink()
    (top / "new").write_text("new\n")
    message = '--amend\n\n$(touch owned) "quoted"\n# not a comment\n'

    staged = git_operations.stage_all(top)
    made = git_operations.commit(top, message, author=Author("-c Somebody", "some@example.org"))

    assert staged == 2
    assert made.subject == "--amend"
    assert (
        sh(top, "log", "-1", "--format=%an <%ae> %cn%n%B")
        == f"-c Somebody <some@example.org> -c Somebody\n{message}".strip()
    )
    assert git.status(top) == []
    assert not (top / "owned").exists()


def test_a_commit_of_nothing_says_so(top: Path) -> None:
    with pytest.raises(NothingToCommit, match="nothing is staged"):
        git_operations.commit(top, "Nothing")


@pytest.mark.parametrize(("name", "email"), [("a\nb", "a@b"), ("a", "x> <y"), ("", "a@b"), ("a", " ")])
def test_an_author_that_would_break_the_commit_is_refused(top: Path, name: str, email: str) -> None:
    (top / "new").write_text("new\n")
    git_operations.stage_all(top)

    with pytest.raises(GitFailed, match="author's"):
        git_operations.commit(top, "Work", author=Author(name, email))


def test_hooks_of_the_repository_do_not_run_at_a_commit(top: Path) -> None:
    hook = top / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch hooked\nexit 1\n")
    hook.chmod(0o755)
    (top / "new").write_text("new\n")
    git_operations.stage_all(top)

    git_operations.commit(top, "Work")

    assert not (top / "hooked").exists()


def test_a_change_is_shown_with_new_files_and_leaves_the_index_as_it_was(top: Path) -> None:
    (top / "new").write_text("new line\n")
    (top / "README").write_text("changed\n")
    before = (top / ".git" / "index").read_bytes()

    change = git_operations.diff(top)

    assert "+new line" in change.text
    assert "+changed" in change.text
    assert (change.stat.files, change.is_cut) == (2, False)
    assert (top / ".git" / "index").read_bytes() == before
    assert sh(top, "status", "--porcelain").split("\n") == ["M README", "?? new"]


def test_a_large_change_is_cut_and_says_so(top: Path) -> None:
    (top / "new").write_text("a line of text\n" * 200_000)

    change = git_operations.diff(top)

    assert change.is_cut
    assert len(change.text) == git_operations.PATCH_BYTES
    assert change.stat.insertions == 200_000


@pytest.mark.parametrize("revision", ["--output=owned", "HEAD~1; x", "@{u}"])
def test_what_is_no_revision_never_reaches_git(top: Path, revision: str) -> None:
    with pytest.raises(UnsafeName):
        git_operations.diff(top, revision)
