"""The choice of the files that a snapshot holds: what is not in HEAD, one by one, within limits."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from components import git, unsaved_work
from components.errors import GitFailed
from components.git_command import printable

MOST_BYTES = 1 << 30
MOST_FILES = 50_000
IGNORED_BYTES = 100 << 20
IGNORED_FILES = 5_000
"""What git ignores is mostly made by builds; a snapshot is for the notes, settings and small data among it."""

UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(slots=True)
class Budget:
    """What there is room for. A file that does not fit leaves the room to smaller ones."""

    bytes: int
    files: int

    def takes(self, size: int) -> bool:
        """Is there room for a file? If so, it is taken."""
        if size > self.bytes or self.files <= 0:
            return False
        self.bytes -= size
        self.files -= 1
        return True


class UnsavedFiles:
    """Files by their paths from the top: `present` on the disk, `gone` from it, and in words what is `left_out`.

    `common` is the git directory of the repository: the worktrees that it has inside of this checkout are not files
    of this checkout. A repository inside gives its files, as plain files; its history is left out, which is said.
    """

    def __init__(self, top: Path, common: Path, *, ignored: bool, most_bytes: int = MOST_BYTES) -> None:
        self.present: list[str] = []
        self.gone: list[str] = []
        self.left_out: list[str] = []
        self._top = top
        self._worktrees = common.resolve() / "worktrees"
        self._with_ignored = ignored
        self._budget = Budget(most_bytes, MOST_FILES)
        self._ignored_budget = Budget(min(most_bytes, IGNORED_BYTES), IGNORED_FILES)
        self._listed: set[str] = set()
        self._over: list[int] = []

    def add(self, entries: Iterable[git.Entry]) -> None:
        """Choose from what `git status` tells: changed files first, then untracked, then ignored ones."""
        entries = sorted(entries, key=lambda entry: (entry.code == git.IGNORED, entry.code == git.UNTRACKED))
        self._listed.update(entry.path.rstrip("/") for entry in entries)
        for entry in entries:
            is_ignored = entry.code == git.IGNORED
            if not is_ignored or (self._with_ignored and not unsaved_work.is_junk(entry)):
                self._choose(entry, self._ignored_budget if is_ignored else self._budget)
                self._tell_over(entry.path)

    def add_all(self) -> None:
        """Choose every file that is there, for want of a list; names of junk are passed by."""
        self._walk("", self._budget, without_junk=True)
        self._tell_over("the rest")

    def __bool__(self) -> bool:
        return bool(self.present or self.gone)

    def _choose(self, entry: git.Entry, budget: Budget) -> None:
        if entry.path.endswith("/"):
            self._walk(entry.path, budget, without_junk=entry.code == git.IGNORED)
        elif self._is_gone(entry.path):
            self.gone.append(entry.path)
        elif not _is_directory(self._top / entry.path):
            self._file(entry.path, budget)
        elif os.path.lexists(self._top / entry.path / ".git"):
            self._walk(entry.path + "/", budget)
        elif "D" in entry.code:
            # `git status` is silent about what is in a directory that took the place of a file.
            self.gone.append(entry.path)
            self._walk(entry.path + "/", budget)

    def _walk(self, start: str, budget: Budget, *, without_junk: bool = False) -> None:
        pending = [start]
        while pending:
            directory = pending.pop()
            for name, is_directory in self._children(directory):
                path = directory + name
                if path in self._listed or (without_junk and unsaved_work.is_junk_name(name)):
                    continue
                if is_directory:
                    pending.append(path + "/")
                else:
                    self._file(path, budget)
            if len(self._over) > MOST_FILES:
                return

    def _children(self, directory: str) -> Iterator[tuple[str, bool]]:
        """Yield the names in a directory, each with whether it is a directory itself."""
        try:
            with os.scandir(self._top / directory) as found:
                children = sorted((child.name, child.is_dir(follow_symlinks=False)) for child in found)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self._leave_out(directory, f"cannot be read ({(error.strerror or str(error)).lower()})")
            return
        names = {name for name, _ in children}
        if directory and ".git" in names and not self._enter_repository(directory):
            return
        yield from (child for child in children if child[0] != ".git")

    def _enter_repository(self, directory: str) -> bool:
        """Note of a repository inside what is left out and what is junk; False for a worktree of this repository."""
        inside = self._top / directory
        if _git_directory(inside / ".git").parent == self._worktrees:
            return False
        try:
            tip = git.head_commit(inside)
            junk = (entry.path for entry in git.status(inside, ignored=True) if unsaved_work.is_junk(entry))
            self._listed.update(directory + path.rstrip("/") for path in junk)
        except GitFailed:
            tip = "no commit"
        self._leave_out(directory + ".git", f"the history of a repository inside, at {tip}; its files are here")
        return True

    def _file(self, path: str, budget: Budget) -> None:
        try:
            found = os.lstat(self._top / path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self._leave_out(path, f"cannot be read ({(error.strerror or str(error)).lower()})")
            return
        if stat.S_ISLNK(found.st_mode):
            self.present.append(path)
        elif not stat.S_ISREG(found.st_mode):
            self._leave_out(path, "neither a file nor a link")
        elif not os.access(self._top / path, os.R_OK, effective_ids=True):
            self._leave_out(path, "cannot be read (permission denied)")
        elif budget.takes(found.st_size):
            self.present.append(path)
        else:
            self._over.append(found.st_size)

    def _is_gone(self, path: str) -> bool:
        """Is there nothing at a path, also where one of the directories above has become a link?"""
        parent = self._top
        for part in path.split("/")[:-1]:
            parent /= part
            if not _is_directory(parent):
                return True
        return not os.path.lexists(self._top / path)

    def _tell_over(self, path: str) -> None:
        if self._over:
            files = "1 file" if len(self._over) == 1 else f"{len(self._over)} files"
            self._leave_out(path, f"{files}, {readable(sum(self._over))}, beyond the limits of a snapshot")
            self._over = []

    def _leave_out(self, path: str, why: str) -> None:
        self.left_out.append(f"{printable(path)}: {why}")


def readable(size: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in UNITS:
        if size < 1000 or unit == UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _git_directory(link: Path) -> Path:
    """Return where a `.git` leads: itself, or what is written in it."""
    try:
        target = os.fsdecode(link.read_bytes()[:4096].strip().removeprefix(b"gitdir: "))
        return (link.parent / target).resolve()
    except (OSError, ValueError):
        return link
