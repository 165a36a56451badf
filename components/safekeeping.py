"""Keeping an agent's unsaved work as a snapshot, whatever becomes of its workspace, and bringing it to the next one."""

from __future__ import annotations

from pathlib import Path

from components import git, git_command, git_history, handoff, shelf, snapshot
from components.errors import GitFailed, UnsafeName
from components.model import Held, Task, Workspace
from components.shelf import Snapshot
from components.tools import Tools

REFS = "refs/agent-runner/"
BEFORE = "before the agent came"


def keep(held: Held, tools: Tools, why: str, *, thorough: bool = True) -> None:
    """Take a snapshot of what is not committed in the task's workspace, if anything is; trouble is told, not raised."""
    if held.workspace is None:
        return
    try:
        ref = snapshot.take(held.workspace, held.task.id, held.claim, why=why, attempt=held.attempt, thorough=thorough)
    except (GitFailed, UnsafeName) as error:
        tools.ui.warning(f"No snapshot of task {held.task.id}: {error}")
    else:
        if ref:
            tools.ui.info(f"Unsaved work of task {held.task.id} is kept: workspaces show {ref.removeprefix(REFS)}")


def hand_on(held: Held, workspace: Workspace, *, is_done: bool) -> None:
    """Note which snapshot has what was not committed in a worktree, for the next claim. Raises GitFailed."""
    if not workspace.is_worktree or not workspace.path.is_dir():
        return
    kept: Snapshot | None = None
    if not is_done and git.status(workspace.path) and not git.operation_in_progress(workspace.path):
        head = git.head_commit(workspace.path)
        of_claim = shelf.all_of(workspace.repository, shelf.folder(held.task.id, held.claim))
        kept = max((one for one in of_claim if one.parents[:1] == (head,)), key=lambda one: one.number, default=None)
    handoff.leave(held.task, workspace.repository, kept.commit if kept else "")


def of_others(held: Held, repository: Path) -> str:
    """Return the name of the snapshot of what lay in the main checkout before the first agent of a claim came."""
    taken = shelf.all_of(repository, shelf.folder(held.task.id, held.claim))
    first = min((one for one in taken if one.why == BEFORE), key=lambda one: one.number, default=None)
    return first.name if first else ""


def find(task: Task, repository: Path) -> Snapshot | None:
    """Return the snapshot of what the last agent at a task had not committed. Raises GitFailed."""
    commit = handoff.left(repository, task)
    below = f"{REFS}{task.id}/"
    return next((one for one in shelf.all_of(repository, below) if one.commit == commit), None) if commit else None


def bring_back(task: Task, workspace: Workspace) -> str:
    """Put what the last agent at a task had not committed into a worktree in which nobody has worked yet.

    Returns the snapshot's name; "" for nothing, or where it conflicts with the commit that the worktree begins at.
    Repeating it after a crash changes nothing. Raises GitFailed.
    """
    kept = find(task, workspace.repository) if workspace.is_worktree else None
    if kept is None:
        return ""
    top, base = workspace.path, git.head_commit(workspace.path)
    tree = kept.tree if kept.parents[:1] == (base,) else git_history.merged_tree(top, base, kept.commit)
    if not tree:
        return ""
    git_command.run(top, "read-tree", "--no-recurse-submodules", "--reset", "-u", tree)
    git_command.run(top, "read-tree", base)
    git_command.run(top, "update-index", "-q", "--refresh", accepted=(0, 1))
    return kept.name
