"""The repositories that people name: by a name of the configuration, or by a path."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable
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
    """Return the project of a name or a path. Raises NotFound with the nearest name, or the remedy."""
    if word in config.projects:
        try:
            return Project(word, git.require_repository(_place(config.projects[word])))
        except NotARepository as error:
            raise NotFound(
                f"project {word!r}: `projects:` says it is at {config.projects[word]}, and that is no git repository"
                " (any more); bring it back, or correct its path in config.yaml"
            ) from error
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
        why = str(error).replace("Name a git checkout with --repo.", "Name a git repository, or one of `projects:`.")
        raise NotFound(f"project {why.removeprefix('repository ')}") from error
    name = next((name for name, place in config.projects.items() if _is_at(place, top)), top.name)
    return Project(name, top)


def all_there(config: Config, known: Iterable[str]) -> list[Path]:
    """Return the repositories that are named or `known` to the history, and are still there."""
    tops = []
    for place in (*map(str, config.projects.values()), *known):
        with contextlib.suppress(NotARepository):
            tops.append(git.require_repository(_place(place)))
    return list(dict.fromkeys(tops))


def shown(config: Config, path: str) -> str:
    """Return what people call the repository of a path: its configured name, or the name of its directory."""
    known = (name for name, place in config.projects.items() if str(_place(place)) == path)
    return next(known, path.rstrip("/").rpartition("/")[2])


def chosen(config: Config, word: str, known: Collection[str]) -> str:
    """Return the path of the project that a person means, also of one that is gone and only `known` to the history.

    Raises NotFound and NotARepository as `find`.
    """
    of_history = [path for path in known if word in (path, path.rpartition("/")[2])]
    if word in config.projects:
        path = str(_place(config.projects[word]))
        return path if path in known else str(find(config, word).path)
    if len(of_history) == 1 and not Path(word).is_dir():
        return of_history[0]
    return str(find(config, word).path)


def _place(text: str) -> Path:
    return Path(os.path.expanduser(text)).resolve()  # noqa: PTH111


def _is_at(place: str, top: Path) -> bool:
    return _place(place) == top
