"""Joins the works that a task builds upon to one commit, at which it begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components import clones, git, git_command, git_history, handoff, starting_point
from components.config import Config
from components.errors import GitFailed, MergeConflict
from components.model import Task
from components.reason_words import detail
from components.states import Reason

IDENTITY = {
    f"GIT_{who}_{what}": word
    for who in ("AUTHOR", "COMMITTER")
    for what, word in (("NAME", "agent-runner"), ("EMAIL", "agent-runner@localhost"))
}
SHOWN_FILES = 10


def begin_at(config: Config, repository: Path, task: Task, starts: Sequence[str]) -> str:
    """Have a task begin at commits of others, merged; each is `COMMIT@BRANCH`. Returns the commit.

    What is not here is fetched by its branch from `push_remote`. Nothing is checked out: the merge is made of git's
    objects alone. Doing it again changes nothing. Raises MergeConflict with the files, and GitFailed.
    """
    known = handoff.find(repository, task)
    if known:
        return known
    pairs = [start.partition("@")[::2] for start in starts]
    for commit, branch in pairs:
        _require(config, repository, commit, branch)
    joined, *others = [commit for commit, _ in pairs]
    for other in others:
        joined = _merged(repository, joined, other, task)
    with git_command.locked(git.git_directory(repository)) as lock:
        git_command.run(repository, "update-ref", handoff.ref_of(task), joined, lock=lock)
    return joined


def _require(config: Config, repository: Path, commit: str, branch: str) -> None:
    """See that a commit is here, or fetch it. Raises GitFailed."""
    if _is_here(repository, commit):
        return
    remote = config.push_remote
    address = starting_point.address(repository, remote)
    if address and branch:
        words = ("fetch", "--quiet", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--")
        with git_command.locked(git.git_directory(repository)) as lock:
            ref = f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}"
            access = clones.access(config, repository, address)
            git_command.run(repository, *words, remote, ref, env=access, lock=lock)
    if not _is_here(repository, commit):
        raise GitFailed(
            f"commit {commit[:12]} of branch {branch or '(none)'} is neither in {repository} nor at its remote"
            f" {remote!r}. Where agents work on several machines, their repository needs a remote to push to."
        )


def _is_here(repository: Path, commit: str) -> bool:
    return git_command.run(repository, "cat-file", "-e", f"{commit}^{{commit}}", accepted=(0, 1, 128)).exit_code == 0


def _merged(repository: Path, base: str, other: str, task: Task) -> str:
    if git_history.is_ancestor(repository, other, base):
        return base
    if git_history.is_ancestor(repository, base, other):
        return other
    tree = git_history.merged_tree(repository, base, other)
    if not tree:
        files = git_history.conflicts(repository, base, other)
        if files is None:
            why = "they have nothing in common, or this git is older than 2.38"
            raise GitFailed(f"{base[:12]} and {other[:12]} cannot be merged here: {why}")
        listed = ", ".join(files[:SHOWN_FILES])
        raise MergeConflict(detail(Reason.MERGE_CONFLICT, f"{base[:12]} and {other[:12]} conflict in {listed}"))
    words = ("commit-tree", "-p", base, "-p", other, "-m", f"Merge what {task.id} builds upon", tree)
    return git_command.run(repository, *words, env=IDENTITY).stdout.decode().strip()
