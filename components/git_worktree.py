"""The workspace of a task: a git worktree of its own for a major one, the main checkout for a minor one."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

from components import branch_names, durable, git, git_command, home_branch, unsaved_work, worktree_entry
from components.errors import ConfigError, GitFailed
from components.model import Task, Workspace
from components.states import Complexity
from components.worktree_entry import LOCK_AGE, Marker, WorktreeEntry, remove_lock
from components.worktree_opening import Opening

logger = logging.getLogger(__name__)

BASE = Path(".worktrees")


class GitWorktree:
    """A workspace for the length of a task; it never destroys unsaved work.

    Each method may be killed at any instant and called again. `repository` is any directory of a checkout; `base` is
    where worktrees go (relative: to the top of the repository) and is made only when a major task needs it.
    Raises NotARepository or ConfigError.
    """

    def __init__(self, repository: Path, base: Path | None = None) -> None:
        self.repository = git.require_repository(repository)
        self._common = git.git_directory(self.repository)
        self._given = Path(os.path.normpath(self.repository / (base or BASE)))
        self._base = self._given.resolve()
        if self._base == self.repository or self._base.is_relative_to(self._common):
            raise ConfigError(
                f"worktree base {str(self._given)!r} lies on the repository itself. Name another directory."
            )

    @property
    def places(self) -> list[Path]:
        """The directories that are written in when a workspace is opened; the second is made when it is needed."""
        return [self._common, self._base]

    def open(self, task: Task, claim: str, attempt: int, last: Workspace | None = None) -> Workspace:
        """Return where this attempt works; `last` is what the journal has of the claim, and is never made anew.

        Raises UnsafeName for an id that may not reach a path, before git is asked anything, and GitFailed when no
        worktree can be made: a major task never gets the main checkout instead.
        """
        branch_names.check_identifier("task id", task.id)
        branch_names.check_identifier("claim", claim)
        if task.complexity is not Complexity.MAJOR:
            return self._main_checkout(task, last)
        try:
            with git_command.locked(self._common) as lock:
                worktree_entry.repair(self.repository, self._common)
                self._make_base()
                attempted = Opening(self.repository, self._common, self._base, lock, task, claim, attempt)
                return attempted.kept(last) or attempted.adopted() or attempted.made(last)
        except OSError as error:
            raise GitFailed(
                f"no worktree for task {task.id} in {self._base}: {error}. Correct it and try again."
            ) from error

    def foreseen(self, task: Task, claim: str, attempt: int) -> Workspace:
        """Return the worktree that `open` would make first for an attempt, without making it. Raises as `open`."""
        branch_names.check_identifier("task id", task.id)
        return Opening(self.repository, self._common, self._base, -1, task, claim, attempt).foreseen()

    def hand_over(self, workspace: Workspace, task: Task, claim: str) -> Workspace | None:
        """Give the worktree of a claim that is over to another one; one that was removed is made again from its branch.

        None where something else is in its place. The caller knows that nobody works in it. Raises GitFailed.
        """
        if not workspace.is_worktree:
            return workspace
        worktree = WorktreeEntry(self._common, workspace.path)
        with git_command.locked(self._common) as lock:
            worktree_entry.repair(self.repository, self._common)
            worktree.put_back()
            marker = worktree.marker()
            if marker is None or not worktree.is_connected():
                self._make_base()
                opening = Opening(self.repository, self._common, self._base, lock, task, claim, 1)
                return opening.made_again(workspace)
            worktree.mark(replace(marker, task=task.id, claim=claim))
        return workspace

    def unsaved(self, workspace: Workspace) -> list[str]:
        """Return in words what removing the workspace would lose; [] for the main checkout, which stays."""
        if not workspace.is_worktree:
            return []
        worktree = WorktreeEntry(self._common, workspace.path)
        if not worktree.entry.is_dir() and not os.path.lexists(worktree.path):
            return []
        return self._not_ours(worktree) or unsaved_work.all_of(worktree)

    def close(self, workspace: Workspace, *, is_kept: bool = False) -> list[str]:
        """Remove the worktree when nothing would be lost and return []; otherwise leave all of it and return why.

        `is_kept` says that what is unsaved was kept elsewhere, and may go. The branch stays, and the main checkout is
        never touched.
        """
        if not workspace.is_worktree:
            return []
        worktree = WorktreeEntry(self._common, workspace.path)
        try:
            with git_command.locked(self._common) as lock:
                reasons = self._removed(worktree, lock, is_kept)
        except (GitFailed, OSError) as error:
            reasons = [str(error)]
        return reasons

    def make_base(self) -> Path:
        """Make the place for worktrees and return it: for what a person wants to have there."""
        try:
            with git_command.locked(self._common):
                self._make_base()
        except OSError as error:
            raise GitFailed(
                f"the worktree base {self._base} cannot be made: {error}. Name another directory."
            ) from error
        return self._base

    def _main_checkout(self, task: Task, last: Workspace | None) -> Workspace:
        if last is not None and not last.is_worktree and last.path == self.repository and last.base_commit:
            is_named = last.branch and last.branch == task.branch
            return last if is_named else replace(last, branch=git.current_branch(self.repository))
        branch, start = home_branch.wanted(self.repository, task)
        return Workspace(self.repository, self.repository, branch, start)

    def _make_base(self) -> None:
        """Make the directory for worktrees, unseen by `git status`. It must still be where it was at the start."""
        for path in {self._given, self._base}:
            if path.is_relative_to(self.repository):
                self._exclude(path.relative_to(self.repository))
        if self._base.resolve() != self._base:
            raise GitFailed(f"the worktree base {self._base} has become a link to elsewhere. Remove the link.")
        durable.make_directory(self._base)

    def _exclude(self, path: Path) -> None:
        """Keep a path of the repository out of git by info/exclude, which is nobody's file to commit."""
        pattern = "/" + "".join(f"\\{char}" if char in "\\*?[ " else char for char in path.as_posix())
        file = self._common / "info" / "exclude"
        file.parent.mkdir(exist_ok=True)
        lines = os.fsdecode(file.read_bytes()).split("\n") if file.exists() else [""]
        if pattern not in lines:
            with file.open("ab") as exclude:
                exclude.write(os.fsencode(("\n" if lines[-1] else "") + pattern + "\n"))

    def _not_ours(self, worktree: WorktreeEntry) -> list[str]:
        """Return why a directory may not be looked upon as a worktree that we made."""
        path = worktree.path
        if not self._is_named_by_us(path):
            return [f"{path} is not one of our directories in {self._base}"]
        if worktree.marker() is None:
            return [f"{path} does not carry our mark in {worktree.entry}"]
        if os.path.lexists(path) and not worktree.is_connected():
            return [f"{path} was replaced, or its .git does not lead to {worktree.entry} any more"]
        return []

    def _is_named_by_us(self, path: Path) -> bool:
        """Is this path a direct child of the base, of our form, and the base still where it was at the start?"""
        in_base = path.parent == self._base and self._base.resolve() == self._base
        return in_base and branch_names.is_worktree_name(path.name)

    def _removed(self, worktree: WorktreeEntry, lock: int, is_kept: bool) -> list[str]:
        """Remove a worktree: aside, looked at again where nobody writes, forgotten by git, deleted. In this order.

        Whatever is found aside without an entry is the rest of a removal that was decided: it is deleted.
        """
        worktree.put_back()
        if worktree.entry.is_dir():
            if reasons := self._not_ours(worktree) or ([] if is_kept else unsaved_work.all_of(worktree)):
                return reasons
            marker = worktree.marker()
            if reasons := self._set_aside(worktree, lock, is_kept):
                return reasons
            if marker is not None:
                self._drop_empty_branch(marker, lock)
        elif os.path.lexists(worktree.path):
            return [f"git does not know {worktree.path} as a worktree any more: look at it, and delete it by hand"]
        if worktree.aside.exists() and self._is_named_by_us(worktree.path):
            shutil.rmtree(worktree.aside)
        return []

    def _drop_empty_branch(self, marker: Marker, lock: int) -> None:
        """Delete a branch that we made and on which nothing was committed: that of a QA's worktree, for instance.

        One that git does not let go of now is left: it takes no room, and holds no work.
        """
        packed, branch = self._common / "packed-refs.lock", self._common / "refs" / "heads" / f"{marker.branch}.lock"
        words = ("update-ref", "-d", f"refs/heads/{marker.branch}", marker.base_commit)
        try:
            if marker.ready and git.branches(self.repository).get(marker.branch) == marker.base_commit:
                remove_lock(packed, LOCK_AGE)
                remove_lock(branch, LOCK_AGE)
                git_command.run(self.repository, *words, lock=lock)
        except (GitFailed, OSError) as error:
            logger.warning("the empty branch %s is left: %s", marker.branch, error)

    def _set_aside(self, worktree: WorktreeEntry, lock: int, is_kept: bool) -> list[str]:
        there = worktree.path.exists()
        if there:
            worktree.path.rename(worktree.aside)
        try:
            reasons = unsaved_work.hidden_in(worktree.aside, worktree.entry) if there and not is_kept else []
            if not reasons:
                force = ("--force", "--force") if is_kept else ()  # twice: also one that is locked
                git_command.run(self.repository, "worktree", "remove", *force, "--", str(worktree.path), lock=lock)
        except GitFailed as error:
            reasons = [str(error)]
        if reasons:
            worktree.put_back()
        return reasons
