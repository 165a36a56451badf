"""A typed task before a person's eyes: its runner is in the background all the same, and survives the terminal."""

from __future__ import annotations

import os
import sys

import click

from components import execution_index, stopping, typed_task
from components.cli.logs import printer
from components.cli.output import folded, show
from components.config import Config
from components.log_follow import LogFollow
from components.states import Reason

INTERRUPTED = 130


def follow(config: Config, claim: str) -> int:
    """Show a task until it ends, and return its exit code.

    Ctrl-C leaves it at work; a second one, while we tell that, cancels it.
    """
    files = execution_index.ExecutionFiles(config.home, claim, f"t{claim[: typed_task.SHORT]}")
    show(f"{files.short_id}: the agent's work follows; Ctrl-C leaves it at work in the background", "cyan")
    try:
        printer(LogFollow(files, is_live=True))
    except KeyboardInterrupt:
        return leave(config, files)
    verdict = typed_task.verdict_of(config.home, claim)
    return 0 if verdict is not None and verdict.reason in (Reason.SUCCEEDED, Reason.REJECTED) else 1


def leave(config: Config, files: execution_index.ExecutionFiles) -> int:
    """Leave the task at work, unless it is to be cancelled."""
    short = files.short_id
    told = f"{short} works on in the background: `logs {short} -f` shows it, `cancel {short}` ends it."
    click.echo("\n" + "\n".join(folded(f"{told} Ctrl-C again within 3 s cancels it now")), err=True)
    try:
        stopping.waited(3.0 if sys.stdin.isatty() else 0.0, lambda: False)
    except KeyboardInterrupt:
        show(f"\n{files.short_id}: {stopping.stop(config.home, files, config.cancel_grace, os.environ)}")
    return INTERRUPTED
