"""`cancel`: the end of an execution, with all that it started."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click

from components import overview, stopping, unstarted
from components.cli import ids
from components.cli.output import age, show, table
from components.config import load
from components.errors import NotFound
from components.short_id import SHORT

STILL_THERE, INTERRUPTED = 1, 130
HELP = """Cancel an execution: its agent is asked to end, after the grace killed with all that it started.

ID is the beginning of an execution's id, or a task's id. Without one, on a terminal, what runs is offered to choose
from; Enter or Ctrl-C leaves all as it is. It returns when nothing is left alive. The work that the agent left is kept;
`workspaces` shows it, and `restart ID --resume` goes on with it.

\b
  agent-runner cancel 3f9c2a1b
  agent-runner cancel 3f9c2a1b --grace 30

Exit codes: 0 it is over, 1 something is left, 2 a mistake in the call, 4 no such execution, 130 none was chosen, or
interrupted.
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
    """Ask which of the executions at work is meant; Enter is none of them.

    Raises NotFound where nothing runs, UsageError where nobody can be asked, and Abort where nobody chose.
    """
    known = [*_cancellable(home)]
    if not known:
        raise NotFound(f"nothing runs here ({home}), so there is nothing to cancel; `list` shows what has run")
    if not sys.stdin.isatty():
        several = "`, or `cancel ".join(one.id[:SHORT] for one in known)
        raise click.UsageError(f"nobody can be asked which: type `cancel {several}`")
    rows = [(f"{number:>3}", one.id[:SHORT], age(one.since), one.title) for number, one in enumerate(known, 1)]
    for line in table(rows):
        click.echo(line, err=True)
    try:
        number: int = click.prompt("Which one", "none", value_proc=partial(_number, most=len(known)), err=True)
    except click.Abort:
        click.echo(err=True)  # what is said next, and the shell's prompt, belong on lines of their own
        number = 0
    if not number:
        _say("Nothing was cancelled.")
        raise click.exceptions.Exit(INTERRUPTED)
    return known[number - 1].id


class Cancellable(NamedTuple):
    """An execution that can be cancelled, and since when it is there (ISO 8601)."""

    id: str
    since: str
    title: str


def _cancellable(home: Path) -> Iterator[Cancellable]:
    """Yield what is in hand, and what was typed and waits for its beginning."""
    held = [one.held for one in overview.look(home, with_strays=False).agents if one.held]
    yield from (Cancellable(one.claim, one.locked_at, one.task.title) for one in held)
    claims = {one.claim for one in held}
    for typed in (one.typed for one in unstarted.find(home) if one.typed.claim not in claims):
        yield Cancellable(typed.claim, typed.task.created_at, typed.task.title)


def _number(word: str, most: int) -> int:
    """Return the number that was typed, 0 for none. Raises UsageError saying which there are."""
    if word.strip() in ("", "none"):
        return 0
    if word.strip().isascii() and word.strip().isdigit() and 1 <= int(word) <= most:
        return int(word)
    numbers = "1" if most == 1 else f"a number from 1 to {most}"
    raise click.UsageError(f"{word[:20]!r}: type {numbers}, or Enter to leave all as it is")
