"""A worktree beside its entry in the repository: what git, a crash or an agent has left of either."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from components import branch_names, durable, git, git_command
from components.errors import GitFailed

LOCK_AGE = 60.0
"""Seconds after which a lock file on a branch that only we would make belongs to no living git."""

COMMON = b"../..\n"
REMOVED = ".removed-"
REBUILT = ".rebuilt-"


@dataclass(frozen=True, slots=True)
class Marker:
    """Our mark on a worktree. Until it is `ready` no agent has ever been in there, and it may be made again."""

    task: str
    claim: str
    attempt: int
    branch: str
    base_commit: str
    ready: bool = False


@dataclass(frozen=True, slots=True)
class WorktreeEntry:
    """A worktree by its path, whether or not it exists; `common` is the git directory of the repository.

    The directory names that we take are free in both places, so the entry always has the name of the directory.
    """

    common: Path
    path: Path

    @property
    def entry(self) -> Path:
        """The git directory of this worktree: HEAD, index, logs, and our marker."""
        return self.common / "worktrees" / self.path.name

    @property
    def aside(self) -> Path:
        """Where the directory is moved before it is deleted, so that what is left of it can never pass for work."""
        return self.path.with_name(REMOVED + self.path.name)

    def is_free(self) -> bool:
        """Is the name unused in both places?"""
        return not any(os.path.lexists(path) for path in (self.path, self.entry, self.aside))

    def is_connected(self) -> bool:
        """Is the directory itself there (no link in its place) and does its `.git` name this entry?"""
        link = self.path / ".git"
        if self.path.is_symlink() or link.is_symlink() or not link.is_file() or not self.entry.is_dir():
            return False
        target = link.read_bytes()[:4096].strip().removeprefix(b"gitdir: ")
        return (self.path / os.fsdecode(target)).resolve() == self.entry.resolve()

    def marker(self) -> Marker | None:
        """Return our mark, or None where there is none that can be read."""
        try:
            fields = json.loads((self.entry / "agent-runner.json").read_bytes())
            return Marker(**fields)
        except (OSError, ValueError, TypeError):
            return None

    def mark(self, marker: Marker) -> None:
        """Put our mark on the entry, durably. It lies outside of the files, so it never shows in a status."""
        durable.write(self.entry / "agent-runner.json", json.dumps(asdict(marker), indent=1).encode())

    def sync(self) -> None:
        """Make durable what git has written without a sync: files, entry, branch. A power cut would empty them."""
        durable.sync_filesystem(self.entry)
        durable.sync_filesystem(self.path)

    def clear_locks(self, older_than: float = 0.0) -> None:
        """Remove the lock files of a git that was killed in this worktree: those at least so many seconds old."""
        for name in ("HEAD.lock", "index.lock"):
            remove_lock(self.entry / name, older_than)

    def put_back(self) -> None:
        """Undo the first half of a removal that was interrupted."""
        if self.entry.is_dir() and self.aside.is_dir() and not os.path.lexists(self.path):
            self.aside.rename(self.path)

    def connect(self, entry: Path | None = None) -> None:
        """Write the `.git` of a directory that has none: without it git would work on the repository around it."""
        durable.write(self.path / ".git", b"gitdir: " + os.fsencode(entry or self.entry) + b"\n")

    def rebuild(self, lock: int) -> None:
        """Make a directory that somebody deleted again from its entry: same path, same HEAD, staged changes too."""
        half = self.path.with_name(REBUILT + self.path.name)
        if half.exists():
            shutil.rmtree(half)
        half.mkdir(mode=durable.DIRECTORY_MODE)
        env = {"GIT_DIR": str(self.entry), "GIT_WORK_TREE": str(half)}
        git_command.run(half, "checkout-index", "--all", "--force", "--quiet", env=env, lock=lock)
        replace(self, path=half).connect(self.entry)
        half.rename(self.path)

    def discard(self, repository: Path, lock: int) -> None:
        """Remove a worktree that was never ready, however little git has made of it. Raises GitFailed or OSError."""
        marker = self.marker()
        if (marker is not None and marker.ready) or self.path.is_symlink():
            raise GitFailed(f"{self.path} is not a worktree of ours without work. It was left alone.")
        for words in (("unlock",), ("remove", "--force", "--force")):
            with contextlib.suppress(GitFailed):
                git_command.run(repository, "worktree", *words, "--", str(self.path), lock=lock)
        for left in (self.path, self.entry):
            if left.is_dir():
                shutil.rmtree(left)


def all_marked(common: Path) -> list[tuple[WorktreeEntry, Marker]]:
    """Return the worktrees that carry our mark, whether or not their directories exist, by their paths."""
    found = []
    for entry in (common / "worktrees").glob("*/"):
        with contextlib.suppress(OSError):
            link = Path(os.fsdecode((entry / "gitdir").read_bytes().strip()))
            worktree = WorktreeEntry(common, (entry / link).parent)
            marker = worktree.marker()
            if marker is not None and worktree.entry == entry:
                found.append((worktree, marker))
    return sorted(found, key=lambda pair: pair[0].path)


def remove_lock(file: Path, older_than: float) -> None:
    """Remove a lock file that is at least so many seconds old."""
    with contextlib.suppress(FileNotFoundError):
        if time.time() - file.lstat().st_mtime >= older_than:
            file.unlink()


def repair(repository: Path, common: Path) -> None:
    """Make `git worktree` work again where a killed git has left an empty `commondir`: git dies of reading it.

    Only entries with names of ours are touched, under the repository's lock, and nothing is deleted.
    Raises GitFailed when that was not the trouble.
    """
    try:
        git.checked_out(repository)
    except GitFailed:
        for entry in _poisoned(common):
            durable.write(entry / "commondir", COMMON)
        git.checked_out(repository)


def _poisoned(common: Path) -> Iterator[Path]:
    for file in (common / "worktrees").glob("*-*/commondir"):
        if branch_names.is_worktree_name(file.parent.name) and not file.read_bytes().strip():
            yield file.parent
