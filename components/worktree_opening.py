"""The opening of a worktree for one attempt: what is there is kept, what is half there is finished or made again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from components import branch_names, git, git_command, handoff
from components.errors import GitFailed
from components.model import Task, Workspace
from components.worktree_entry import LOCK_AGE, Marker, WorktreeEntry, remove_lock

logger = logging.getLogger(__name__)

TRIES = 3
ABSENT = ""


@dataclass(frozen=True, slots=True)
class Opening:
    """One call of `GitWorktree.open`, under the repository's lock (`lock` is its descriptor).

    The order of making: `worktree add` without a branch; our mark with the branch to be; the branch, atomically and
    only if there is none; HEAD on it; the mark says ready. A crash leaves a state that the next call can tell.
    """

    repository: Path
    common: Path
    base: Path
    lock: int
    task: Task
    claim: str
    attempt: int

    def kept(self, last: Workspace | None) -> Workspace | None:
        """Return the worktree that the journal knows, dirty or not; a deleted directory is made again in its place."""
        if last is None or not self._is_of_this_claim(last):
            return None
        worktree = WorktreeEntry(self.common, last.path)
        worktree.put_back()
        marker = worktree.marker()
        if marker is not None and not marker.ready:
            return self._finished(worktree, marker)
        if not os.path.lexists(worktree.path):
            return self._remade(worktree, last)
        if worktree.entry.is_dir() and worktree.path.is_dir() and not os.path.lexists(worktree.path / ".git"):
            worktree.connect()
        if not worktree.is_connected():
            logger.warning("worktree %s was replaced: it is left alone and another one is made", worktree.path)
            return None
        if marker is None:
            worktree.mark(self._marker(last.branch, last.base_commit, ready=True))
        worktree.clear_locks(LOCK_AGE)
        return last

    def made_again(self, last: Workspace) -> Workspace | None:
        """Return the worktree of a claim that is over, made again for this one at the same path, or None.

        It begins where its branch is; a branch that is gone had no commits of its own, and begins at its base again.
        """
        worktree = WorktreeEntry(self.common, last.path)
        is_ours = last.path.parent == self.base and branch_names.is_worktree_name(last.path.name)
        if not is_ours or os.path.lexists(last.path):
            return None
        if not worktree.entry.is_dir() and not git.branch_exists(self.repository, last.branch):
            return self._added(worktree, self._marker(last.branch, last.base_commit), last.base_commit)
        again = self._remade(worktree, last)
        if again is not None:
            worktree.mark(self._marker(again.branch, again.base_commit, ready=True))
        return again

    def adopted(self) -> Workspace | None:
        """Return the worktree of this attempt that a crash kept out of the journal; a half-made one is cleared away."""
        for number in range(1, branch_names.LAST_NUMBER + 1):
            worktree = self._worktree(branch_names.worktree_name(self.task.id, self.claim, self.attempt, number))
            if worktree.is_free():
                continue
            worktree.put_back()
            marker = worktree.marker()
            if marker is None:
                self._discard(worktree)
            elif marker.claim == self.claim and worktree.is_connected():
                return self._finished(worktree, marker)
        return None

    def made(self, last: Workspace | None) -> Workspace:
        """Make a worktree under the next name that is free; three tries, then GitFailed."""
        numbers = range(1, branch_names.LAST_NUMBER + 1)
        names = (branch_names.worktree_name(self.task.id, self.claim, self.attempt, number) for number in numbers)
        failure = "every name is in use"
        for worktree in islice((entry for entry in map(self._worktree, names) if entry.is_free()), TRIES):
            try:
                start = self._start(last)
                base = handoff.given(self.repository, self.task) or start
                return self._added(worktree, self._marker(self._free_branch(), base), start)
            except (GitFailed, OSError) as error:
                failure = str(error)
                logger.warning("worktree %s could not be made: %s", worktree.path, failure)
                self._discard(worktree)
        raise GitFailed(f"no worktree for task {self.task.id} after {TRIES} tries: {failure}")

    def foreseen(self) -> Workspace:
        """Return the worktree that would be made, without making it."""
        worktree = self._worktree(branch_names.worktree_name(self.task.id, self.claim, self.attempt))
        return self._workspace(worktree, self._marker(self._free_branch(), self._start(None)))

    def _finished(self, worktree: WorktreeEntry, marker: Marker) -> Workspace | None:
        """Return a worktree that carries our mark; one that is not ready is brought to it, or cleared away."""
        if marker.ready:
            return self._workspace(worktree, marker)
        try:
            return self._attached(worktree, marker)
        except GitFailed as error:
            logger.warning("worktree %s could not be finished: %s", worktree.path, error)
            self._discard(worktree)
            return None

    def _is_of_this_claim(self, last: Workspace) -> bool:
        """Is this a workspace that we made for this claim, here or in a base that was configured before?"""
        worktree = WorktreeEntry(self.common, last.path)
        if not last.is_worktree or not branch_names.is_worktree_name(last.path.name):
            return False
        if last.path.parent != self.base and not worktree.is_connected():
            return False
        marker = worktree.marker()
        if marker is None:
            return last.path.name.startswith(branch_names.worktree_prefix(self.task.id, self.claim))
        return (marker.task, marker.claim) == (self.task.id, self.claim)

    def _remade(self, worktree: WorktreeEntry, last: Workspace) -> Workspace | None:
        """Make a deleted directory again at the same path: an agent's conversation goes on only where it was."""
        if worktree.entry.is_dir():
            worktree.clear_locks()
            worktree.rebuild(self.lock)
            return last
        if not git.branch_exists(self.repository, last.branch):
            return None
        tip = git.branches(self.repository)[last.branch]
        free = last.branch not in git.checked_out(self.repository)
        branch = last.branch if free else self._free_branch()
        return self._added(worktree, self._marker(branch, last.base_commit or tip), tip)

    def _added(self, worktree: WorktreeEntry, marker: Marker, start: str) -> Workspace:
        words = ("worktree", "add", "--detach", "--", str(worktree.path), start)
        git_command.run(self.repository, *words, lock=self.lock)
        worktree.sync()
        worktree.mark(marker)
        return self._attached(worktree, marker)

    def _attached(self, worktree: WorktreeEntry, marker: Marker) -> Workspace:
        """Put a worktree in which nobody has worked yet on its branch, or on the next one that git lets us make."""
        names = iter((marker.branch, marker.branch, *islice(self._free_branches(), TRIES)))
        for name in names:
            if name != marker.branch:
                marker = replace(marker, branch=name)
                worktree.mark(marker)
            worktree.clear_locks()
            if self._is_on(worktree, name):
                worktree.sync()
                marker = replace(marker, ready=True)
                worktree.mark(marker)
                return self._workspace(worktree, marker)
        raise GitFailed(f"no branch could be made for {worktree.path}, the last tried was {marker.branch!r}")

    def _is_on(self, worktree: WorktreeEntry, branch: str) -> bool:
        """Make the branch unless it is there at this very commit, and check it out; False when git will not."""
        head = git.head_commit(worktree.path)
        if git.current_branch(worktree.path) == branch:
            return True
        existing = git.branches(self.repository).get(branch) if git.branch_exists(self.repository, branch) else None
        if existing not in (None, head) or branch in git.checked_out(self.repository):
            return False
        remove_lock(self.common / "refs" / "heads" / f"{branch}.lock", LOCK_AGE)
        ref, why = f"refs/heads/{branch}", f"agent-runner: task {self.task.id}"
        try:
            if existing is None:
                git_command.run(self.repository, "update-ref", "-m", why, ref, head, ABSENT, lock=self.lock)
            git_command.run(worktree.path, "symbolic-ref", "-m", why, "HEAD", ref, lock=self.lock)
        except GitFailed as error:
            logger.warning("branch %s could not be taken: %s", branch, error)
            return False
        return True

    def _start(self, last: Workspace | None) -> str:
        """Return the commit to begin at: what this claim has done, what was left before, the task's branch, HEAD."""
        known = git.branches(self.repository)
        ours = last.branch if last is not None and self._is_of_this_claim(last) else ""
        wanted = self.task.branch if branch_names.is_safe(self.task.branch) else ""
        left = known.get(ours) or handoff.find(self.repository, self.task)
        return left or known.get(wanted) or git.head_commit(self.repository)

    def _free_branches(self) -> Iterator[str]:
        """Yield branch names that nobody has, the task's own first if it may be used."""
        wanted = self.task.branch
        reserved = git.checked_out(self.repository) | {git.default_branch(self.repository)}
        if wanted in reserved or not git.is_valid_branch(wanted):
            wanted = branch_names.default_for(self.task.id)
        existing = git.branches(self.repository)
        for name in branch_names.candidates(wanted, self.task.id, self.claim):
            if not branch_names.is_taken(name, existing):
                yield name

    def _free_branch(self) -> str:
        for name in self._free_branches():
            return name
        raise GitFailed(f"every branch name for task {self.task.id} is in use. Delete old branches of it.")

    def _discard(self, worktree: WorktreeEntry) -> None:
        try:
            worktree.discard(self.repository, self.lock)
        except (GitFailed, OSError) as error:
            logger.warning("worktree %s could not be cleared away: %s", worktree.path, error)

    def _worktree(self, name: str) -> WorktreeEntry:
        return WorktreeEntry(self.common, self.base / name)

    def _marker(self, branch: str, base_commit: str, *, ready: bool = False) -> Marker:
        return Marker(self.task.id, self.claim, self.attempt, branch, base_commit, ready)

    def _workspace(self, worktree: WorktreeEntry, marker: Marker) -> Workspace:
        return Workspace(worktree.path, self.repository, marker.branch, marker.base_commit, is_worktree=True)
