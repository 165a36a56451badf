"""The workspaces of this machine: known from the history and from the directory of clones; removed when nobody needs
them, and never with unsaved work."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from components import clone_entry, clone_mark, git, shelf, snapshot, workspace_record, workspace_use
from components.errors import GitFailed, NotARepository, NotFound, RunnerError, StillRunning, UnsavedWork
from components.execution import WorkspaceEntry
from components.git_worktree import GitWorktree
from components.model import Workspace
from components.states import WorkspaceKind, WorkspaceStatus
from components.store import Store
from components.worktree_entry import WorktreeEntry

logger = logging.getLogger(__name__)

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of one workspace. `kept` says why it is still there, [] where it is gone.

    `snapshot` is the ref (in the repository) and `bundle` the file that what was unsaved is kept in, if anything was.
    """

    entry: WorkspaceEntry
    kept: tuple[str, ...] = ()
    snapshot: str = ""
    bundle: Path | None = None


class Workspaces:
    """The workspaces of one home on one machine. `base` is the directory of clones."""

    def __init__(self, home: Path, base: Path, store: Store, host: str) -> None:
        self._home = home
        self._base = base
        self._store = store
        self._host = host

    def all(self) -> list[WorkspaceEntry]:
        """Return every workspace that is known, newest first; those of other machines too."""
        known = self._store.workspaces()
        paths = {one.path for one in known if one.host == self._host}
        return known + [one for one in self._clones() if one.path not in paths]

    def find(self, word: str) -> WorkspaceEntry:
        """Return a workspace by its id or its path. Raises NotFound."""
        for one in self.all():
            if word in (workspace_record.id_of(one), one.path):
                return one
        raise NotFound(f"there is no workspace {word[:200]!r}; `workspaces list` shows those that are")

    def unsaved(self, entry: WorkspaceEntry) -> list[str]:
        """Return in words what removing a workspace would lose. Raises NotFound for one of another machine."""
        self._require_here(entry)
        path = Path(entry.path)
        if entry.kind == WorkspaceKind.CLONE:
            return clone_entry.unsaved(path) if path.exists() else []
        if entry.kind == WorkspaceKind.IN_PLACE or not self._is_there(entry):
            return []
        worktrees, workspace = self._worktree(entry)
        return worktrees.unsaved(workspace)

    def remove(self, entry: WorkspaceEntry, *, force: bool = False) -> Removal:
        """Remove a workspace; with `force` what is unsaved is kept as a snapshot or a bundle first.

        A checkout that is worked on in place is only forgotten. It may be killed at any instant and called again.
        Raises StillRunning, UnsavedWork with what would be lost, GitFailed, NotFound for one of another machine.
        """
        self._require_here(entry)
        with contextlib.ExitStack() as stack:
            if entry.kind == WorkspaceKind.CLONE:  # nobody may begin in it between the look and the removal
                stack.enter_context(clone_entry.locked(Path(entry.path)))
            return self._removed(entry, force)

    def _removed(self, entry: WorkspaceEntry, force: bool) -> Removal:
        path = Path(entry.path)
        mark = clone_mark.of(path)
        claim = mark.claim if mark else entry.execution_id
        is_in_place = entry.kind == WorkspaceKind.IN_PLACE
        user_of = workspace_use.user_in_place if is_in_place else workspace_use.user_of
        if user := user_of(self._home, path, claim):
            raise StillRunning(f"workspace {path} is in use by {user}; cancel that first")
        if not is_in_place:
            self._store.keep_workspace(replace(entry, status=WorkspaceStatus.CLEANING))
        try:
            kind = {WorkspaceKind.CLONE: self._remove_clone, WorkspaceKind.WORKTREE: self._remove_worktree}
            removal = kind.get(WorkspaceKind(entry.kind), self._leave)(entry, force)
        except RunnerError:
            before = WorkspaceStatus.COMPLETED if entry.status == WorkspaceStatus.CLEANING else entry.status
            self._store.keep_workspace(replace(entry, status=before))
            raise
        self._store.forget_workspace(entry.host, entry.path)
        logger.info("workspace %s is removed", path)
        return removal

    def clean_up(self, days: float) -> list[Removal]:
        """Remove what nobody has used for so many days and what holds nothing unsaved; finish what was begun.

        Worktrees go before the clones that they belong to. Trouble with one is told in its Removal.
        """
        order = (WorkspaceKind.WORKTREE, WorkspaceKind.CLONE)
        stale = [one for one in self.all() if one.host == self._host and one.kind in order and self._is_old(one, days)]
        return [self._tried(one) for one in sorted(stale, key=lambda one: order.index(WorkspaceKind(one.kind)))]

    def _tried(self, entry: WorkspaceEntry) -> Removal:
        try:
            return self.remove(entry)
        except (RunnerError, OSError) as error:
            return Removal(entry, (str(error),))

    def _is_old(self, entry: WorkspaceEntry, days: float) -> bool:
        return entry.status == WorkspaceStatus.CLEANING or time.time() - last_used(entry) >= days * DAY

    def _remove_clone(self, entry: WorkspaceEntry, force: bool) -> Removal:
        path = Path(entry.path)
        clone_entry.put_back(path)
        kept = clone_entry.bundle(path, self._home) if force and path.exists() else None
        clone_entry.remove(path, is_kept=force)
        return Removal(entry, bundle=kept)

    def _remove_worktree(self, entry: WorkspaceEntry, force: bool) -> Removal:
        if not self._is_there(entry):
            return Removal(entry)
        worktrees, workspace = self._worktree(entry)
        ref = self._kept(worktrees, workspace) if force else ""
        if reasons := worktrees.close(workspace, is_kept=force):
            raise UnsavedWork(f"{entry.path} is kept: {'; '.join(reasons)}")
        return Removal(entry, snapshot=ref)

    def _kept(self, worktrees: GitWorktree, workspace: Workspace) -> str:
        worktree = WorktreeEntry(git.git_directory(worktrees.repository), workspace.path)
        worktree.put_back()
        marker = worktree.marker()
        if marker is None:
            return ""
        why = "before its worktree is removed"
        taken = snapshot.take(workspace, marker.task, marker.claim, why=why, attempt=marker.attempt, thorough=True)
        folder = shelf.folder(marker.task, marker.claim)
        newest = max(shelf.all_of(workspace.repository, folder), key=lambda one: one.number, default=None)
        return taken or (newest.ref if newest else "")

    def _leave(self, entry: WorkspaceEntry, force: bool) -> Removal:
        del force
        return Removal(entry)

    def _is_there(self, entry: WorkspaceEntry) -> bool:
        """Is there a worktree, or what a removal that was interrupted has left of it?"""
        path = Path(entry.path)
        aside = WorktreeEntry(path, path).aside
        return path.exists() or aside.exists()

    def _worktree(self, entry: WorkspaceEntry) -> tuple[GitWorktree, Workspace]:
        """Return a worktree with its repository: what its `.git` says, else what the history says."""
        path = Path(entry.path)
        try:
            worktrees = GitWorktree(repository_of(path) or Path(entry.project), path.parent)
        except NotARepository as error:
            raise GitFailed(f"the repository of worktree {path} is not there: {error}") from error
        return worktrees, Workspace(path, worktrees.repository, entry.branch, entry.base_commit, is_worktree=True)

    def _clones(self) -> Iterator[WorkspaceEntry]:
        """Yield the clones in our directory, and those whose removal was interrupted."""
        if not self._base.is_dir():
            return
        begun = (clone_entry.CLOSING, clone_entry.REMOVED)
        names = {_without(path.name, begun) for path in self._base.iterdir()}
        for name in sorted(name for name in names if clone_entry.NAME.fullmatch(name)):
            path = self._base / name
            mark = clone_mark.of(path)
            is_begun = any(path.with_name(prefix + name).exists() for prefix in begun)
            if mark is not None or is_begun:
                status = WorkspaceStatus.CLEANING if is_begun else WorkspaceStatus.COMPLETED
                yield WorkspaceEntry(
                    self._host,
                    str(path),
                    WorkspaceKind.CLONE,
                    mark.url if mark else str(path),
                    status,
                    execution_id=mark.claim if mark else "",
                )

    def _require_here(self, entry: WorkspaceEntry) -> None:
        if entry.host != self._host:
            raise NotFound(f"workspace {entry.path} is on {entry.host or 'another machine'}; remove it there")


def last_used(entry: WorkspaceEntry) -> float:
    """Return when somebody worked in a workspace, by history and files, in seconds since 1970; 0 where none tells."""
    path, used = Path(entry.path), [_seconds(entry.updated_at)]
    for place in (path, *(path / ".git" / name for name in ("index", "HEAD", "worktrees", "FETCH_HEAD"))):
        with contextlib.suppress(OSError):
            used.append(place.stat().st_mtime)
    return max(used)


def repository_of(path: Path) -> Path | None:
    """Return the main checkout that a worktree belongs to, also while a removal has moved it aside."""
    for place in (path, WorktreeEntry(path, path).aside):
        with contextlib.suppress(OSError, ValueError):
            entry = Path((place / ".git").read_text(errors="surrogateescape").strip().removeprefix("gitdir: "))
            if entry.parent.name == "worktrees" and entry.parent.parent.name == ".git":
                return entry.parent.parent.parent
    return None


def _without(name: str, prefixes: tuple[str, ...]) -> str:
    for prefix in prefixes:
        name = name.removeprefix(prefix)
    return name


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
