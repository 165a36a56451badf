"""Whose commits they are: what came upon a branch for a task, and what others have made and was merged."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components import branch_names, git_history
from components.git_history import Made
from components.model import Task, Workspace
from components.starting_point import StartingPoint

HEADS, REMOTES = "refs/heads/", "refs/remotes/"
CLOCK_SECONDS = 1.0
"""Times of commits are whole seconds."""
ASKED = r"\bmerg(?:e|es|ed|ing)\b[^\n]{0,80}(?<![\w./-])"
"""What stands before the name of a branch that a task asks to have merged."""


@dataclass(frozen=True, slots=True)
class Span:
    """The time in which an agent worked (seconds since 1970), and what it found: that is not of its making.

    `head` is the commit that it came to, `dirty` what was not committed then, with digests; "" and None if not known.
    """

    begin: float
    end: float
    head: str = ""
    dirty: Mapping[str, str] | None = None

    def covers(self, at: float) -> bool:
        """Was the agent at work at that time?"""
        return self.begin - CLOCK_SECONDS <= at <= self.end + CLOCK_SECONDS


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where the work on a task began, and what is known of it.

    `before` is how things stood when the first agent of the claim came; `spans` are the lives of its agents; `earlier`
    are commits of this task that an earlier claim left in the main checkout, and `left` its files there that were not
    committed, with a digest of their content. `is_idle` says that no agent of the claim has used a tool: it cannot have
    changed anything.
    """

    task: Task
    base: str
    before: StartingPoint | None = None
    spans: Sequence[Span] = ()
    earlier: Collection[str] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    is_idle: bool = False

    @property
    def strange(self) -> Mapping[str, str] | None:
        """What others had not committed in the main checkout, with digests; None where that is not known."""
        dirty = self.before.dirty if self.before else None
        return dirty and {path: told for path, told in dirty.items() if self.left.get(path) != told}

    def was_written(self, path: str, digest: str, at: float) -> bool:
        """Did an agent of the claim give a file the content of that digest, if it was written last at that time?"""
        return any(span.covers(at) and (span.dirty or {}).get(path) != digest for span in self.spans)


@dataclass(frozen=True, slots=True)
class Own:
    """The task's commits, newest first; what their change is measured from; and who made others there meanwhile.

    `is_all` says that nobody else's came after the anchor.
    """

    commits: tuple[Made, ...]
    anchor: str
    others: tuple[str, ...] = ()
    is_all: bool = True


def of(workspace: Workspace, beginning: Beginning, head: str, here: Collection[str]) -> Own:
    """Tell the task's commits from those of others, which do not count though they were merged.

    In the main checkout somebody else may work too: there it has to be made while an agent of the task worked, by
    whom git says that the agent is; `here` is who that is now. Raises GitFailed.
    """
    top, base = workspace.path, beginning.base
    others = tuple(dict.fromkeys(_of_others(workspace, beginning)))
    made = git_history.commits_of(top, base, head, others)
    anchor = base if beginning.earlier else _anchor(top, base, head, others)
    if workspace.is_worktree:
        return Own(tuple(made), anchor)
    if beginning.earlier:  # also where it was pushed or merged since
        there = {one.commit.id for one in made}
        made += [
            one
            for one in git_history.commits_of(top, base, head)
            if one.commit.id in beginning.earlier and one.commit.id not in there
        ]
    meanwhile = set() if beginning.is_idle else _meanwhile(top, beginning, made)
    then = [one for one in made if one.commit.id in {*beginning.earlier, *meanwhile}]
    known = {_mail(who) for who in (*here, *(beginning.before.identities if beginning.before else ()))}
    own = [one for one in then if one.commit.id in beginning.earlier or not known or _mail(one.by) in known]
    strangers = sorted({one.by for one in then if one not in own})
    return Own(tuple(own), anchor, tuple(strangers), is_all=len(own) == len(made))


def _mail(who: str) -> str:
    """Return the address of `Name <mail>`: by it git tells people apart, whatever they call themselves."""
    return who.rpartition("<")[2].lower()


def _meanwhile(top: Path, beginning: Beginning, made: Sequence[Made]) -> set[str]:
    """Return which commits were made while an agent of the task was at work, and were not there when it came."""
    found: set[str] = set()
    for span in beginning.spans:
        lay = git_history.parents_of(top, beginning.base, span.head) if span.head not in ("", beginning.base) else {}
        found |= {one.commit.id for one in made if span.covers(one.at) and one.commit.id not in lay}
    return found


def _anchor(top: Path, base: str, head: str, others: Sequence[str]) -> str:
    """Return the commit that the work is measured from: the beginning, with what was merged of others."""
    came = git_history.parents_of(top, base, head)
    theirs = came.keys() - git_history.parents_of(top, base, head, others).keys()
    inner = {parent for commit in theirs for parent in came[commit]}
    return git_history.merged(top, base, sorted(theirs - inner)) or base


def _of_others(workspace: Workspace, beginning: Beginning) -> Iterator[str]:
    """Yield what other branches and tags were at when the work began and are at now, and what was fetched since.

    A branch that was made since may be the agent's; so may be what was pushed.
    """
    repository = workspace.repository
    trunk, now = git_history.refs(repository)
    before = beginning.before.refs if beginning.before else {}
    known = before or {ref: tip for ref, tip in now.items() if ref == f"{HEADS}{trunk}"}
    ours = _names(workspace, beginning.task, trunk)
    for ref in {**known, **{ref: "" for ref in now if ref.startswith(REMOTES)}}:
        if _is_ours(ref, ours, workspace) or (workspace.is_worktree and _is_asked_for(ref, trunk, beginning.task)):
            continue
        if ref in known:
            yield known[ref]
        if now.get(ref, known.get(ref)) != known.get(ref) and not (
            ref.startswith(REMOTES) and git_history.is_pushed(repository, ref)
        ):
            yield now[ref]


def _is_asked_for(ref: str, trunk: str, task: Task) -> bool:
    """Is it a branch that the task asks to have merged? Then that is the work."""
    name = ref.removeprefix(HEADS)
    named = re.compile(f"{ASKED}{re.escape(name)}(?![\\w/-])", re.IGNORECASE)
    return ref.startswith(HEADS) and name != trunk and named.search(f"{task.title}\n{task.description}") is not None


def _names(workspace: Workspace, task: Task, trunk: str) -> set[str]:
    """Return the names that branches of this task may have."""
    named = {task.branch, branch_names.default_for(task.id), f"task-{task.id}"} if workspace.is_worktree else set()
    return (named - {trunk, ""}) | ({workspace.branch} if workspace.branch else set())


def _is_ours(ref: str, ours: Collection[str], workspace: Workspace) -> bool:
    """Is it a branch of this task? A claim's stands under a name with an ending of its own.

    In the main checkout the branch at a remote is not: others push to it.
    """
    name = ref.removeprefix(HEADS)
    if ref.startswith(REMOTES):
        name = ref.removeprefix(REMOTES).partition("/")[2] if workspace.is_worktree else ""
    return any(name == one or (workspace.is_worktree and name.startswith(f"{one}-")) for one in ours)
