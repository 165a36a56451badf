"""What agents have left in a main checkout for tasks that are not done: kept until they are, a file a task.

The next claim of such a task has it to show, and the repository's rules are not read from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from components import durable, git, handoff
from components.model import Task, Workspace

DIRECTORY = "agent-runner-unproven"
"""In the git directory that all worktrees share."""


@dataclass(frozen=True, slots=True)
class Unproven:
    """The commit at which the work on a task began, and what was made for it since.

    `files` maps what was changed and not committed to a digest of its content.
    """

    begun: str
    commits: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)


def note(task: Task, workspace: Workspace, kept: Unproven) -> None:
    """Keep what was made for a task, in place of what was kept of it before; nothing where there is nothing."""
    file = _file(task, workspace.repository)
    if not kept.commits and not kept.files:
        forget(task, workspace)
    elif find(task, workspace.repository) != kept:
        durable.make_directory(file.parent)
        durable.write(file, json.dumps(asdict(kept)).encode(errors="surrogateescape"))


def forget(task: Task, workspace: Workspace) -> None:
    """Let go of what was kept of a task: it is done."""
    file = _file(task, workspace.repository)
    if file.exists():
        durable.remove(file)


def find(task: Task, repository: Path) -> Unproven | None:
    """Return what was kept of a task, None for nothing. Raises UnsafeName."""
    return _read(_file(task, repository))


def commits(repository: Path) -> frozenset[str]:
    """Return the commits of all tasks that are not done. Raises GitFailed."""
    kept = map(_read, (git.git_directory(repository) / DIRECTORY).glob("*.json"))
    return frozenset(commit for one in kept if one is not None for commit in one.commits)


def _read(file: Path) -> Unproven | None:
    try:
        data = json.loads(file.read_bytes().decode(errors="surrogateescape"))
        files = {str(path): str(told) for path, told in data.get("files", {}).items()}
        return Unproven(str(data["begun"]), tuple(map(str, data["commits"])), files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _file(task: Task, repository: Path) -> Path:
    *_, identifier, last = handoff.ref_of(task).split("/")
    return git.git_directory(repository) / DIRECTORY / f"{identifier}-{last.removeprefix('work-')}.json"
