"""`cancel`: the end of an execution, with all that it started."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path

import click

from components import overview, stopping
from components.cli import ids
from components.cli.output import age, show
from components.config import load
from components.errors import NotFound

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
@click.argument("id", required=False, shell_complete=ids.complete)
@click.option(
    "--grace",
    metavar="SECONDS",
    type=click.FloatRange(0, 3600),
    help="Between asking and killing.  [default: cancel_grace, 5]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="A configuration file.")
def command(*, id: str | None, grace: float | None, as_json: bool, file: Path | None) -> int:  # noqa: A002
    """Find it, end it, and wait until it is over."""
    config = load({}, os.environ, file=file).config
    files = ids.at_hand(config, chosen(config.home) if id is None else id)
    word = stopping.stop(config.home, files, config.cancel_grace if grace is None else grace, os.environ, _say)
    if as_json:
        show(json.dumps({"id": files.id, "result": word}))
    else:
        show(f"{files.short_id}: {word}", "" if word.startswith("was over") else "green")
    return STILL_THERE if word.startswith("still") else 0


def _say(line: str) -> None:
    click.echo(line, err=True)


def chosen(home: Path) -> str:
    """Ask which of the executions at work is meant. Raises UsageError where nobody can be asked."""
    held = [one.held for one in overview.look(home, with_strays=False).agents if one.held]
    if not held:
        raise NotFound(f"nothing runs here ({home})")
    if not sys.stdin.isatty():
        known = [one.claim[:8] for one in held]
        raise click.UsageError(f"nobody can be asked which: type `cancel {'`, or `cancel '.join(known)}`")
    for number, one in enumerate(held, 1):
        show(f"{number:>3}  {one.claim[:8]}  {age(one.locked_at):>6}  {one.task.title[:50]}")
    try:
        chosen_one: int = click.prompt("Which one", value_proc=partial(_number, most=len(held)))
    except click.Abort:
        click.echo(err=True)  # the shell's prompt belongs on a line of its own
        raise
    return held[chosen_one - 1].claim


def _number(word: str, most: int) -> int:
    """Return the number that was typed. Raises UsageError saying which there are."""
    if word.strip().isascii() and word.strip().isdigit() and 1 <= int(word) <= most:
        return int(word)
    raise click.UsageError(f"{word[:20]!r}: type {'1' if most == 1 else f'a number from 1 to {most}'}, or Ctrl-C")
