"""The branch that a main checkout is put on for one task, and its own one, to which it goes back.

A note beside git's directory says where the checkout was and for which claim it was moved. It is durable before git
moves anything and goes when the checkout is back, so that a crash at any instant is made good by whoever comes next.
Everything here but `wanted` is done under the lock of the checkout (`main_checkout.exclusive`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from components import branch_names, durable, faults, git, git_command, git_history, starting_point
from components.errors import GitFailed, UnsafeName
from components.model import Task, Workspace
from components.redact import listed
from components.worktree_entry import LOCK_AGE, remove_lock

FILE = "agent-runner-checkout.json"
TRUNKS = frozenset({"main", "master"})
"""Names that a task's author writes by habit: where there is no such branch, the one that is checked out is meant."""
SWITCH = ("switch", "--quiet", "--no-guess", "--no-overwrite-ignore")
"""What git does not track is in nobody's history, also what it ignores: it refuses to overwrite that."""
AT_ONCE = 500
"""Paths in one command line."""
NOT_CLEAN = (
    "task {task} belongs on branch {branch}, and {path} is on {now} with changes that are not committed ({listed})."
    " Commit or stash them there; the task is free again"
)
NO_NAME = (
    "branch {branch!r} of the task cannot be made: correct its name (see `git help check-ref-format`), or leave it out"
)
TAKEN_OVER = (
    "{path} was being moved to branch {branch} when the runner died, and somebody has changed {listed} since. Run"
    " `git status` there, keep what is yours, then `git switch --discard-changes {branch}`; the task is free again"
)
STAYS = "{path} stays on {branch} for what is not committed there; `git switch {home}` brings it back to its own branch"


@dataclass(frozen=True, slots=True)
class _Note:
    """The checkout is on `branch` for a claim, and its own branch is `home`. `is_moving`: it may be half on its way.

    `made` is the commit at which the branch was made for the claim, "" for one that was there.
    """

    claim: str
    branch: str
    home: str
    made: str = ""
    is_moving: bool = False


def wanted(repository: Path, task: Task) -> tuple[str, str]:
    """Return the branch that a task belongs on in a main checkout, and the commit that work on it begins at.

    The branch is the one that the task names, else the checkout's own one, "" where none is checked out.
    Raises UnsafeName for a name that cannot be a branch there, GitFailed.
    """
    note, now = _read(git.git_directory(repository)), git.current_branch(repository)
    head = git.head_commit(repository)
    home = note.home if note is not None and note.branch == now else now
    if not now:
        return "", head
    known = git.branches(repository)
    if task.branch in known:
        return task.branch, known[task.branch]
    if not task.branch or task.branch in TRUNKS:
        return home, known.get(home, head)
    if not git.is_valid_branch(task.branch) or branch_names.is_taken(task.branch, known):
        raise UnsafeName(NO_NAME.format(branch=task.branch[:80]))
    return task.branch, known.get(home, head)


def enter(workspace: Workspace, claim: str, task: str, lock: int) -> None:
    """Put a main checkout on the branch of a task, once for each claim; what the agent makes of it is its own affair.

    Raises GitFailed where what is not committed there forbids it, with what to do.
    """
    top, common = workspace.repository, git.git_directory(workspace.repository)
    note = _finished(top, common, lock)
    now = git.current_branch(top)
    if not workspace.branch or not now or (note is not None and note.claim == claim):
        return
    home = note.home if note is not None and note.branch == now else now
    after = _Note(claim, workspace.branch, home)
    if now == workspace.branch:
        _write(common, after)
        return
    if changed := _changed(top):
        words = {"task": task, "branch": workspace.branch, "path": top, "now": now, "listed": _some(changed)}
        raise GitFailed(NOT_CLEAN.format(**words))
    made = "" if git.branch_exists(top, workspace.branch) else workspace.base_commit
    _move(top, common, replace(after, made=made), note, lock)


