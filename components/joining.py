"""Joins the works that a task builds upon to one commit, at which it begins."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from components import clones, git, git_command, git_history, handoff, starting_point
from components.config import Config
from components.errors import GitFailed, MergeConflict
from components.model import Task
from components.reason_words import detail
from components.states import Reason

logger = logging.getLogger(__name__)

IDENTITY = {
    f"GIT_{who}_{what}": word
    for who in ("AUTHOR", "COMMITTER")
    for what, word in (("NAME", "agent-runner"), ("EMAIL", "agent-runner@localhost"))
}
SHOWN_FILES = 10


@dataclass(frozen=True, slots=True)
class _Works:
    """Commits of a repository that are to be merged for a task; `names` are what people call them."""

    repository: Path
    task: Task
    names: dict[str, str]

    def called(self, commit: str, name: str) -> str:
        """Have a commit that has no name yet called so, and return it."""
        self.names.setdefault(commit, name)
        return commit

    def merged(self, commits: Sequence[str]) -> str:
        """Return the merge of commits, "" of none. Raises MergeConflict with their names and the files."""
        joined = ""
        for commit in commits:
            joined = self._with(joined, commit) if joined else commit
        return joined

    def _with(self, base: str, other: str) -> str:
        if git_history.is_ancestor(self.repository, other, base):
            return base
        if git_history.is_ancestor(self.repository, base, other):
            return other
        pair = [self.names.get(one, one[:12]) for one in (base, other)]
        tree = git_history.merged_tree(self.repository, base, other)
        if not tree:
            files = git_history.conflicts(self.repository, base, other)
            if files is None:
                why = "they have nothing in common, or this git is older than 2.38"
                raise GitFailed(f"{' and '.join(pair)} cannot be merged here: {why}")
            listed = ", ".join(files[:SHOWN_FILES])
            raise MergeConflict(detail(Reason.MERGE_CONFLICT, f"{' and '.join(pair)} conflict in {listed}"))
        words = ("commit-tree", "-p", base, "-p", other, "-m", f"Merge what {self.task.id} builds upon", tree)
        made = git_command.run(self.repository, *words, env=IDENTITY).stdout.decode().strip()
        return self.called(made, ", ".join(pair))


def begin_at(
    config: Config,
    repository: Path,
    task: Task,
    starts: Sequence[str],
    *,
    given: str = "",
    left: Sequence[str] = (),
    names: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Have a task begin at commits of others, merged; each is `COMMIT@BRANCH`, or a branch twice. Returns the commit.

    `left` is what earlier attempts at the same work have left, and `given` the commit that the first of them began at:
    it goes on from there, and is measured from what it was given. What of `left` is nowhere is done without. Returns ""
    where there is nothing to begin at. `names` are what people call the commits of others.

    What is not here is fetched by its branch from `push_remote`. Nothing is checked out: the merge is made of git's
    objects alone. Doing it again changes nothing. Raises MergeConflict with the names and
    the files, and GitFailed.
    """
    known = handoff.find(repository, task)
    if known:
        return known
    pairs = [start.partition("@")[::2] for start in starts]
    works = _Works(repository, task, dict(names))
    base = works.merged([works.called(_found(config, repository, *pair), pair[1] or pair[0][:12]) for pair in pairs])
    work = _left(config, works, left)
    first = _given(works, given, base, work) if work else base
    joined = works.merged([one for one in (first, work) if one])
    if joined != first:
        handoff.begin(repository, task, joined, given=first)
    elif base:
        handoff.begin(repository, task, joined := base)
    else:
        return ""
    return joined


def _left(config: Config, works: _Works, left: Sequence[str]) -> str:
    """Return what earlier attempts have left, as far as it is to be had, "" where nothing is."""
    commits = []
    for commit, branch in (one.partition("@")[::2] for one in left):
        try:
            commits.append(works.called(_found(config, works.repository, commit, branch), "its own earlier attempt"))
        except GitFailed as error:
            logger.warning("%s begins without what an earlier attempt left: %s", works.task.id, error)
    return works.merged(commits)


def _given(works: _Works, given: str, base: str, work: str) -> str:
    """Return what the first attempt was given, with what others have done since; where it is not known, the trunk's."""
    known = _here(works.repository, given) if given else ""
    if known and git_history.is_ancestor(works.repository, known, work):
        return works.merged([one for one in (works.called(known, "what it was given"), base) if one])
    return base or git_history.started_from(works.repository, work)


def _found(config: Config, repository: Path, commit: str, branch: str) -> str:
    """Return a commit that is here, or was fetched now; of a branch its last one. Raises GitFailed."""
    if known := _here(repository, commit):
        return known
    remote = config.push_remote
    address = starting_point.address(repository, remote)
    if address and branch:
        _fetch(config, repository, address, branch)
    is_branch = commit == branch
    if known := _here(repository, f"refs/remotes/{remote}/{branch}" if is_branch else commit):
        return known
    if address:
        where = f"neither in {repository} nor at its remote {remote!r}"
    else:
        where = f"not in {repository}, which has no remote {remote!r}"
    if is_branch:
        raise GitFailed(f"branch {branch!r} is {where}. Correct the name, or make the branch.")
    raise GitFailed(
        f"commit {commit[:12]} of branch {branch or '(none)'} is {where}."
        " Where agents work on several machines, their repository needs a remote to push to."
    )


def _fetch(config: Config, repository: Path, address: str, branch: str) -> None:
    """Fetch a branch from `push_remote`, if it is there. Raises GitFailed."""
    remote = config.push_remote
    words = ("fetch", "--quiet", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--")
    ref = f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}"
    access = clones.access(config, repository, address)
    try:
        with git_command.locked(git.git_directory(repository)) as lock:
            git_command.run(repository, *words, remote, ref, env=access, lock=lock)
    except GitFailed as error:
        if "couldn't find remote ref" not in str(error):
            raise


def _here(repository: Path, name: str) -> str:
    """Return the commit of a name, "" where this repository has none."""
    words = ("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}")
    return git_command.answer(repository, *words, accepted=(0, 1, 128))
