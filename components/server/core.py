"""What all routes of the service work on: configuration, history, board, live output."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Request, WebSocket

from components import git, projects
from components.board import Board
from components.config import Loaded
from components.errors import ConfigError, NotARepository, NotFound
from components.hook_register import HookRegister
from components.projects import Project
from components.redact import Redactor
from components.server.beginnings import Beginnings
from components.server.bulletin import Bulletin
from components.server.feeds import Feeds
from components.server.metrics import Meters
from components.server.places import Places
from components.setting_kinds import nearest
from components.store import Store
from components.task_persistence import host_name


class ProjectNotNamed(ConfigError):
    """Several projects are known, and none was named."""


@dataclass(frozen=True, slots=True)
class Core:
    """The parts of a service. `host` is what the store knows this machine by, `host_name` what people call it.

    `children` are the runners that this process has started and must collect;
    `adoptions` counts by id how often it gave an execution another one; `over` are those known to have a verdict.
    On `hooks` a program that embeds the service hangs its callables; `awaited` are the executions whose end they are
    still to be told."""

    loaded: Loaded
    environ: Mapping[str, str]
    store: Store
    board: Board
    feeds: Feeds
    bulletin: Bulletin
    beginnings: Beginnings
    places: Places
    meters: Meters
    redact: Redactor
    host: str = field(default_factory=host_name)
    host_name: str = field(default_factory=socket.gethostname)
    children: set[int] = field(default_factory=set)
    adoptions: dict[str, int] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    hooks: HookRegister = field(default_factory=HookRegister)
    awaited: set[str] = field(default_factory=set)

    @property
    def home(self) -> Path:
        return self.loaded.config.home

    @property
    def config_file(self) -> str:
        """The configuration file as every process of this machine finds it, "" for none."""
        file = self.loaded.file
        return str(file.absolute()) if file is not None else ""

    def projects(self) -> dict[str, Path]:
        """Return the repositories that tasks may be for, by name: the configured ones, and the one we stand in."""
        config = self.loaded.config
        known = {name: Path(os.path.expanduser(place)).resolve() for name, place in config.projects.items()}  # noqa: PTH111
        if config.repository.resolve() not in known.values():
            try:
                top = git.require_repository(config.repository)
            except NotARepository:
                return known
            known.setdefault(top.name, top)
        return known

    def project(self, word: str) -> Project:
        """Return the project of a name, or of the path of a known one; "" is the only one, where there is one.

        Raises NotFound and ProjectNotNamed with the known names, NotARepository where it is none any more.
        """
        known = self.projects()
        if not word and len(known) == 1:
            word = next(iter(known))
        if not word and known:
            raise ProjectNotNamed(f"project: there are several; name one of: {', '.join(sorted(known))}")
        name = next((name for name, path in known.items() if word in (name, str(path))), "")
        if not name:
            listed = ", ".join(sorted(known)) or "none; add `projects:` to config.yaml"
            raise NotFound(
                f"project {word[:200]!r} is not known{nearest(word[:200], tuple(known))}; known are: {listed}"
            )
        return Project(name, git.require_repository(known[name]))

    def shown_host(self, host: str) -> str:
        """Return what people call a machine: this one's name; of another one nothing but its id is known."""
        return self.host_name if host == self.host else host

    def shown_project(self, path: str) -> str:
        """Return what people call a repository."""
        return projects.shown(self.loaded.config, path)


def core_of(request: Request) -> Core:
    """Return the parts of the service that serves a request."""
    core: Core = request.app.state.core
    return core


def core_behind(socket: WebSocket) -> Core:
    """Return the parts of the service that serves a WebSocket."""
    core: Core = socket.app.state.core
    return core
