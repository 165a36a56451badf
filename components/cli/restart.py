"""`restart`: an execution once more, as a new one with the same details."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from components import background, execution_index, typed_task
from components.cli import task
from components.config import load
from components.errors import StillRunning
from components.execution_index import ExecutionFiles
from components.typed_task import TypedTask

HELP = """Do a task again: a new execution with a new id and the same details.

ID is the beginning of an execution's id. With --resume the agent goes on in the same conversation and the same
workspace; without it, it begins anew. One that still runs is refused: cancel it first.

\b
  agent-runner restart 3f9c2a1b -b
  agent-runner restart 3f9c2a1b --resume

Exit codes: as those of `task`; 4 no such execution, 75 it still runs.
"""


@click.command(name="restart", help=HELP, short_help="Do a task again.")
@click.argument("id")
@click.option("--background", "-b", "is_background", is_flag=True, help="Start it and return at once.")
@click.option("--resume", "resumes", is_flag=True, help="Go on in the same conversation and workspace.")
@click.option("--wait", "waits", is_flag=True, help="Wait for a turn where too many tasks run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (with -b).")
@click.option("--config", "file", metavar="FILE", type=Path, help="A configuration file.")
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
    files = execution_index.find(config.home, id)
    if not execution_index.Watch(files).is_over():
        raise StillRunning(f"execution {files.short_id} still runs; `cancel {files.short_id}` ends it")
    again = again_of(config.home, files, resumes=resumes)
    return task.launch(config, again, background=is_background, waits=waits, as_json=as_json)


def again_of(home: Path, files: ExecutionFiles, *, resumes: bool) -> TypedTask:
    """Return a new typed task with the details of an execution, also of one whose task came from a server."""
    claim = background.new_claim()
    if files.directory.is_dir():
        before = typed_task.load(home, files.id)
    else:
        held = execution_index.last_entry(home, files.id)
        if held is None or held.workspace is None:
            raise click.UsageError(f"execution {files.short_id}: its run directories do not tell its task any more")
        repository = held.workspace.repository
        role = held.task.role or "backend_dev"
        known = replace(held.task, role=role, level=held.task.level or "senior")
        before = TypedTask(held.claim, known, repository, repository.name)
    task_again = background.task_of(
        claim,
        before.task.title,
        before.task.description,
        role=before.task.role,
        level=before.task.level,
        complexity=before.task.complexity,
    )
    return replace(before, claim=claim, task=task_again, restarted_from=before.claim, resumes=resumes)
