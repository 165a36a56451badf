"""What an execution has changed: between which two commits, or trees, of which repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import execution_index, git, git_command, receipt
from components.errors import GitFailed, NotARepository, NotFound
from components.execution import Execution
from components.execution_index import ExecutionFiles
from components.model import Workspace

OBJECT = "{}^{{object}}"


@dataclass(frozen=True, slots=True)
class Change:
    """A change in a repository. `after` is a commit or a tree, "" for the files as they are in `directory` now."""

    directory: Path
    before: str
    after: str
    branch: str

    def words(self, *more: str) -> tuple[str, ...]:
        """Return the words for git that show it."""
        return ("diff", *SAFE, *more, *filter(None, (self.before, self.after)), "--")


SAFE = ("--no-ext-diff", "--no-textconv")


def of(files: ExecutionFiles, row: Execution | None, *, is_live: bool) -> Change:
    """Return what an execution has changed, also when its worktree is gone.

    Of one at work it is its worktree as it is now, uncommitted changes too. Of one that is over it is the tree that
    was examined, else its branch, else the last commit that its receipt tells.
    Raises NotFound saying what is missing, NotARepository, and GitFailed.
    """
    place = _workspace(files, row)
    if place is None or not place.base_commit:
        raise NotFound(f"execution {files.short_id} has no workspace: it ended, or is, before an agent began")
    if is_live and place.path.is_dir():
        return Change(place.path, place.base_commit, "", place.branch)
    try:
        repository = git.require_repository(place.repository)
    except NotARepository as error:
        raise NotARepository(f"the repository of execution {files.short_id}: {error}") from error
    evidence = evidence_of(files)
    branch = place.branch if place.is_worktree else ""
    refs = (str(evidence.get("tree") or ""), f"refs/heads/{branch}" if branch else "", str(evidence.get("head") or ""))
    after = next((one for one in refs if one and _is_there(repository, one)), "")
    before = str(evidence.get("base") or place.base_commit)
    if not (after and _is_there(repository, before)):
        raise NotFound(
            f"the work of execution {files.short_id} is not in {repository} (any more): branch {place.branch!r}"
            " ended without a change, or was deleted; `workspaces` shows what was saved of it"
        )
    return Change(repository, before, after, branch)


def stat(change: Change) -> str:
    """Return which files a change touches, and how much, as a table of 80 columns. Raises GitFailed."""
    words = change.words("--stat=80", "--stat-count=50", "--no-color")
    return git_command.run(change.directory, *words).stdout.decode(errors="replace").strip("\n")


def _workspace(files: ExecutionFiles, row: Execution | None) -> Workspace | None:
    held = execution_index.last_entry(files.home, files.id)
    if held is not None and held.workspace is not None:
        return held.workspace
    if row is None or not row.base_commit:
        return None
    is_worktree = row.complexity == "major"
    return Workspace(Path(row.workspace), Path(row.project), row.branch, row.base_commit, is_worktree)


def evidence_of(files: ExecutionFiles) -> dict[str, Any]:
    """Return what was found of the work of an execution when it was examined last; empty where it was not."""
    found = (receipt.read(run).get("evidence") for run in reversed(files.runs().values()))
    return next((one for one in found if isinstance(one, dict)), {})


def _is_there(repository: Path, name: str) -> bool:
    try:
        words = ("rev-parse", "--quiet", "--verify", "--end-of-options", OBJECT.format(name))
        return git_command.run(repository, *words, accepted=(0, 1)).exit_code == 0
    except GitFailed:
        return False
