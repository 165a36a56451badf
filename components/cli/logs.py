"""The `logs` command: what an agent does, or did, told so that a person can read it."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components import cli
from components.cli import ids
from components.cli.output import show, width

if TYPE_CHECKING:
    from components.log_follow import LogFollow
    from components.log_view import Line

HELP = """Show what an agent does, or did, line by line.

ID is an execution's id or the beginning of it, or the id of a task: of that the newest execution. All its attempts
are one log. Secrets are left out, and so is what the model only thinks.

\b
What happened last:
  advanced-agent-runner logs 3f9c
\b
Watch it work, until it is done:
  advanced-agent-runner logs 3f9c -f
\b
All that the second attempt did:
  advanced-agent-runner logs 3f9c -n all --attempt 2
\b
The agent's own output, byte by byte, with whatever is in it:
  advanced-agent-runner logs 3f9c --raw > out.jsonl

\b
How lines begin:
  agent:    what it says              >   a tool it uses
  stderr:   its error output          !   a tool's failure
  !!        a retry or a limit        ==  begin and end

Exit codes: 0 shown, 2 a mistake in the call, 4 no such execution, 130 interrupted.
"""


class LineCount(click.ParamType[int | None]):
    """A number of lines, or `all`."""

    name = "lines"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Return the number, None for all."""
        if value == "all":
            return None
        if isinstance(value, int) or (isinstance(value, str) and value.isascii() and value.isdigit()):
            return min(int(value), sys.maxsize)
        return self.fail(f"{value!r} is neither a number of lines nor 'all'", param, ctx)


@click.command(name="logs", help=HELP)
@click.argument("execution", metavar="ID", shell_complete=ids.complete)
@click.option("-f", "--follow", is_flag=True, help="Go on until it is over, or nobody has worked on it for 30 s.")
@click.option(
    "-n",
    "--lines",
    "last",
    type=LineCount(),
    default="50",
    help="Begin with the last N lines, or 'all'.  [default: 50]",
)
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Show this attempt only.")
@click.option("--raw", is_flag=True, help="The agent's output as it is; all of it unless -n is given.")
@click.option("--json", "as_json", is_flag=True, help="Print each readable line as a JSON object.")
@click.option("--runner", is_flag=True, help="Show what the runner of a typed task says, instead of the agent.")
@click.option("-v", "--verbose", is_flag=True, help="Show also what the model thinks.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Read this configuration file.")
@click.pass_context
def command(  # noqa: PLR0913 - one for each option
    context: click.Context,
    /,
    *,
    execution: str,
    follow: bool,
    last: int | None,
    attempt: int | None,
    raw: bool,
    as_json: bool,
    runner: bool,
    verbose: bool,
    file: Path | None,
) -> None:
    """Show the log of an execution."""
    if raw and as_json:
        raise click.UsageError("--raw and --json exclude each other: take one of them")
    if runner and (attempt or as_json):
        raise click.UsageError("--runner goes with neither --attempt nor --json: the runner has one log, of plain text")
    from components.config import load
    from components.log_follow import LogFollow
    from components.redact import Redactor, secret_values

    config = load({}, os.environ, file=file).config
    files = ids.at_hand(config, execution)
    log = LogFollow(files, is_live=follow, attempt=attempt, rest=_rest)
    redact = Redactor([config.api_key, *secret_values(os.environ)])
    if raw:
        has_count = "last" in cli.settings_of(context)
        _copy((log.runner_log if runner else log.raw)(last if has_count else None))
    elif runner:
        _show_text(log.runner_log(last), redact)
    else:
        count = printer(log, redact, last=last, as_json=as_json, is_verbose=verbose)
        if not count and last != 0 and not files.runs() and files.runner_log.exists():
            click.echo(f"no attempt has begun; `logs {files.short_id} --runner` shows what its runner says", err=True)


def printer(
    log: LogFollow,
    redact: Callable[[str], str] | None = None,
    *,
    last: int | None = None,
    as_json: bool = False,
    is_verbose: bool = False,
) -> int:
    """Print readable lines until there are no more, and return how many there were.

    `redact` is by default for what the environment keeps secret.
    """
    from components.claude_words import ClaudeWords
    from components.codex_words import CodexWords
    from components.log_view import LogView
    from components.redact import Redactor, secret_values

    without_secrets = redact or Redactor(secret_values(os.environ))

    def make_view() -> LogView:
        return LogView([ClaudeWords(), CodexWords()], without_secrets, is_verbose=is_verbose)

    count = 0
    for count, line in enumerate(log.lines(make_view, last), 1):  # noqa: B007
        if as_json:
            show(json.dumps(asdict(line), ensure_ascii=False))
        else:
            _show(line)
    return count


def _show(line: Line) -> None:
    from components.log_view import COLOURS, Kind, rows

    columns = width() if sys.stdout.isatty() else None
    for row in rows(line, columns):
        show(row, COLOURS.get(line.kind, ""), bold=line.kind in (Kind.ATTEMPT, Kind.OVER))


def _show_text(pieces: Iterator[bytes], redact: Callable[[str], str]) -> None:
    """Show plain text line by line: without secrets, and without what a terminal would act upon."""
    from components.attempt_log import Splitter
    from components.log_view import Kind, LogView

    view, splitter = LogView([], redact), Splitter()
    for piece in pieces:
        for line in splitter.feed(piece):
            for one in view.text(line, Kind.TEXT):
                _show(one)
    for line in splitter.rest():
        for one in view.text(line, Kind.TEXT):
            _show(one)


def _copy(pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def _rest(seconds: float, fd: int | None) -> None:
    """Rest until there may be more. Raises BrokenPipeError when nobody reads what we print any more."""
    poller = select.poll()
    output = sys.stdout.fileno()
    poller.register(output, 0)  # errors are always told
    if fd is not None:
        poller.register(fd, select.POLLIN)
    if any(
        number == output and event & (select.POLLERR | select.POLLHUP) for number, event in poller.poll(seconds * 1000)
    ):
        raise BrokenPipeError
