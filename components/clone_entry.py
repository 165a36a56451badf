"""A clone of ours: its mark, what would be lost with it, how it is kept as a bundle, how it is removed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from components import branch_names, clone_mark, durable, faults, git, git_command, shelf, snapshot, unsaved_work
from components.clone_mark import Mark
from components.errors import GitFailed, UnsavedWork
from components.model import Workspace
from components.worktree_entry import WorktreeEntry

CLOSING, REMOVED = ".closing-", ".removed-"
STASHES = "refs/agent-runner-stash/"
NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
TASK_OF_A_CLONE = "clone"
BUNDLES = "bundles"
WORKTREES = ".worktrees"


@dataclass(frozen=True, slots=True)
class CloneEntry(WorktreeEntry):
    """A clone's checkout, looked upon as what it is to its repository: the main one."""

    @classmethod
    def at(cls, path: Path) -> CloneEntry:
        """Return the clone of a directory."""
        return cls(path / ".git", path)

    @property
    def entry(self) -> Path:
        """The git directory of the checkout is that of the repository."""
        return self.common


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock under which a clone is made, brought up to date, and removed."""
    with durable.locked(path.with_name(f".{path.name}.lock")):
        yield


def put_back(path: Path) -> None:
    """Undo a removal that was not decided yet, and finish one that was."""
    closing, removed = path.with_name(CLOSING + path.name), path.with_name(REMOVED + path.name)
    if removed.exists():
        shutil.rmtree(removed)
    if closing.exists() and not os.path.lexists(path):
        closing.rename(path)


def unsaved(path: Path) -> list[str]:
    """Return in words what removing a clone would lose; what git cannot tell counts as a loss."""
    clone = CloneEntry.at(path)
    if clone_mark.of(path) is None:
        return [f"{path} does not carry our mark in {clone.common}"]
    with suppress(OSError):
        (path / WORKTREES).rmdir()  # where worktrees were; empty it is nobody's work, and git would tell of it
    return [*unsaved_work.all_of(clone), *_in_refs(path), *_worktrees(clone)]


def bundle(path: Path, home: Path) -> Path | None:
    """Keep all that a clone has and its remote has not in `<home>/bundles`, and return the file; None for nothing.

    What is not committed is made a snapshot first, and each stash gets a ref. Of a clone that is not shallow the
    bundle holds everything and can be cloned; else it is fetched from in a clone of the same remote. Repeating it
    makes the same file. Raises GitFailed.
    """
    clone = CloneEntry.at(path)
    mark = clone_mark.of(path) or Mark("")
    claim = mark.claim or "shared"
    workspace = Workspace(path, path, git.current_branch(path), git.head_commit(path))
    snapshot.take(
        workspace, TASK_OF_A_CLONE, claim, why="before the clone is removed", thorough=True, with_ignored=True
    )
    _name_stashes(path)
    refs = git_command.run(path, "for-each-ref", "--format=%(objectname) %(refname)").stdout + _head(path)
    only_new = ("--not", "--remotes") if (clone.common / "shallow").exists() else ()
    is_new = git_command.answer(path, "rev-list", "--max-count=1", "--all", "HEAD", "--not", "--remotes")
    if not is_new:
        return None
    folder = durable.make_directory(home / BUNDLES)
    file = folder / f"{path.name}-{hashlib.sha256(refs).hexdigest()[:12]}.bundle"
    half = file.with_name(file.name + ".tmp")
    git_command.run(path, "bundle", "create", "--quiet", str(half), "--all", "HEAD", *only_new)
    git_command.run(path, "bundle", "verify", "--quiet", str(half))
    durable.sync_filesystem(half)
    half.rename(file)
    durable.sync_directory(folder)
    return file


def remove(path: Path, *, is_kept: bool = False) -> None:
    """Remove a clone when nothing would be lost, or when it was kept as a bundle (`is_kept`). Raises UnsavedWork.

    It may be killed at any instant and called again: the directory is moved aside, looked at where nobody writes by
    its name, moved to the name of what is decided, and deleted. One that is gone is no error.
    """
    put_back(path)
    if not os.path.lexists(path):
        return
    _require_ours(path)
    if reasons := _worktrees(CloneEntry.at(path)) if is_kept else unsaved(path):
        raise UnsavedWork(f"{path} is kept: {'; '.join(reasons)}")
    closing, removed = path.with_name(CLOSING + path.name), path.with_name(REMOVED + path.name)
    faults.reach("clone.looked")
    path.rename(closing)
    faults.reach("clone.aside")
    if reasons := [] if is_kept else unsaved(closing):
        put_back(path)
        raise UnsavedWork(f"{path} is kept: {'; '.join(reasons)}")
    closing.rename(removed)
    durable.sync_directory(path.parent)
    faults.reach("clone.decided")
    shutil.rmtree(removed)


def _require_ours(path: Path) -> None:
    if not NAME.fullmatch(path.name) or clone_mark.of(path) is None:
        raise UnsavedWork(f"{path} is no clone of ours: look at it, and delete it by hand")


def _in_refs(path: Path) -> list[str]:
    """Return what is committed, but at no remote."""
    try:
        count = git_command.answer(path, "rev-list", "--count", "--branches", "--tags", "HEAD", "--not", "--remotes")
        stashes = git_command.answer(path, "stash", "list", "--format=%h").split()
        snapshots = [one for one in shelf.all_of(path) if not _is_at_remote(path, one.commit)]
    except GitFailed as error:
        return [str(error)]
    found = ((int(count), "commit that is not pushed", "commits that are not pushed"),)
    found += (
        (len(stashes), "stash", "stashes"),
        (len(snapshots), "snapshot of unsaved work", "snapshots of unsaved work"),
    )  # type: ignore[assignment]
    return [f"{number} {one if number == 1 else many}" for number, one, many in found if number]


def _is_at_remote(path: Path, commit: str) -> bool:
    return not git_command.answer(path, "rev-list", "--max-count=1", commit, "--not", "--remotes")


def _worktrees(clone: CloneEntry) -> list[str]:
    """Return the worktrees that live on this clone's git directory."""
    folder = clone.common / "worktrees"
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return [f"it has the worktree {name}; remove that first" for name in names]


def _name_stashes(path: Path) -> None:
    """Give every stash a ref: a bundle takes only the newest one along."""
    for number, commit in enumerate(git_command.answer(path, "stash", "list", "--format=%H").split()):
        if branch_names.COMMIT.fullmatch(commit):
            git_command.run(path, "update-ref", f"{STASHES}{number}", commit)


def _head(path: Path) -> bytes:
    return f"{git.head_commit(path)} HEAD\n".encode()
