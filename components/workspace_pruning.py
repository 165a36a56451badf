"""Says which workspaces of this machine nobody needs any more, and removes those."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components import git, pruning, workspace_use, worktree_entry
from components.errors import RunnerError
from components.execution import WorkspaceEntry
from components.states import WorkspaceKind, WorkspaceStatus
from components.workspaces import DAY, Removal, Workspaces, last_used, repository_of

ORDER = (WorkspaceKind.WORKTREE, WorkspaceKind.CLONE)
"""Worktrees go before the clones that they belong to. A checkout that is worked in, in place, is nobody's to remove."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A workspace that might go: `age` in seconds since it was used, `used_by` who is in it, `unsaved` what is in it.

    A workspace that is younger than asked is not looked into.
    """

    entry: WorkspaceEntry
    age: float
    is_old: bool
    used_by: str = ""
    unsaved: tuple[str, ...] = ()

    @property
    def goes(self) -> bool:
        """Is it old, and neither in use nor with anything that is not saved?"""
        return self.is_old and not self.used_by and not self.unsaved


def plan(home: Path, workspaces: Workspaces, host: str, days: float, repository: Path | None = None) -> list[Candidate]:
    """Return the workspaces of this machine, or of one repository, with what becomes of each; nothing is changed.

    Raises StateCorrupt while a journal cannot be read: its task may be in any of them.
    """
    held = set(pruning.in_hand(home))
    known = {one.path: one for one in workspaces.all() if one.host == host and one.kind in ORDER}
    if repository is not None:
        top = git.require_repository(repository)
        known |= {one.path: one for one in _marked(top, host) if one.path not in known}
        known = {path: one for path, one in known.items() if _is_of(one, top)}
    order = sorted(known.values(), key=lambda one: (ORDER.index(WorkspaceKind(one.kind)), one.path))
    return [_candidate(home, workspaces, one, days, held) for one in order]


def carry_out(workspaces: Workspaces, planned: list[Candidate]) -> list[Removal]:
    """Remove what goes, looking at each once more; what has changed meanwhile stays, and says why."""
    return [_removed(workspaces, one.entry) for one in planned if one.goes]


def _removed(workspaces: Workspaces, entry: WorkspaceEntry) -> Removal:
    try:
        return workspaces.remove(entry)
    except (RunnerError, OSError) as error:
        return Removal(entry, (str(error),))


def _candidate(home: Path, workspaces: Workspaces, entry: WorkspaceEntry, days: float, held: set[str]) -> Candidate:
    age = max(0.0, time.time() - last_used(entry))
    if age < days * DAY and entry.status != WorkspaceStatus.CLEANING:
        return Candidate(entry, age, is_old=False)
    user = f"execution {entry.execution_id[:8]}" if entry.execution_id in held else ""
    user = user or workspace_use.user_of(home, Path(entry.path), entry.execution_id)
    if user:
        return Candidate(entry, age, is_old=True, used_by=user)
    try:
        unsaved = tuple(workspaces.unsaved(entry))
    except (RunnerError, OSError) as error:
        unsaved = (str(error),)
    return Candidate(entry, age, is_old=True, unsaved=unsaved)


def _marked(top: Path, host: str) -> Iterator[WorkspaceEntry]:
    """Yield the worktrees of a repository that bear our mark: also those that the history does not know (any more)."""
    for worktree, marker in worktree_entry.all_marked(git.git_directory(top)):
        yield WorkspaceEntry(
            host,
            str(worktree.path),
            WorkspaceKind.WORKTREE,
            str(top),
            WorkspaceStatus.COMPLETED,
            branch=marker.branch,
            base_commit=marker.base_commit,
            execution_id=marker.claim,
        )


def _is_of(entry: WorkspaceEntry, top: Path) -> bool:
    path = Path(entry.path)
    return top in (path, repository_of(path), Path(entry.project))
