"""What a workspace holds beyond the commit it began at: commits, changes, and what was left half done."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components import authorship, git, git_history, starting_point, unsaved_work
from components.authorship import Beginning, Own
from components.errors import GitFailed
from components.git import Commit, DiffStat
from components.git_history import Made
from components.model import Workspace
from components.private_index import PrivateIndex
from components.redact import listed

MARKER = re.compile(rb"\+(<{7}|={7}|>{7})(?: .*)?\r?\n?")
CONFLICT = [b"<" * 7, b"=" * 7, b">" * 7]
AGENTS_OWN = (".claude/settings.local.json",)
"""Where the Claude CLI notes what it was permitted."""
UNMERGED = frozenset({"DD", "AU", "UD", "UA", "DU", "AA", "UU"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found. `commits` are those made for the task, newest first; `leftovers` are its uncommitted files.

    `tree` is the work with its leftovers as one tree. `sha256` is the digest of the patch from `base` to `tree`, as
    `git diff --no-renames --full-index BASE TREE` prints it. `is_change` and `is_committed` say whether it alters
    anything but white space, with and without the leftovers. `trouble` says why it is not finished, in words; `notes`
    are what a person has to know.
    """

    base: str
    head: str
    branch: str
    tree: str
    commits: tuple[Commit, ...]
    leftovers: tuple[str, ...]
    diff: DiffStat
    sha256: str
    is_change: bool
    is_committed: bool
    trouble: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def gather(workspace: Workspace, beginning: Beginning) -> Evidence:
    """Return what a workspace holds beyond a task's beginning; the workspace must be there.

    Raises GitFailed where git cannot tell.
    """
    with tempfile.TemporaryDirectory(prefix="agent-runner-") as scratch:
        return _Gathering(workspace, beginning, Path(scratch), _skew(workspace)).evidence()


def _skew(workspace: Workspace) -> float:
    with tempfile.TemporaryFile(dir=git.git_directory(workspace.repository)) as probe:
        return os.fstat(probe.fileno()).st_ctime - time.time()


