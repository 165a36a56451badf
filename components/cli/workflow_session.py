"""What the commands about workflows and agents share: the store, the engine with its queue, and who works on them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.cli.output import folded, show

if TYPE_CHECKING:
    from components.agent_store import AgentStore
    from components.config import Config
    from components.workflow import Graph
    from components.workflow_engine import WorkflowEngine

INTERRUPTED = 130
LOOK_SECONDS = 0.5
ENDING_SECONDS = 30.0
"""How long to wait beyond the grace that an agent is given for the ends of those that were cancelled."""


def loaded(file: Path | None) -> Config:
    """Return the configuration."""
    from components.config import load

    return load({}, os.environ, file=file).config


def config_file(file: Path | None) -> str:
    """Return the configuration file as agents on this machine find it, "" for the usual one."""
    return str(file.absolute()) if file else ""


def agents(config: Config) -> AgentStore:
    """Return the agents of the store."""
    from components.agent_store import AgentStore
    from components.cli import opened

    return AgentStore(opened.store(config))


@contextmanager
def engine(config: Config) -> Iterator[tuple[AgentStore, WorkflowEngine]]:
    """The agents with an engine whose queue is open."""
    from components import queue_engine
    from components.workflow_engine import WorkflowEngine

    store = agents(config)
    with queue_engine.opened(config) as queue:
        yield store, WorkflowEngine(store, queue)


def project(config: Config, word: str, written_in: Path | None) -> str:
    """Return a project as every process finds it: a configured name or an address as it is, else a whole path.

    A path in a file counts from where that file is. Raises NotFound and NotARepository.
    """
    from components import git_url, projects

    if word in config.projects or git_url.is_address(word):
        return word
    if not word:
        return str(projects.find(config, str(config.repository)).path)
    place = Path(os.path.expanduser(word))  # noqa: PTH111
    if written_in is not None and not place.is_absolute():
        place = written_in.absolute().parent / place
    return str(projects.find(config, str(place)).path)


def tell_begun(short: str, graph: Graph) -> None:
    """Tell what was started, and what to type next."""
    show(f"Running {short}  {graph.name}: {len(graph.nodes)} nodes in {graph.project}", "green", bold=True)
    for words, what in (("show", "where it stands"), ("cancel", "stop it")):
        show(f"  agent-runner workflow {f'{words} {short}':16}  {what}")


@dataclass(frozen=True, slots=True)
class Session:
    """One command that has something done; `works_here` says whether this machine shall work on it."""

    config: Config
    agents: AgentStore
    file: Path | None
    works_here: bool = True

    def have_driven(self, workflow_id: str) -> None:
        """Have the driver in the background, where there is anything to be done."""
        from components import workflow_driver

        if self.works_here and workflow_driver.has_to_do(self.agents, workflow_id):
            workflow_driver.start(self.config.home, os.environ, config_file(self.file))

    def have_ended(self, workflow_id: str) -> None:
        """Have the driver end what was cancelled and is at work on this machine, where its worker may have died."""
        from components.agent import AgentStatus
        from components.task_persistence import host_name

        if any(one.host == host_name() for one in self.agents.agents_of(workflow_id, [AgentStatus.ACTIVE])):
            self.have_driven(workflow_id)

    def await_ends(self, workflow_id: str, engine: WorkflowEngine) -> None:
        """Wait for the ends of what was cancelled and is still at work, but not for ever."""
        deadline = time.monotonic() + self.config.cancel_grace + ENDING_SECONDS
        is_told = False
        while (ending := engine.ending(workflow_id)) and time.monotonic() < deadline:
            if not is_told:
                show(f"{workflow_id[:8]}: waiting for the end of {ending[0].name}, which was cancelled", "yellow")
            is_told = True
            self.have_ended(workflow_id)
            time.sleep(LOOK_SECONDS)

    def carry_on(self, workflow_id: str, after: int, background: bool) -> int:
        """Have a workflow worked on, and follow it unless it is for the background. Ctrl-C leaves it at work."""
        from components.cli import workflow_view

        self.have_driven(workflow_id)
        if background:
            return 0
        try:
            return workflow_view.follow(self.agents, workflow_id, after, lambda: self.have_driven(workflow_id))
        except KeyboardInterrupt:
            short = workflow_id[:8]
            told = f"{short} works on in the background: `workflow show {short}` tells where it stands,"
            told += f" `workflow cancel {short}` ends it"
            click.echo("\n" + "\n".join(folded(told)), err=True)
            return INTERRUPTED
