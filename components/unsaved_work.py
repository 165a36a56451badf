"""What would be lost with a worktree, in words for a person; nothing is changed by looking."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from components import git, git_command
from components.errors import GitFailed
from components.worktree_entry import WorktreeEntry

JUNK = (
    *("__pycache__", "*.pyc", "*.pyo", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", "*.egg-info"),
    *(".venv", ".tox", ".nox", "node_modules", ".DS_Store", ".coverage"),
)
"""Names that tools make again by themselves. They count as junk only where the repository ignores them."""

SHOWN = 5


def in_directory(worktree: WorktreeEntry) -> list[str]:
    """Return what is not saved in a worktree that is there: files, commits, an operation half-way."""
    entries = git.status(worktree.path, ignored=True)
    kept_out = {git.UNTRACKED, git.IGNORED}
    reasons = [
        *_files("uncommitted change", [entry.path for entry in entries if entry.code not in kept_out]),
        *_files("untracked file", [entry.path for entry in entries if entry.code == git.UNTRACKED]),
        *_files("ignored file", [entry.path for entry in entries if entry.code == git.IGNORED and not is_junk(entry)]),
    ]
    return reasons + in_entry(worktree)


def in_entry(worktree: WorktreeEntry) -> list[str]:
    """Return what is not saved in the git directory of a worktree; its files need not be there."""
    env = {"GIT_DIR": str(worktree.entry)}
    reasons = []
    if operation := git.operation_in(worktree.entry):
        reasons.append(f"a {operation} is in progress")
    if (worktree.entry / "modules").exists():
        reasons.append("submodules were checked out; their commits may be nowhere else")
    if (worktree.entry / "locked").exists():
        reasons.append("it is locked (git worktree unlock)")
    elsewhere = ("--not", "--branches", "--tags", "--remotes")
    lost = git_command.run(worktree.entry, "rev-list", "--count", "HEAD", *elsewhere, env=env).stdout.strip().decode()
    if lost != "0":
        reasons.append(f"{_count(int(lost), 'commit')} on no branch")
    staged = git_command.run(
        worktree.entry, "diff-index", "--cached", "--quiet", "HEAD", "--", env=env, accepted=(0, 1)
    )
    if staged.exit_code and not worktree.path.exists():
        reasons.append("staged changes")
    return reasons


def hidden_in(directory: Path, entry: Path) -> list[str]:
    """Return the files that differ from HEAD by their content, whatever the index claims of them.

    It reads every file, against an index of its own: `git update-index --assume-unchanged`, or a change that kept
    size and time, hides a file from `git status`. Deleted files are not listed: HEAD has them.
    """
    with tempfile.TemporaryDirectory(prefix="agent-runner-") as scratch:
        env = {"GIT_DIR": str(entry), "GIT_WORK_TREE": str(directory), "GIT_INDEX_FILE": f"{scratch}/index"}
        git_command.run(directory, "read-tree", "HEAD", env=env)
        entries = git.status(directory, ignored=True, env=env)
    found = [found.path for found in entries if found.code != " D" and not is_junk(found)]
    return _files("file that is not in HEAD", found, "files that are not in HEAD")


def all_of(worktree: WorktreeEntry) -> list[str]:
    """Return everything that removing the worktree would lose. What git cannot tell counts as a loss."""
    try:
        if not worktree.path.exists():
            return in_entry(worktree)
        return in_directory(worktree) or hidden_in(worktree.path, worktree.entry)
    except GitFailed as error:
        return [str(error)]


def is_junk(entry: git.Entry) -> bool:
    """Is this something that a tool makes again by itself, and that the repository ignores?"""
    return entry.code == git.IGNORED and any(is_junk_name(part) for part in entry.path.rstrip("/").split("/"))


def is_junk_name(name: str) -> bool:
    """Does a file or directory bear a name of junk? It counts only for what the repository ignores."""
    return any(fnmatch(name, pattern) for pattern in JUNK)


def _files(what: str, paths: Sequence[str], plural: str = "") -> list[str]:
    if not paths:
        return []
    shown = ", ".join(git_command.printable(path) for path in paths[:SHOWN])
    return [f"{_count(len(paths), what, plural)}: {shown}" + (", ..." if len(paths) > SHOWN else "")]


def _count(number: int, what: str, plural: str = "") -> str:
    return f"1 {what}" if number == 1 else f"{number} {plural or what + 's'}"
