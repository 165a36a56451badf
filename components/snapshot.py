"""A snapshot: unsaved work kept as a commit under a ref of its own, without the agent noticing.

Index, HEAD, branch and files of the agent are only read, also while it is at work in them. A git that is killed on
the way leaves objects that nothing leads to.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components import checkout, git, git_command, shelf, worktree_entry
from components.checkout import Checkout
from components.errors import GitFailed
from components.model import Workspace
from components.private_index import CONFIGURED, PrivateIndex
from components.shelf import Snapshot
from components.unsaved_files import MOST_BYTES, UnsavedFiles
from components.worktree_entry import LOCK_AGE

logger = logging.getLogger(__name__)

REF_TRIES = 20
SHOWN = 30
WHY_LETTERS = 200
OF_NO_TIME = {"GIT_AUTHOR_DATE": "@0 +0000", "GIT_COMMITTER_DATE": "@0 +0000"}
"""The same staged files make the same commit, so that two snapshots with equal parents are equal."""


def take(
    workspace: Workspace,
    task_id: str,
    claim: str,
    *,
    why: str,
    attempt: int | None = None,
    thorough: bool = False,
    with_ignored: bool = False,
) -> str | None:
    """Save what is not in HEAD and return its ref; None when there is nothing, or nothing new since the latest.

    Saved are changed, staged, deleted and untracked files, in a worktree (or `with_ignored`) also the ignored ones that
    are no junk, and
    commits on a detached HEAD. `thorough` reads every file: it finds also what hides from `git status`.
    What could not be saved is logged and noted in the snapshot. Raises UnsafeName, and GitFailed when git cannot.
    """
    folder = shelf.folder(task_id, claim)
    files = checkout.of(workspace)
    entries = files.entries()
    unsaved = _unsaved(files, entries, with_ignored or workspace.is_worktree)
    if entries is not None and not (unsaved or thorough or _is_staged(entries) or files.has_commits_on_no_branch()):
        for what in unsaved.left_out:
            logger.warning("no snapshot of task %s holds %s", task_id, what)
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="agent-runner-") as scratch:
            taking = _Taking(files, Path(scratch), files.head(), unsaved)
            taking.gather(entries, thorough)
            return taking.kept(folder, task_id, claim, _one_line(why), attempt)
    except OSError as error:
        raise GitFailed(f"no snapshot of {workspace.path}: {error}. Correct it; the files are as they were.") from error


@dataclass(slots=True)
class _Taking:
    """One snapshot on its way: a private index, the trees made of it, the commit."""

    checkout: Checkout
    scratch: Path
    head: str
    unsaved: UnsavedFiles
    tree: str = ""
    staged: str = ""
    files: int = 0

    def gather(self, entries: Sequence[git.Entry] | None, thorough: bool) -> None:
        """Write the trees: of the files as they are, and of what is staged where that is something else."""
        index = PrivateIndex(self.checkout.top, self.checkout.env, self.scratch / "index")
        index.read(self.head)
        base = index.tree()
        if entries is None or _is_staged(entries):
            self.staged = self._staged_tree()
        if self.checkout.is_there:
            self._stage(index, entries, thorough)
        elif self.staged:
            index.read(self.staged)
        self.tree = index.tree()
        self.files = index.differing(base)
        if self.staged in (base, self.tree):
            self.staged = ""

    def kept(self, folder: str, task_id: str, claim: str, why: str, attempt: int | None) -> str | None:
        """Commit the trees and give the commit a ref, unless the latest snapshot holds them already."""
        if not (self.files or self.staged or self.checkout.has_commits_on_no_branch()):
            return None
        earlier = shelf.all_of(self.checkout.workspace.repository, folder)
        newest = max(earlier, key=lambda one: one.number, default=None)
        parents = [self.head] if self.head else []
        if self.staged:
            parents.append(self._commit(self.staged, parents, f"task {task_id}: what was staged", OF_NO_TIME))
        if newest is not None and (newest.tree, newest.parents) == (self.tree, tuple(parents)):
            return None
        for what in self.unsaved.left_out:
            logger.warning("the snapshot of task %s leaves out %s", task_id, what)
        text = self._message(task_id, claim, why, attempt)
        return self._numbered(folder, self._commit(self.tree, parents, text), newest)

    def _stage(self, index: PrivateIndex, entries: Sequence[git.Entry] | None, thorough: bool) -> None:
        if entries is None:
            index.remove(index.deleted())
        elif thorough:
            self._add_hidden(index, entries)
        index.remove(self.unsaved.gone)
        for path in index.stage(self.unsaved.present):
            why = "git cannot take it in, or it changed all the time"
            self.unsaved.left_out.append(f"{git_command.printable(path)}: {why}")

    def _add_hidden(self, index: PrivateIndex, entries: Sequence[git.Entry]) -> None:
        """Add the files that differ from HEAD by their content though the agent's index claims otherwise.

        Files that are not there are passed by: a sparse checkout has not all of them, and HEAD has them.
        """
        known = {entry.path for entry in entries}
        try:
            found = git.status(self.checkout.top, env=index.env)
        except GitFailed as error:
            self.unsaved.left_out.append(f"what git status does not show: {error}")
            return
        self.unsaved.add(entry for entry in found if entry.path not in known and entry.code != " D")

    def _staged_tree(self) -> str:
        """Return the tree of the agent's index, read from a copy; "" while there are conflicts in it."""
        copy = self.scratch / "staged"
        try:
            shutil.copyfile(self.checkout.entry / "index", copy)
            return PrivateIndex(self.checkout.top, self.checkout.env, copy).tree()
        except (GitFailed, FileNotFoundError) as error:
            logger.debug("what is staged cannot be told from the files: %s", error)
            return ""

    def _commit(self, tree: str, parents: Sequence[str], text: str, env: Mapping[str, str] | None = None) -> str:
        words = [word for parent in parents for word in ("-p", parent)]
        env = {**self.checkout.env, **CONFIGURED, **shelf.IDENTITY, **(env or {})}
        made = git_command.run(self.checkout.top, "commit-tree", *words, "-m", text, tree, env=env)
        return made.stdout.decode().strip()

    def _message(self, task_id: str, claim: str, why: str, attempt: int | None) -> str:
        left_out = self.unsaved.left_out
        lines = [shelf.subject(task_id, why, self.files, len(left_out)), "", f"Task: {task_id}", f"Claim: {claim}"]
        if attempt is not None:
            lines.append(f"Attempt: {attempt}")
        if operation := git.operation_in(self.checkout.entry):
            lines.append(f"In progress: {operation}")
        if left_out:
            lines += ["", "Left out:", *(f"- {what}" for what in left_out[:SHOWN])]
        if len(left_out) > SHOWN:
            lines.append(f"- and {len(left_out) - SHOWN} more")
        return "\n".join(lines)

    def _numbered(self, folder: str, commit: str, newest: Snapshot | None) -> str:
        """Give a commit the next ref that is free. A lock file of a killed git costs a number, not the snapshot."""
        first = newest.number + 1 if newest else 1
        env = {**self.checkout.env, **CONFIGURED}
        failure = ""
        with git_command.locked(self.checkout.common) as lock:
            for ref in (f"{folder}{number}" for number in range(first, first + REF_TRIES)):
                worktree_entry.remove_lock(self.checkout.common / f"{ref}.lock", LOCK_AGE)
                try:
                    git_command.run(self.checkout.top, "update-ref", "--no-deref", ref, commit, "", env=env, lock=lock)
                except GitFailed as error:
                    failure = str(error)
                    continue
                return ref
        raise GitFailed(f"no ref could be made for a snapshot: {failure}")


def _unsaved(files: Checkout, entries: Sequence[git.Entry] | None, ignored: bool) -> UnsavedFiles:
    # Half of what is free: a snapshot must not be what fills the disk.
    most = min(MOST_BYTES, shutil.disk_usage(files.common).free // 2)
    # What is ignored came with the work in a worktree, and in the main checkout was mostly there before.
    unsaved = UnsavedFiles(files.top, files.common, ignored=ignored, most_bytes=most)
    if entries is not None:
        unsaved.add(entries)
    elif files.is_there:
        unsaved.add_all()
    return unsaved


def _is_staged(entries: Sequence[git.Entry]) -> bool:
    return any(entry.code[0] not in " ?!" for entry in entries)


def _one_line(why: str) -> str:
    return git_command.printable(" ".join(why.split()))[:WHY_LETTERS]
