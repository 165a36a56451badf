"""Where the work on a task stands, as a ref in the repository: the next who takes the task begins there.

A developer's major task goes to QA, and may come back, as a new claim each time; each claim has a branch of its own.
`refs/agent-runner/<task>/work-<digest>` names the commit that the last of them left, `left-<digest>` the snapshot of
what it had not committed. The digest is of the time the task was made, as servers give the same id again. Of an agent
that goes on with its own earlier attempts `given-<digest>` names what the first of them began at.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from components import branch_names, durable, git, git_command
from components.model import Task, Workspace

DIGEST_LETTERS = 8


def record(task: Task, workspace: Workspace) -> None:
    """Name what a worktree has committed as where the work stands; a worktree without commits changes nothing.

    Raises GitFailed.
    """
    if not workspace.is_worktree or not workspace.path.is_dir():
        return
    head = git.head_commit(workspace.path)
    if head == workspace.base_commit:
        return
    common, ref = git.git_directory(workspace.repository), ref_of(task)
    with git_command.locked(common) as lock:
        # That of a git that was killed, for good: one that lives would hold the lock that we hold.
        (common / f"{ref}.lock").unlink(missing_ok=True)
        git_command.run(workspace.repository, "update-ref", ref, head, lock=lock)
        if (common / ref).exists():
            durable.sync_directory((common / ref).parent)


def find(repository: Path, task: Task) -> str:
    """Return the commit at which the work stands, or "" when nobody has left any."""
    return _resolved(repository, ref_of(task))


def begin(repository: Path, task: Task, commit: str, *, given: str = "") -> None:
    """Name the commit that a task begins at, and `given`, where its work is measured from another. Raises GitFailed."""
    if given:
        _update(repository, _given_to(task), "update-ref", _given_to(task), given)
    _update(repository, ref_of(task), "update-ref", ref_of(task), commit)


def given(repository: Path, task: Task) -> str:
    """Return the commit that a task's work is measured from, where it begins at what it has done itself; else ""."""
    return _resolved(repository, _given_to(task))


def begun_at(task: Task, workspace: Workspace) -> str:
    """Return the commit from which a task's work is to be measured.

    A claim that goes on with what an earlier one left unfinished has that to show as well. Raises GitFailed.
    """
    if not workspace.is_worktree:
        return workspace.base_commit
    begun = _resolved(workspace.repository, _beginning_of(task))
    words = ("merge-base", "--is-ancestor", begun, workspace.base_commit)
    is_part = begun and not git_command.run(workspace.repository, *words, accepted=(0, 1, 128)).exit_code
    return begun if is_part else workspace.base_commit


def note_beginning(task: Task, workspace: Workspace, *, is_done: bool) -> None:
    """Name where unfinished work began, for the next claim; forget it when the work is done. Raises GitFailed."""
    if not workspace.is_worktree or not workspace.path.is_dir():
        return
    ref, there = _beginning_of(task), _resolved(workspace.repository, _beginning_of(task))
    if is_done and there:
        words = ("update-ref", "-d", ref, there)
    elif not is_done and not there and git.head_commit(workspace.path) != workspace.base_commit:
        words = ("update-ref", ref, workspace.base_commit, "")
    else:
        return
    _update(workspace.repository, ref, *words)


def leave(task: Task, repository: Path, snapshot: str) -> None:
    """Name the commit of a snapshot as what was not committed, "" for nothing. Raises GitFailed."""
    ref, there = _left_of(task), left(repository, task)
    if snapshot:
        _update(repository, ref, "update-ref", ref, snapshot)
    elif there:
        _update(repository, ref, "update-ref", "-d", ref, there)


def left(repository: Path, task: Task) -> str:
    """Return the snapshot of what the last agent at a task had not committed, "" for nothing."""
    return _resolved(repository, _left_of(task))


def _update(repository: Path, ref: str, *words: str) -> None:
    common = git.git_directory(repository)
    with git_command.locked(common) as lock:
        (common / f"{ref}.lock").unlink(missing_ok=True)
        git_command.run(repository, *words, lock=lock)


def ref_of(task: Task) -> str:
    """Return the ref's name. Raises UnsafeName for an id that may not be part of one."""
    branch_names.check_identifier("task id", task.id)
    digest = hashlib.sha256((task.created_at or task.title).encode(errors="replace")).hexdigest()
    return f"refs/agent-runner/{task.id}/work-{digest[:DIGEST_LETTERS]}"


def _beginning_of(task: Task) -> str:
    return ref_of(task).replace("/work-", "/begun-")


def _given_to(task: Task) -> str:
    return ref_of(task).replace("/work-", "/given-")


def _left_of(task: Task) -> str:
    return ref_of(task).replace("/work-", "/left-")


def _resolved(repository: Path, ref: str) -> str:
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    return git_command.answer(repository, *words, accepted=(0, 1, 128))
