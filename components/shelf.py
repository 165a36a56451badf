"""The snapshots that a repository keeps: listed, found by name, brought back."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components import branch_names, durable, git, git_command, worktree_entry
from components.errors import GitFailed, NotFound
from components.short_id import SHORT
from components.worktree_entry import WorktreeEntry

logger = logging.getLogger(__name__)

ROOT = "refs/agent-runner/"
REF = re.compile(ROOT + r"([0-9A-Za-z_-]{1,64})/([0-9A-Za-z_-]{1,64})/([0-9]{1,9})")
EXECUTION = re.compile(r"[0-9a-f]{8,32}")
SUBJECT = re.compile(r"task [^:]+: (.*) \[(\d+) files?(?:, (\d+) left out)?\]")
FIELDS = "%00".join(
    f"%({field})" for field in ("refname", "objectname", "tree", "parent", "creatordate:unix", "subject")
)
MOST_LISTED = 2000
"""Snapshots in one list, the newest: what fits into the megabyte of an answer that is read of git."""

IDENTITY = {
    "GIT_AUTHOR_NAME": "Advanced Agent Runner",
    "GIT_AUTHOR_EMAIL": "agent-runner@localhost",
    "GIT_COMMITTER_NAME": "Advanced Agent Runner",
    "GIT_COMMITTER_EMAIL": "agent-runner@localhost",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Unsaved work as a commit under a ref of its own; `parents` are HEAD of then and, if any, what was staged.

    `time` is Unix time. `files` counts those that differ from HEAD of then, `left_out` what could not be saved.
    """

    ref: str
    commit: str
    tree: str
    parents: tuple[str, ...]
    task: str
    claim: str
    number: int
    time: int
    why: str
    files: int
    left_out: int

    @property
    def name(self) -> str:
        """The ref without what all have in common."""
        return self.ref.removeprefix(ROOT)


@dataclass(frozen=True, slots=True)
class Restored:
    """Where a snapshot was brought back to."""

    path: Path
    branch: str


def folder(task_id: str, claim: str) -> str:
    """Return what the refs of a claim begin with. Raises UnsafeName for an id that may not reach a ref."""
    branch_names.check_identifier("task id", task_id)
    branch_names.check_identifier("claim", claim)
    return f"{ROOT}{task_id}/{claim[:SHORT]}/"


def subject(task_id: str, why: str, files: int, left_out: int) -> str:
    """Return the first line of a snapshot's message: what `all_of` reads again."""
    count = "1 file" if files == 1 else f"{files} files"
    return f"task {task_id}: {why} [{count}{f', {left_out} left out' if left_out else ''}]"


def all_of(repository: Path, below: str = ROOT) -> list[Snapshot]:
    """Return the snapshots of a repository, or those whose refs begin so, newest first, at most 2000."""
    words = ("--sort=-version:refname", "--sort=-creatordate", f"--count={MOST_LISTED}", f"--format={FIELDS}")
    listed = git_command.run(repository, "for-each-ref", *words, below).stdout.decode(errors="replace")
    return [snapshot for snapshot in map(_parsed, listed.splitlines()) if snapshot is not None]


def find(repository: Path, name: str) -> Snapshot:
    """Return a snapshot by its ref, by TASK/CLAIM/NUMBER, or the newest of TASK/CLAIM, of TASK, or of an execution.

    A claim, which is an execution's id, may be shortened. Raises NotFound, naming what comes near, for a name that fits
    none or several claims.
    """
    task, _, rest = name.removeprefix(ROOT).strip("/").partition("/")
    claim, _, number = rest.partition("/")
    known = all_of(repository, f"{ROOT}{task}") if branch_names.IDENTIFIER.fullmatch(task) else []
    found = [
        one for one in known if one.task == task and one.claim.startswith(claim) and number in ("", str(one.number))
    ]
    if not found and EXECUTION.fullmatch(name):
        found = [one for one in all_of(repository) if one.claim[:SHORT].startswith(name[:SHORT])]
    if not found:
        raise NotFound(f"there is no snapshot {name[:80]!r}; {_near(name.removeprefix(ROOT), all_of(repository))}")
    claims = sorted({f"{one.task}/{one.claim}" for one in found})
    if (claim or found[0].task != task) and len(claims) > 1:
        several = ", ".join(claims)
        raise NotFound(f"snapshot {name[:80]!r} may be of several claims. Name one: {several}.")
    return max((one for one in found if one.claim == found[0].claim), key=lambda one: one.number)


def message(repository: Path, snapshot: Snapshot) -> str:
    """Return all that was noted with a snapshot."""
    words = ("log", "-1", "--format=%B", "--no-show-signature", snapshot.commit, "--")
    return git_command.run(repository, *words).stdout.decode(errors="replace").strip()


