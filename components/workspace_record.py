"""The rows of workspaces in the history: what is told of an execution says what becomes of where it worked."""

from __future__ import annotations

import hashlib
from pathlib import Path

from components import clone_mark
from components.execution import Execution, WorkspaceEntry
from components.states import FINAL, LIVE, ExecutionStatus, WorkspaceKind, WorkspaceStatus
from components.store import Store

ID_LETTERS = 16


def id_of(entry: WorkspaceEntry) -> str:
    """Return the id of a workspace: of its machine and its path."""
    return hashlib.sha256(f"{entry.host}\0{entry.path}".encode()).hexdigest()[:ID_LETTERS]


def note(store: Store, one: Execution) -> None:
    """Enter where an execution works, or forget it once it is over and its directory is gone. Raises as the store."""
    if not one.workspace:
        return
    path = Path(one.workspace)
    if one.status in FINAL and not path.exists():
        store.forget_workspace(one.host, one.workspace)
        return
    store.keep_workspace(
        WorkspaceEntry(
            host=one.host,
            path=one.workspace,
            kind=kind_of(path),
            project=one.project,
            status=_status(one.status),
            branch=one.branch,
            base_commit=one.base_commit,
            execution_id=one.id,
        )
    )


def kind_of(path: Path) -> WorkspaceKind:
    """Return what a directory is: by its `.git`, and by our mark on a clone of an execution's own."""
    if (path / ".git").is_file():
        return WorkspaceKind.WORKTREE
    mark = clone_mark.of(path)
    return WorkspaceKind.CLONE if mark is not None else WorkspaceKind.IN_PLACE


def _status(status: ExecutionStatus) -> WorkspaceStatus:
    if status in LIVE or status is ExecutionStatus.INTERRUPTED:
        return WorkspaceStatus.ACTIVE
    return WorkspaceStatus.ERROR if status is ExecutionStatus.FAILED else WorkspaceStatus.COMPLETED
