"""A workspace as git is asked about it, whatever the agent has made of its `.git`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components import git, git_command
from components.errors import GitFailed
from components.model import Workspace
from components.worktree_entry import WorktreeEntry

logger = logging.getLogger(__name__)

EVERY_REF = ("--branches", "--tags", "--remotes", "--glob=refs/agent-runner/*")


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files of a workspace (`top`), and in `env` what leads git to them.

    `entry` is the git directory of this worktree, `common` that of the repository. Where the directory was deleted,
    `top` is the entry.
    """

    workspace: Workspace
    top: Path
    entry: Path
    common: Path
    env: Mapping[str, str]

    @property
    def is_there(self) -> bool:
        """Are there any files?"""
        return self.top != self.entry

    def ask(self, *words: str) -> str:
        """Return git's answer, "" where it has none."""
        answered = git_command.run(self.top, *words, env=self.env, accepted=(0, 1, 128))
        return "" if answered.exit_code else answered.stdout.decode(errors="replace").strip()

    def head(self) -> str:
        """Return the commit that is checked out, or the one that the work began at if that cannot be told."""
        return self.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}") or self.workspace.base_commit

    def has_commits_on_no_branch(self) -> bool:
        """Are there commits on a detached HEAD that no branch, tag or snapshot leads to?"""
        if self.ask("symbolic-ref", "--quiet", "HEAD"):
            return False
        return bool(self.ask("rev-list", "--max-count=1", "HEAD", "--not", *EVERY_REF))

    def entries(self) -> list[git.Entry] | None:
        """Return what `git status` tells, or None when it cannot: no files, a broken index, a list without end."""
        if not self.is_there:
            return None
        try:
            return git.status(self.top, ignored=True, env=self.env)
        except GitFailed as error:
            logger.info("every file of %s is looked at: %s", self.top, error)
            return None


def of(workspace: Workspace) -> Checkout:
    """Return how to ask about a workspace. Raises GitFailed where that may lead to files that are not the work."""
    path, common = workspace.path, git.git_directory(workspace.repository)
    if not workspace.is_worktree:
        entry = Path(git_command.answer(path, "rev-parse", "--absolute-git-dir"))
        return Checkout(workspace, path, entry, common, {})
    entry = WorktreeEntry(common, path).entry
    if not entry.is_dir():
        raise GitFailed(f"git does not know {path} as a worktree any more. Look at it by hand.")
    if path.is_symlink():
        raise GitFailed(f"{path} was replaced by a link. Look where it leads.")
    if not path.is_dir():
        return Checkout(workspace, entry, entry, common, {"GIT_DIR": str(entry)})
    return Checkout(workspace, path, entry, common, {"GIT_DIR": str(entry), "GIT_WORK_TREE": str(path)})