@dataclass(frozen=True, slots=True)
class _Gathering:
    """`skew` is how far the clock of the checkout's file system is ahead of ours, in seconds."""

    workspace: Workspace
    beginning: Beginning
    scratch: Path
    skew: float

    def evidence(self) -> Evidence:
        top = self.workspace.path
        here = git.current_branch(top)
        head = self._head(here)
        entries = starting_point.uncommitted(top)
        leftovers = tuple(entry.path for entry in entries if self._is_ours(entry))
        own = authorship.of(self.workspace, self.beginning, head, starting_point.identities(top))
        tree = self._tree(head, leftovers)
        patch = self.scratch / "patch"
        git_history.write_patch(top, own.anchor, tree, patch)
        marked, digest = _examined(patch)
        lay = self._lay_there(own.anchor, tree)
        has_commit = any(
            self._has_content(one.parents[0] if one.parents else "", one.commit.id, lay) for one in own.commits
        )
        has_files = bool(leftovers) and self._has_content(head, tree)
        return Evidence(
            base=own.anchor,
            head=head,
            branch=here,
            tree=tree,
            commits=tuple(one.commit for one in own.commits),
            leftovers=leftovers,
            diff=self._diff(own, head, tree),
            sha256=digest,
            is_change=(has_commit or has_files) and self._has_content(own.anchor, tree, lay),
            is_committed=has_commit and self._has_content(own.anchor, head, lay),
            trouble=tuple(self._trouble(here, head, entries, marked)),
            notes=tuple(_notes(own.others, lay, self._appeared(head, entries, own.commits))),
        )

    def _head(self, here: str) -> str:
        """Return the tip of the task's branch, also where the agent has left another one, `here`, checked out."""
        top, branch = self.workspace.path, self.workspace.branch
        is_elsewhere = branch not in ("", here)
        return (git_history.tip(top, branch) if is_elsewhere else "") or git.head_commit(top)

    def _diff(self, own: Own, head: str, tree: str) -> DiffStat:
        """Return the size of the work; where others' commits lie between the task's, the sum of its own parts."""
        top = self.workspace.path
        if own.is_all:
            return git.diff_stat(top, own.anchor, tree)
        steps = [(one.parents[0], one.commit.id) for one in own.commits if one.parents] + [(head, tree)]
        parts = [git.diff_stat(top, *step) for step in steps]
        files = {path for step in steps for path in git_history.changed_paths(top, *step)}
        return DiffStat(len(files), sum(one.insertions for one in parts), sum(one.deletions for one in parts))

    def _has_content(self, base: str, tree: str, without: Sequence[str] = ()) -> bool:
        return git_history.has_content(self.workspace.path, base, tree, self.scratch, without)

    def _lay_there(self, anchor: str, tree: str) -> list[str]:
        """Return what was not committed in the main checkout before the agent came, and is now, as it was."""
        strange = self.beginning.strange
        if self.workspace.is_worktree or not strange:
            return []
        top, changed = self.workspace.path, git_history.changed_paths(self.workspace.path, anchor, tree)
        return [path for path in changed if strange.get(path) == starting_point.digest(top / path)]

    def _appeared(self, head: str, entries: Sequence[git.Entry], own: Sequence[Made]) -> list[str]:
        """Return what came into the main checkout while the agent changed nothing."""
        strange = self.beginning.strange
        if self.workspace.is_worktree or not self.beginning.is_idle or strange is None:
            return []
        made = git_history.commits_of(self.workspace.path, self.beginning.base, head)
        commits = [f"commit {one.commit.id[:8]}" for one in made if one not in own]
        files = [one.path for one in entries if not self._is_ours(one) and not _is_by_the_way(one.path)]
        top = self.workspace.path
        return commits + [path for path in files if strange.get(path) != starting_point.digest(top / path)]

    def _is_ours(self, entry: git.Entry) -> bool:
        """Was this file changed by the agent? What its tools make by themselves is no work."""
        if entry.path.endswith("/") or (entry.code == git.UNTRACKED and _is_by_the_way(entry.path)):
            return False
        if self.workspace.is_worktree:
            return True
        strange, digest = self.beginning.strange, starting_point.digest(self.workspace.path / entry.path)
        if self.beginning.left.get(entry.path) == digest:
            return True
        if strange is None or self.beginning.is_idle:
            return False
        return strange.get(entry.path) != digest and self._was_changed_at_work(entry.path, digest)

    def _was_changed_at_work(self, path: str, digest: str) -> bool:
        """Did a file come to this content while an agent of the claim worked? Of one that is gone nothing tells."""
        try:
            changed = (self.workspace.path / path).lstat().st_ctime
        except OSError:
            return True
        return self.beginning.was_written(path, digest, changed - self.skew)

    def _tree(self, head: str, leftovers: Sequence[str]) -> str:
        """Return the tree of HEAD with the leftovers, made in an index of our own."""
        index = PrivateIndex(self.workspace.path, {}, self.scratch / "index")
        index.read(head)
        if failed := index.stage(leftovers):
            raise GitFailed(f"git cannot take in {', '.join(failed[:5])}. Look at these files.")
        return index.tree()

    def _trouble(self, here: str, head: str, entries: Sequence[git.Entry], marked: Sequence[str]) -> Iterator[str]:
        top, before, base = self.workspace.path, self.beginning.before, self.beginning.base
        begun = before.operation if before is not None and not self.workspace.is_worktree else ""
        operation = git.operation_in_progress(top)
        if operation and operation != begun:
            yield f"a {operation} is in progress"
        elif not begun and (unmerged := [entry.path for entry in entries if entry.code in UNMERGED]):
            yield f"conflicts are not resolved in {listed(unmerged)}"
        if marked:
            yield f"conflict markers are left in {listed(marked)}"
        if here != self.workspace.branch:
            yield f"{here or 'no branch'} is checked out instead of {self.workspace.branch or 'a commit'}"
        if not git_history.is_ancestor(top, base, head):
            yield f"the history that the task began with was rewritten: {base[:10]} is not part of it any more"


def _is_by_the_way(path: str) -> bool:
    """Is this a file that the agent's tools make, or the agent's program for itself?"""
    return path.endswith(AGENTS_OWN) or any(map(unsaved_work.is_junk_name, path.split("/")))


def _notes(others: Sequence[str], lay: Sequence[str], appeared: Sequence[str]) -> Iterator[str]:
    if appeared:
        yield f"the agent used no tool, so this, which appeared meanwhile, is not taken for its own: {listed(appeared)}"
    if others:
        yield f"commits by {listed(others)}, made in the main checkout meanwhile, are not taken for the agent's"
    if lay:
        yield f"what somebody had not committed before the agent came was committed with it, as it was: {listed(lay)}"


def _examined(patch: Path) -> tuple[list[str], str]:
    """Return the files that a patch puts conflict markers into, and the digest of the patch."""
    whole, marked = hashlib.sha256(), []
    name, markers = "", list[bytes]()
    with patch.open("rb") as lines:
        while line := lines.readline(1 << 16):
            whole.update(line)
            if line.startswith(b"diff --git "):
                name, markers = _name_in(line), []
            elif found := MARKER.fullmatch(line):
                markers.append(found[1])
                if markers[-3:] == CONFLICT:
                    marked.append(name)
    return list(dict.fromkeys(marked)), whole.hexdigest()


def _name_in(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\n").rpartition(" b/")[2].strip('"')