def diff_stat(repository: Path, snapshot: Snapshot) -> str:
    """Return which files a snapshot changes, and how much, as a table of 80 columns."""
    words = ("show", "--format=", "--stat=80", "--stat-count=200", "--diff-merges=first-parent", "--no-renames")
    safe = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-show-signature")
    shown = git_command.run(repository, *words, *safe, snapshot.commit, "--").stdout
    return shown.decode(errors="replace").strip("\n")


def restore(repository: Path, snapshot: Snapshot, directory: Path, *, commit: bool = False) -> Restored:
    """Bring a snapshot back into a new worktree on a new branch; nothing that exists is written over.

    The branch starts at HEAD of then. The saved changes are uncommitted in it, and staged what was staged; with
    `commit` they are one commit. Where directory or branch exist, the next free name is taken.
    Raises GitFailed, and then leaves nothing behind.
    """
    common = git.git_directory(repository)
    with git_command.locked(common) as lock:
        worktree_entry.repair(repository, common)
        worktree = _free_worktree(common, Path(os.path.normpath(directory.absolute())))
        branch = _free_branch(repository, snapshot)
        start = snapshot.parents[0] if snapshot.parents else snapshot.commit
        try:
            durable.make_directory(worktree.path.parent)
            words = ("worktree", "add", "--quiet", "--no-track", "-b", branch, "--", str(worktree.path), start)
            git_command.run(repository, *words, lock=lock)
            _fill(worktree.path, snapshot, branch, commit, lock)
        except (GitFailed, OSError) as error:
            _undo(repository, worktree, branch, lock)
            raise GitFailed(
                f"snapshot {snapshot.name} could not be brought back to {worktree.path}: {error}"
            ) from error
    return Restored(worktree.path, branch)


def _fill(path: Path, snapshot: Snapshot, branch: str, commit: bool, lock: int) -> None:
    """Put the files of a snapshot into a new worktree: through the index, which then goes back to what was staged."""
    git_command.run(path, "read-tree", "--no-recurse-submodules", "--reset", "-u", snapshot.commit, lock=lock)
    if commit and snapshot.parents:
        words = ("commit-tree", "-p", snapshot.parents[0], "-m", f"Restore {snapshot.name}: {snapshot.why}")
        made = git_command.run(path, *words, snapshot.tree, env=IDENTITY, lock=lock).stdout.decode().strip()
        git_command.run(path, "update-ref", "-m", "restored", f"refs/heads/{branch}", made, lock=lock)
    elif snapshot.parents:
        git_command.run(path, "read-tree", snapshot.parents[-1], lock=lock)
    git_command.run(path, "update-index", "-q", "--refresh", lock=lock, accepted=(0, 1))


def _undo(repository: Path, worktree: WorktreeEntry, branch: str, lock: int) -> None:
    try:
        worktree.discard(repository, lock)
        git_command.run(repository, "update-ref", "-d", f"refs/heads/{branch}", lock=lock)
    except (GitFailed, OSError) as error:
        logger.warning("what was begun at %s could not be cleared away: %s", worktree.path, error)


def _free_worktree(common: Path, directory: Path) -> WorktreeEntry:
    for number in range(1, 1000):
        name = directory.name if number == 1 else f"{directory.name}-{number}"
        worktree = WorktreeEntry(common, directory.with_name(name))
        if worktree.is_free():
            return worktree
    raise GitFailed(f"{directory} and every name like it is in use. Name another directory.")


def _free_branch(repository: Path, snapshot: Snapshot) -> str:
    existing = git.branches(repository)
    flat = f"{snapshot.task}-{snapshot.claim}-{snapshot.number}"
    for name in _numbered(f"restored/{flat}", f"restored-{flat}"):
        if not branch_names.is_taken(name, existing):
            return name
    raise GitFailed(f"every branch name for snapshot {snapshot.name} is in use. Delete old branches restored/{flat}-….")


def _numbered(*names: str) -> Iterator[str]:
    for name in names:
        yield name
        yield from (f"{name}-{number}" for number in range(2, 100))


def _near(name: str, known: list[Snapshot]) -> str:
    if not known:
        return "there is none in this repository: is it the right one (--repo)?"
    names = list(dict.fromkeys([*(one.task for one in known), *(one.name for one in known)]))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]
    return f"type one that `workspaces list` shows. Near it: {', '.join(near)}"


def _parsed(line: str) -> Snapshot | None:
    """Return what a line tells of a snapshot, or None for a ref or an object that is not of our making."""
    ref, commit, tree, parents, time, first_line = line.split("\0")
    named = REF.fullmatch(ref)
    if named is None or not tree:
        return None
    told = SUBJECT.fullmatch(first_line)
    why, files, left_out = told.groups() if told else (first_line, "0", None)
    return Snapshot(
        ref,
        commit,
        tree,
        tuple(parents.split()),
        task=named[1],
        claim=named[2],
        number=int(named[3]),
        time=int(time or 0),
        why=why,
        files=int(files),
        left_out=int(left_out or 0),
    )
