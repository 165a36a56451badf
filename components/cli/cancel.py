"""`cancel`: the end of an execution, with all that it started."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components import background, cancelling, execution_index, overview, typed_task
from components.cli.output import age, show
from components.config import Config, load
from components.errors import NotFound
from components.run_directory import RunState

if TYPE_CHECKING:
    from components.execution_index import ExecutionFiles

LOOK_SECONDS = 0.05
END_SECONDS = 60.0
"""How long to wait for the runner's last steps: the report, the clean-up."""
STILL_THERE = 1
HELP = """Cancel an execution: its agent is asked to end, after the grace killed with all that it started.

ID is the beginning of an execution's id, or a task's id. Without one, on a terminal, what runs is offered to choose
from. It returns when nothing is left alive. The work that the agent left is kept; `workspaces` shows it, and
`restart ID --resume` goes on with it.

\b
  agent-runner cancel 3f9c2a1b
  agent-runner cancel 3f9c2a1b --grace 30

Exit codes: 0 it is over, 1 something is left, 4 no such execution, 130 interrupted.
"""


@click.command(name="cancel", help=HELP, short_help="Stop an execution.")
@click.argument("id", required=False)
@click.option("--grace", metavar="SECONDS", type=click.FloatRange(0, 3600), help="Between asking and killing.  [5]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--config", "file", metavar="FILE", type=Path, help="A configuration file.")
def command(*, id: str | None, grace: float | None, as_json: bool, file: Path | None) -> int:  # noqa: A002
    """Find it, end it, and wait until it is over."""
    config = load({}, os.environ, file=file).config
    files = execution_index.find(config.home, id or chosen(config.home))
    word = cancel(config, files, config.cancel_grace if grace is None else grace)
    if as_json:
        show(json.dumps({"id": files.id, "result": word}))
    else:
        show(f"{files.short_id}: {word}", "" if word.startswith("was over") else "green")
    return STILL_THERE if word.startswith("still") else 0


def cancel(config: Config, files: ExecutionFiles, grace: float) -> str:
    """End an execution and return in words how that went."""
    watch = execution_index.Watch(files)
    if watch.is_over():
        return "was over already"
    cancelling.ask(config.home, files.id)
    end_agents(files, grace)
    is_typed = files.directory.is_dir()
    if is_typed and not typed_task.has_runner(config.home, files.id):
        background.start(config.home, files.id, sys.maxsize, os.environ)
    if not is_typed and not has_daemon(config.home, files):
        return "its agent is stopped; its runner is not running: the next start ends the task as cancelled"
    is_over = waited(END_SECONDS, lambda: watch.is_over() and not alive(files))
    return "cancelled" if is_over else "still at its last steps; `logs ID --runner` shows them"


def end_agents(files: ExecutionFiles, grace: float) -> None:
    """Ask all agents of an execution to end, and kill what is left after the grace."""
    for run in files.runs().values():
        cancelling.stop(run)
    if not waited(grace, lambda: not alive(files)):
        for run in files.runs().values():
            cancelling.kill(run)


def alive(files: ExecutionFiles) -> bool:
    """Does any agent of an execution live?"""
    return any(run.state() is RunState.ALIVE for run in files.runs().values() if (run.path / "pids").exists())


def has_daemon(home: Path, files: ExecutionFiles) -> bool:
    """Does a daemon look after an execution?"""
    agents = overview.look(home).agents
    return any(one.runner is not None for one in agents if one.held and one.held.claim == files.id)


def waited(seconds: float, is_so: Callable[[], bool]) -> bool:
    """Wait until something is so; False when it took too long."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def chosen(home: Path) -> str:
    """Ask which of the executions at work is meant. Raises UsageError where nobody can be asked."""
    held = [one.held for one in overview.look(home).agents if one.held]
    if not held:
        raise NotFound(f"nothing runs here ({home})")
    if not sys.stdin.isatty():
        ids = ", ".join(one.claim[:8] for one in held)
        raise click.UsageError(f"say which: {ids}")
    for number, one in enumerate(held, 1):
        show(f"{number:>3}  {one.claim[:8]}  {age(one.locked_at):>6}  {one.task.title[:50]}")
    number = click.prompt("Which one", type=click.IntRange(1, len(held)))
    return held[number - 1].claim