def leave(repository: Path, claim: str, lock: int) -> str:
    """Put a main checkout back on its own branch when the claim that moved it is over; return why it is not, or "".

    A branch that was made for the claim and has nothing on it goes. Raises GitFailed.
    """
    common = git.git_directory(repository)
    note = _finished(repository, common, lock)
    if note is None or note.claim != claim:
        return ""
    now = git.current_branch(repository)
    if note.branch != note.home and now == note.branch:
        if _changed(repository):
            return STAYS.format(path=repository, branch=now, home=note.home)
        _move(repository, common, replace(note, branch=note.home, made=""), note, lock)
    if note.made and note.branch != note.home and git_history.tip(repository, note.branch) == note.made:
        git_command.run(repository, "update-ref", "-d", f"refs/heads/{note.branch}", note.made, lock=lock)
    durable.remove(common / FILE)
    return ""


def _finished(repository: Path, common: Path, lock: int) -> _Note | None:
    """Return the note, after finishing the move that it tells of: nobody's file is overwritten. Raises GitFailed."""
    note = _read(common)
    if note is None or not note.is_moving:
        return note
    remove_lock(common / "index.lock", LOCK_AGE)
    _make(repository, note, lock)
    arrived, foreign = _on_the_way(repository, note.branch)
    if foreign:
        raise GitFailed(TAKEN_OVER.format(path=repository, branch=note.branch, listed=_some(foreign)))
    for some in _in_parts(arrived):  # git overwrites no file that it does not track
        git_command.run(repository, "update-index", "--add", "--", *some, lock=lock)
    git_command.run(repository, *SWITCH, "--discard-changes", note.branch, lock=lock)
    return _settle(repository, common, note)


def _move(repository: Path, common: Path, to: _Note, before: _Note | None, lock: int) -> None:
    """Switch a clean checkout; where git will not, the note is what it was before."""
    _write(common, replace(to, is_moving=True))
    faults.reach("checkout.moving")
    try:
        _make(repository, to, lock)
        git_command.run(repository, *SWITCH, to.branch, lock=lock)
    except GitFailed:
        if before is None:
            durable.remove(common / FILE)
        else:
            _write(common, before)
        raise
    faults.reach("checkout.moved")
    _settle(repository, common, to)


def _make(repository: Path, note: _Note, lock: int) -> None:
    """Make the branch that is made for a claim, unless it is there."""
    if note.made and not git.branch_exists(repository, note.branch):
        git_command.run(repository, "update-ref", f"refs/heads/{note.branch}", note.made, "", lock=lock)


def _settle(repository: Path, common: Path, note: _Note) -> _Note:
    durable.sync_filesystem(repository)
    settled = replace(note, is_moving=False)
    _write(common, settled)
    return settled


def _changed(repository: Path) -> list[str]:
    """Return the tracked files that differ from HEAD; git itself refuses to overwrite one that it does not track."""
    return [entry.path for entry in git.status(repository) if entry.code != "??"]


def _on_the_way(repository: Path, branch: str) -> tuple[list[str], list[str]]:
    """Return the files that are as on the branch already, and those that are neither so nor as HEAD has them."""
    arrived, foreign = [], []
    differing = {entry.path for entry in starting_point.uncommitted(repository)}
    differing.update(git_history.changed_paths(repository, "HEAD", f"refs/heads/{branch}"))  # also what git ignores
    for some in _in_parts(sorted(path for path in differing if (repository / path).is_file())):
        old, new = (_blobs(repository, revision, some) for revision in ("HEAD", f"refs/heads/{branch}"))
        hashed = git_command.answer(repository, "hash-object", "--", *some).splitlines()
        for path, blob in zip(some, hashed, strict=True):
            if new.get(path) == blob:
                arrived.append(path)
            elif (path in old or path in new) and old.get(path) != blob:
                foreign.append(path)
    return arrived, foreign


def _in_parts(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(paths), AT_ONCE):
        yield paths[first : first + AT_ONCE]


def _blobs(repository: Path, revision: str, paths: Sequence[str]) -> dict[str, str]:
    listed = git_command.ask(repository, "ls-tree", "-r", "-z", revision, "--", *paths).stdout
    rows = (row.partition("\t") for row in os.fsdecode(listed).split("\0") if row)
    return {path: words.split(" ")[2] for words, _, path in rows}


def _some(paths: Sequence[str]) -> str:
    return git_command.printable(listed(paths, 3))


def _read(common: Path) -> _Note | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return _Note(**json.loads((common / FILE).read_bytes()))
    return None


def _write(common: Path, note: _Note) -> None:
    durable.write(common / FILE, json.dumps(asdict(note)).encode())
