"""The repositories that people name: by a name of the configuration, or by a path."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from components import git
from components.config import Config
from components.errors import NotARepository, NotFound
from components.setting_kinds import nearest


@dataclass(frozen=True, slots=True)
class Project:
    """A repository and what people call it."""

    name: str
    path: Path


def find(config: Config, word: str) -> Project:
    """Return the project of a name or a path. Raises NotFound naming the nearest name, NotARepository with a remedy."""
    if word in config.projects:
        return Project(word, git.require_repository(Path(os.path.expanduser(config.projects[word]))))  # noqa: PTH111
    path = Path(os.path.expanduser(word))  # noqa: PTH111
    if "/" not in word and not path.is_dir():
        known = ", ".join(sorted(config.projects)) or "none"
        raise NotFound(
            f"project {word!r}: neither a name of `projects:` ({known}) nor a directory here"
            f"{nearest(word, tuple(config.projects))}; name a git repository, or add it to config.yaml"
        )
    try:
        top = git.require_repository(path)
    except NotARepository as error:
        raise NotARepository(f"project {word!r}: {error}") from error
    name = next((name for name, place in config.projects.items() if _is_at(place, top)), top.name)
    return Project(name, top)


def _is_at(place: str, top: Path) -> bool:
    return Path(os.path.expanduser(place)).resolve() == top  # noqa: PTH111
