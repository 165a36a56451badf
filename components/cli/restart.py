"""`restart`: an execution once more, as a new one with the same details."""

from __future__ import annotations

import os
from pathlib import Path

import click

from components import background as tasks
from components import execution_index, repeating, stopping, typed_task, workplace
from components.cli import foreground, ids, task
from components.cli.task import say as show_error
from components.config import Config, load
from components.errors import StillRunning
from components.execution_index import ExecutionFiles
from components.typed_task import TypedTask

HELP = """Do a task again: a new execution with a new id and the same details.

ID is the beginning of an execution's id. With --resume the agent goes on in the same conversation and the same
workspace; without it, it begins anew. One that still runs is refused: cancel it first. Where its runner was killed,
--resume goes on with it as it is, under its own id, and takes up its agent if that lives; without --resume it is ended.

\b
  agent-runner restart 3f9c2a1b -b
  agent-runner restart 3f9c2a1b --resume

Exit codes: as those of `task`; 4 no such execution, or its repository is gone, 75 it still runs.
"""


@click.command(name="restart", help=HELP, short_help="Do a task again.")
@click.argument("id", shell_complete=ids.complete)
@click.option("--background", "-b", "is_background", is_flag=True, help="Start it and return at once.")
@click.option("--resume", "resumes", is_flag=True, help="Go on in the same conversation and workspace.")
@click.option("--wait", "waits", is_flag=True, help="Wait for a turn where too many tasks run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; without -b when it has ended.")
@click.option("--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="A configuration file.")
def command(
    *,
    id: str,  # noqa: A002
    is_background: bool,
    resumes: bool,
    waits: bool,
    as_json: bool,
    file: Path | None,
) -> int:
    """Find it, make another of it, and start that."""
    config = load({}, os.environ, file=file).config
    files = ids.at_hand(config, id)
    if not execution_index.Watch(files).is_over():
        require_abandoned(config, files, resumes=resumes)
        require_possible(typed_task.load(config.home, files.id))
        if resumes:
            return go_on(config, files, background=is_background, waits=waits, as_json=as_json)
        if not waits:
            tasks.require_turn(config.home, config.max_parallel_tasks)  # first: whoever is refused has lost nothing
        word = stopping.stop(config.home, files, config.cancel_grace, os.environ)
        show_error(f"{files.short_id}, which had lost its runner: {word}")
    again = repeating.again_of(config.home, files, resumes=resumes)
    task.require_usable(again)
    return task.launch(config, again, background=is_background, waits=waits, as_json=as_json)


def require_possible(typed: TypedTask) -> None:
    """Raise NotFound or ConfigError where a runner could not even begin: what is there of the task stays as it is."""
    workplace.require_there(typed)
    task.require_usable(typed)


def require_abandoned(config: Config, files: ExecutionFiles, *, resumes: bool) -> None:
    """Raise StillRunning unless nobody works on an execution, so that it may be taken up or ended here."""
    short = files.short_id
    if not files.directory.is_dir():
        if stopping.has_daemon(config.home, files) or stopping.alive(files):
            raise StillRunning(f"execution {short} still runs; `cancel {short}` ends it")
        raise StillRunning(f"execution {short} waits for its runner: start that again, and it goes on")
    if typed_task.has_runner(config.home, files.id) or typed_task.is_queued(config.home, files.id):
        raise StillRunning(f"execution {short} still runs; `cancel {short}` ends it")
    if stopping.has_agent(files) and not resumes:
        raise StillRunning(
            f"the agent of execution {short} still runs, though its runner is gone;"
            f" `restart {short} --resume` takes it up, `cancel {short}` ends it"
        )


def go_on(config: Config, files: ExecutionFiles, *, background: bool, waits: bool, as_json: bool) -> int:
    """Start the runner of an execution that has lost it: it goes on from wherever it was, as the same execution."""
    if not waits:
        tasks.require_turn(config.home, config.max_parallel_tasks)
    try:
        pid = tasks.start_in_turn(config.home, files.id, config.max_parallel_tasks, os.environ, show_error)
    except KeyboardInterrupt:
        return foreground.give_way(config, files.id)
    if background:
        task.tell(files.id, pid, files.runner_log, as_json)
        return 0
    return foreground.follow(config, files.id, as_json=as_json)
