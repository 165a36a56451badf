"""The `locks` command: who holds what on this machine."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from components import durable, git, held_accounts, overview
from components.cli.output import age, folded, show, span, table
from components.config import load
from components.errors import RunnerError
from components.overview import Agent, Overview, Run

HEADINGS = ("AGENT", "TASK", "PHASE", "AGE", "HOST", "HELD BY")
HOST_WIDTH = 12
"""Characters of a host's name that are shown: most are a machine id, of which these suffice to tell it."""
WORKTREES_LOCK = "agent-runner.lock"


@dataclass(frozen=True, slots=True)
class RepositoryLock:
    """A lock in a repository's git directory: what it guards, and who holds it, "" for nobody."""

    name: str
    path: str
    held_by: str


@click.command(name="locks", short_help="Show who holds what.")
@click.option("--repo", "repository", metavar="DIR", help="The git repository.  [default: the current directory]")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Read this configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(repository: str | None, file: Path | None, as_json: bool) -> None:
    """Show who holds what: the lock of every agent id, accounts on hold, and the locks of the repository.

    A lock lives as long as the process that holds it: `nobody` beside a task means that its runner ended, and goes on
    with it when it is started again. Nothing is changed.
    """
    config = load({"repository": repository}, os.environ, file=file).config
    seen = overview.look(config.home)
    try:
        locks, why = list(_repository_locks(config.repository, seen)), ""
    except RunnerError as error:
        locks, why = [], str(error)
    if as_json:
        agents = [_as_json(agent) for agent in seen.agents]
        accounts = [asdict(one) for one in held_accounts.find(config.home)]
        told = {"host": seen.host, "agents": agents, "accounts": accounts}
        show(json.dumps({**told, "repository": [asdict(one) for one in locks], "trouble": why}, indent=2))
        return
    _show_agents(seen)
    _show_accounts(config.home)
    show()
    show(f"REPOSITORY {config.repository}", bold=True)
    for line in folded(why) if why else table([(one.name, one.held_by or "nobody") for one in locks]):
        show(line)


def _show_agents(seen: Overview) -> None:
    if not seen.agents:
        show(f"There are no locks of agents ({seen.home / 'locks'}).")
        return
    heading, *lines = table([HEADINGS, *(_row(agent, seen.host) for agent in seen.agents)])
    show(heading, bold=True)
    for line in lines:
        show(line)
    for agent in seen.agents:
        if agent.trouble:
            for row in folded(f"{agent.journal}: {agent.trouble}"):
                show(row, "yellow")


def _show_accounts(home: Path) -> None:
    """Show which accounts are on hold: no agent of theirs is started until then."""
    held = list(held_accounts.find(home))
    if not held:
        return
    show()
    rows = [(one.account, one.agent_id, f"in {span(max(0.0, one.until - time.time()))}", one.reason) for one in held]
    heading, *lines = table([("ACCOUNT ON HOLD", "MET BY", "ENDS", "WHY"), *rows])
    show(heading, bold=True)
    for line in lines:
        show(line)
    for row in folded("once it works again, the file may be removed: " + held[0].path, "", "    "):
        show(row, "yellow")


def _row(agent: Agent, host: str) -> tuple[str, ...]:
    by = holder(agent)
    if agent.held is None:
        return (agent.agent_id, "?" if agent.trouble else "-", "-", "-", "here", by)
    held = agent.held
    where = "here" if held.host in ("", host) else held.host[:HOST_WIDTH]
    return (agent.agent_id, held.task.id, held.phase, age(held.locked_at), where, by)


def holder(agent: Agent) -> str:
    """Return who holds an agent id's lock, for people."""
    if agent.runner is None:
        return "nobody here" if agent.is_elsewhere else "nobody"
    return f"runner {agent.runner}" if agent.runner else "a runner"


def _repository_locks(repository: Path, seen: Overview) -> Iterator[RepositoryLock]:
    from components.main_checkout import CHECKOUT_LOCK

    top = git.require_repository(repository)
    common = git.git_directory(top)
    for name, file in (("checkout", CHECKOUT_LOCK), ("branches and worktrees", WORKTREES_LOCK)):
        path = common / file
        by = ""
        if durable.is_held(path):
            by = _in_checkout(seen, top) if name == "checkout" else "a runner, for as long as its git takes"
        yield RepositoryLock(name, str(path), by)


def _in_checkout(seen: Overview, top: Path) -> str:
    """Return whose agent works in the main checkout of a repository; its shim and it hold the lock together."""
    runs = [*seen.strays, *(agent.run for agent in seen.agents if agent.run)]
    return next((_told(run) for run in runs if run.is_alive and _is_in(run, top)), "an agent of another home")


def _is_in(run: Run, top: Path) -> bool:
    workspace = run.held.workspace if run.held else None
    return workspace is not None and not workspace.is_worktree and workspace.repository.resolve() == top


def _told(run: Run) -> str:
    who = f"agent {run.held.agent_id}, task {run.held.task.id}" if run.held else run.path.name
    return f"{who} (pid {run.pids['agent']})" if "agent" in run.pids else who


def _as_json(agent: Agent) -> Mapping[str, object]:
    held = agent.held
    return {
        "agent_id": agent.agent_id,
        "path": str(agent.journal),
        "task_id": held.task.id if held else None,
        "phase": held.phase if held else None,
        "since": held.locked_at if held else None,
        "host": held.host if held else None,
        "runner": {"alive": agent.runner is not None, "pid": agent.runner or None},
        "trouble": agent.trouble,
    }
