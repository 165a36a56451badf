"""What a workspace holds beyond the commit it began at: commits, changes, and what was left half done."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components import git, git_history, starting_point, unsaved_work
from components.errors import GitFailed
from components.git import Commit, DiffStat
from components.model import Workspace
from components.private_index import PrivateIndex
from components.starting_point import StartingPoint

MARKER = re.compile(rb"\+(<{7}|={7}|>{7})(?: .*)?\r?\n?")
CONFLICT = [b"<" * 7, b"=" * 7, b">" * 7]
UNMERGED = frozenset({"DD", "AU", "UD", "UA", "DU", "AA", "UU"})
CLOCK_SECONDS = 1.0
"""Times of commits are whole seconds."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found. `commits` are those made for the task, newest first; `leftovers` are its uncommitted files.

    `tree` is the work with its leftovers as one tree. `sha256` is the digest of the patch from `base` to `tree`, as
    `git diff --no-renames --full-index BASE TREE` prints it. `is_change` and `is_committed` say whether it alters
    anything but white space, with and without the leftovers. `trouble` says why it is not finished, in words.
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


def gather(workspace: Workspace, base: str, before: StartingPoint | None, spans: Sequence[Span]) -> Evidence:
    """Return what a workspace holds beyond `base`; the workspace must be there.

    `before` is how things stood when the first agent of the claim came; `spans` are the times in which its agents
    worked (seconds since 1970): in the main checkout only what was committed then is theirs.
    Raises GitFailed where git cannot tell.
    """
    with tempfile.TemporaryDirectory(prefix="agent-runner-") as scratch:
        return _Gathering(workspace, base, before, spans, Path(scratch)).evidence()


@dataclass(frozen=True, slots=True)
class _Gathering:
    workspace: Workspace
    base: str
    before: StartingPoint | None
    spans: Sequence[Span]
    scratch: Path

    def evidence(self) -> Evidence:
        top = self.workspace.path
        head = git.head_commit(top)
        entries = starting_point.uncommitted(top)
        leftovers = tuple(entry.path for entry in entries if self._is_ours(entry))
        commits, anchor = self._commits(head)
        tree = self._tree(head, leftovers)
        patch = self.scratch / "patch"
        git_history.write_patch(top, anchor, tree, patch)
        marked, digest = _examined(patch)
        has_commit = any(self._has_content(f"{commit.id}^", commit.id) for commit in commits)
        has_files = bool(leftovers) and self._has_content(head, tree)
        return Evidence(
            base=anchor,
            head=head,
            branch=git.current_branch(top),
            tree=tree,
            commits=tuple(commits),
            leftovers=leftovers,
            diff=git.diff_stat(top, anchor, tree),
            sha256=digest,
            is_change=(has_commit or has_files) and self._has_content(anchor, tree),
            is_committed=has_commit and self._has_content(anchor, head),
            trouble=tuple(self._trouble(head, entries, marked)),
        )

    def _has_content(self, base: str, tree: str) -> bool:
        return git_history.has_content(self.workspace.path, base, tree, self.scratch)

    def _is_ours(self, entry: git.Entry) -> bool:
        """Was this file changed by the agent? What its tools make by themselves is no work."""
        if entry.path.endswith("/") or (
            entry.code == git.UNTRACKED and any(map(unsaved_work.is_junk_name, entry.path.split("/")))
        ):
            return False
        if self.workspace.is_worktree:
            return True
        if self.before is None or self.before.dirty is None:
            return False
        earlier = self.before.dirty.get(entry.path)
        return earlier is None or earlier != starting_point.digest(self.workspace.path / entry.path)

    def _commits(self, head: str) -> tuple[list[Commit], str]:
        """Return the task's own commits, and the commit or tree that its work is measured from.

        What others have made does not count: commits of the trunk that were merged, or in the main checkout what
        came in while no agent of ours worked.
        """
        top = self.workspace.path
        if not self.workspace.is_worktree:
            found = git_history.commits_of(top, self.base, head)
            return [commit for commit, at in found if self._is_in_span(at)], self.base
        tip = git_history.trunk(self.workspace.repository)
        shared = git_history.merge_base(top, tip, head) if tip else ""
        if not shared or git_history.is_ancestor(top, shared, self.base):
            return [commit for commit, _ in git_history.commits_of(top, self.base, head)], self.base
        commits = [commit for commit, _ in git_history.commits_of(top, self.base, head, (shared,))]
        if git_history.is_ancestor(top, self.base, shared):
            return commits, shared
        return commits, git_history.merged_tree(top, self.base, shared) or self.base

    def _is_in_span(self, at: int) -> bool:
        return any(begin - CLOCK_SECONDS <= at <= end + CLOCK_SECONDS for begin, end in self.spans)

    def _tree(self, head: str, leftovers: Sequence[str]) -> str:
        """Return the tree of HEAD with the leftovers, made in an index of our own."""
        index = PrivateIndex(self.workspace.path, {}, self.scratch / "index")
        index.read(head)
        if failed := index.stage(leftovers):
            raise GitFailed(f"git cannot take in {', '.join(failed[:5])}. Look at these files.")
        return index.tree()

    def _trouble(self, head: str, entries: Sequence[git.Entry], marked: Sequence[str]) -> Iterator[str]:
        top, before = self.workspace.path, self.before
        begun = before.operation if before is not None and not self.workspace.is_worktree else ""
        operation = git.operation_in_progress(top)
        if operation and operation != begun:
            yield f"a {operation} is in progress"
        elif not begun and (unmerged := [entry.path for entry in entries if entry.code in UNMERGED]):
            yield f"conflicts are not resolved in {listed(unmerged)}"
        if marked:
            yield f"conflict markers are left in {listed(marked)}"
        here = git.current_branch(top)
        if here != self.workspace.branch:
            yield f"{here or 'no branch'} is checked out instead of {self.workspace.branch or 'a commit'}"
        if not git_history.is_ancestor(top, self.base, head):
            yield f"the history that the task began with was rewritten: {self.base[:10]} is not part of it any more"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first of some names for a person, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


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
