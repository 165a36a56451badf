"""Names of branches and worktrees: what a task's own text may become, and what is taken instead."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from components.errors import UnsafeName
from components.short_id import SHORT

IDENTIFIER = re.compile(r"[0-9A-Za-z_-]{1,64}")
BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,200}")
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
AGENT = re.compile(r"agent-[0-9a-f]{8}-[0-9]{8}T[0-9]{6}")
WORKTREE = re.compile(rf"(task-[0-9A-Za-z_-]{{1,90}}-a[0-9]{{1,9}}|{AGENT.pattern}(-a[0-9]{{1,9}})?)(-[0-9])?")
LAST_NUMBER = 9


def check_identifier(what: str, text: str) -> None:
    """Raise UnsafeName when an id has characters that may not reach a path or a branch name."""
    if not IDENTIFIER.fullmatch(text):
        raise UnsafeName(
            f"{what} {text[:80]!r} may not be used in a path: only letters, digits, - and _, 1 to 64 of them. "
            "Correct it at its source."
        )


def is_safe(branch: str) -> bool:
    """Is this text a branch name for git, a shell and a person alike?

    Within this alphabet these are all of git's rules (`git help check-ref-format`); a name that reads as a commit or
    as a full ref is refused too, because git would take it for one.
    """
    if not BRANCH.fullmatch(branch) or branch == "HEAD" or branch.startswith("refs/") or COMMIT.fullmatch(branch):
        return False
    if ".." in branch or branch.endswith("."):
        return False
    return not any(part == "" or part.startswith(".") or part.endswith(".lock") for part in branch.split("/"))


def default_for(task_id: str) -> str:
    """Return the branch of a task that names none."""
    return f"feature/task-{task_id}"


def candidates(wanted: str, task_id: str, claim: str) -> Iterator[str]:
    """Yield branch names for a claim, best first.

    The flat `task-<id>` comes last: it is the way out where a branch called `feature` forbids `feature/…`.
    """
    for name in dict.fromkeys((wanted, default_for(task_id), f"task-{task_id}")):
        yield name
        yield f"{name}-{claim[:SHORT]}"
        for number in range(2, LAST_NUMBER + 1):
            yield f"{name}-{claim[:SHORT]}-{number}"


def is_taken(name: str, existing: Collection[str]) -> bool:
    """Would git refuse to make this branch beside the existing ones? A branch may not be a folder of another."""
    parts = name.split("/")
    parents = {"/".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return any(other in parents or other.startswith(name + "/") for other in existing)


def worktree_prefix(task_id: str, claim: str) -> str:
    """Return what the names of all worktrees of a claim begin with; the id of an agent's task has its time in it."""
    if AGENT.fullmatch(task_id):
        return task_id
    return f"task-{task_id}-{claim[:SHORT]}-a"


def worktree_name(task_id: str, claim: str, attempt: int, number: int = 1) -> str:
    """Return the directory name of an attempt's worktree; `number` counts names that could not be used."""
    prefix = worktree_prefix(task_id, claim)
    which = ("" if attempt == 1 else f"-a{attempt}") if AGENT.fullmatch(task_id) else str(attempt)
    return prefix + which + (f"-{number}" if number > 1 else "")


def is_worktree_name(name: str) -> bool:
    """Does this directory name have the form of ours?"""
    return WORKTREE.fullmatch(name) is not None
