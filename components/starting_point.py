"""How things stood when an agent came: kept beside its run, so that only what it did itself counts as its work."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components import durable, git, git_command, git_history
from components.errors import GitFailed
from components.model import Workspace
from components.worktree_entry import WorktreeEntry

FILE = "before.json"
IDENTITY = ("GIT_AUTHOR_", "GIT_COMMITTER_")
HASHED_BYTES = 64 << 20
"""Of a larger file its size and time stand for its content."""
OWN_AFFAIRS = ("branch.", "user.", "gc.", "maintenance.")
"""Sections of git's configuration that git itself or an agent may write without any harm to others."""
SENDING = ("remote.", "url.", "credential.", "http.", "https.", "ssh.", "protocol.", "include", "core.ssh", "core.git")
"""Sections that decide where a push goes, and which programs it starts."""


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """The main checkout and git's configuration, as they were at a time (seconds since 1970).

    `dirty` maps each path that was not committed to a digest of its content; None where it could not be told.
    `refs` are the tips of branches, remotes' branches and tags; `identities` is who git says that the agent is.
    `configuration` and `sending` are digests: of all settings and hooks, and of where a push goes and by what means.
    """

    at: float
    head: str
    branch: str
    operation: str = ""
    dirty: dict[str, str] | None = field(default_factory=dict)
    configuration: str = ""
    sending: str = ""
    is_worktree: bool = False
    repository: str = ""
    refs: dict[str, str] = field(default_factory=dict)
    identities: list[str] = field(default_factory=list)


def note(directory: Path, workspace: Workspace, remote: str) -> None:
    """Write down how things stand, into a run directory, before its agent starts. Raises GitFailed."""
    durable.create(directory / FILE, json.dumps(asdict(now(workspace, remote))).encode(errors="surrogateescape"))


def read(directory: Path) -> StartingPoint | None:
    """Return what was noted for a run, None where nothing was."""
    try:
        data: dict[str, Any] = json.loads((directory / FILE).read_bytes().decode(errors="surrogateescape"))
        return StartingPoint(**data)
    except (OSError, ValueError, TypeError):
        return None


def now(workspace: Workspace, remote: str) -> StartingPoint:
    """Return how things stand at this moment. Raises GitFailed."""
    top = workspace.repository
    settings = list(_settings(workspace))
    hooks = _hooks(git.git_directory(top))
    sending = (one for name, one in settings if name.startswith(SENDING))
    return StartingPoint(
        at=time.time(),
        head=git.head_commit(top),
        branch=git.current_branch(top),
        operation=git.operation_in_progress(top),
        dirty=_dirty(top),
        configuration=_digest_of([*(one for _, one in settings), *hooks]),
        sending=_digest_of([address(top, remote), *sending]),
        is_worktree=workspace.is_worktree,
        repository=str(top),
        refs=git_history.refs(top)[1],
        identities=sorted(identities(top)),
    )


def identities(top: Path) -> set[str]:
    """Return whom git takes for the author and the committer there, `Name <mail>` each; the agent is given the same."""
    given = {name: value for name, value in os.environ.items() if name.startswith(IDENTITY)}
    words = ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT")
    told = (git_command.run(top, "var", word, env=given, accepted=(0, 128)).stdout for word in words)
    return {os.fsdecode(one).rpartition(">")[0] + ">" for one in told if b">" in one}


def address(repository: Path, remote: str) -> str:
    """Return where a push to a remote goes, "" where no such remote is configured. It may hold a password."""
    return git_command.answer(repository, "remote", "get-url", "--push", "--", remote, accepted=(0, 2, 128))


def addresses(repository: Path, remote: str) -> tuple[str, ...]:
    """Return where a push goes, and what is written of it before `insteadOf` makes another address of it."""
    written = git_command.answer(repository, "config", "--get", f"remote.{remote}.url", accepted=(0, 1, 2))
    return (address(repository, remote), written)


def uncommitted(path: Path) -> list[git.Entry]:
    """Return every file that differs from HEAD, one by one; a repository inside is one entry that ends in a slash.

    Raises GitFailed.
    """
    words = ("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=none")
    listed = git_command.run(path, *words).stdout
    if len(listed) >= 1 << 20:
        raise GitFailed(f"git status in {path} lists over a megabyte of changes. Look at it by hand.")
    return [git.Entry(entry[:2], entry[3:]) for entry in os.fsdecode(listed).split("\0") if entry]


def digest(path: Path) -> str:
    """Return what tells one content of a file from another; "" where there is none."""
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            return f"link {path.readlink()}"
        if not stat.S_ISREG(found.st_mode) or found.st_size > HASHED_BYTES:
            return f"{found.st_mode} {found.st_size} {found.st_mtime_ns}"
        return f"{found.st_mode & 0o111} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    except OSError:
        return ""


def _dirty(top: Path) -> dict[str, str] | None:
    try:
        return {entry.path: digest(top / entry.path) for entry in uncommitted(top)}
    except GitFailed:
        return None


def _settings(workspace: Workspace) -> Iterator[tuple[str, str]]:
    """Yield the name of each setting of the repository that matters, with all of it."""
    common = git.git_directory(workspace.repository)
    files = [common / "config", common / "config.worktree"]
    if workspace.is_worktree:
        files.append(WorktreeEntry(common, workspace.path).entry / "config.worktree")
    for file in files:
        if file.is_file():
            listed = git_command.run(file.parent, "config", "--file", str(file), "--list", "-z", upwards=True).stdout
            for setting in sorted(os.fsdecode(listed).split("\0")):
                if setting and not setting.startswith(OWN_AFFAIRS):
                    yield setting, f"{file} {setting}"


def _hooks(common: Path) -> Iterator[str]:
    """Yield what tells whether a program was added that git starts by itself, or changed."""
    yield digest(common / "info" / "attributes")
    if (common / "hooks").is_dir():
        yield from (f"{path} {digest(path)}" for path in sorted((common / "hooks").iterdir()))


def _digest_of(lines: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(lines).encode(errors="surrogateescape")).hexdigest()
