"""An execution once more: a new typed task with the details of one that is over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from components import background, diffing, execution_index, git, typed_task, workplace
from components.errors import NotFound
from components.execution_index import ExecutionFiles
from components.typed_task import TypedTask


def again_of(home: Path, files: ExecutionFiles, *, resumes: bool) -> TypedTask:
    """Return a new typed task with the details of an execution, also of one whose task came from a server.

    Raises NotFound where its files do not tell them any more, where its repository is gone, or where it is to be gone
    on with and its work is gone.
    """
    before = _before(home, files)
    workplace.require_there(before)
    if resumes:
        _require_work(home, files)
    claim = background.new_claim()
    task_again = background.task_of(
        claim,
        before.task.title,
        before.task.description,
        role=before.task.role,
        level=before.task.level,
        complexity=before.task.complexity,
    )
    return replace(before, claim=claim, task=task_again, restarted_from=before.claim, resumes=resumes)


def _before(home: Path, files: ExecutionFiles) -> TypedTask:
    if files.directory.is_dir():
        return typed_task.load(home, files.id)
    held = execution_index.last_entry(home, files.id)
    if held is None or held.workspace is None:
        raise NotFound(f"execution {files.short_id}: its run directories do not tell its task any more; type it anew")
    repository = held.workspace.repository
    known = replace(held.task, role=held.task.role or "backend_dev", level=held.task.level or "senior")
    return TypedTask(held.claim, known, repository, repository.name)


def _require_work(home: Path, files: ExecutionFiles) -> None:
    """Raise NotFound where the branch of an execution is gone, and with it what its conversation says that it did.

    One that ended without a change has lost nothing with its branch.
    """
    held = execution_index.last_entry(home, files.id)
    place = held.workspace if held is not None else None
    if place is None or not place.is_worktree or place.path.is_dir():
        return
    head = str(diffing.evidence_of(files).get("head") or "")
    if head in ("", place.base_commit) or git.branch_exists(place.repository, place.branch):
        return
    raise NotFound(
        f"the work of execution {files.short_id} is gone: its worktree was removed, and its branch {place.branch} was"
        f" deleted; `git branch {place.branch} {head[:12]}` brings it back, `restart {files.short_id}` begins anew"
    )
