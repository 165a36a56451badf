"""`demo`: three tasks done in a repository made for it, by the real Claude CLI."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from components.demo.demo import Demonstration

HELP = """See three tasks done in a repository made for it.

It starts a Headless PM server on a free port of this machine, makes a small git repository that fails its tests, files
three tasks, and runs the daemon until they are done. The real Claude CLI does the work. A table at the end tells what
came of it.

Without an account the model is scripted: a server on this machine plays recorded answers, and nothing is charged. With
--live your own account or API key is used, which costs money.

\b
Examples:
  advanced-agent-runner demo
  advanced-agent-runner demo --directory ./demo
  advanced-agent-runner demo --live --yes
"""


@click.command(name="demo", help=HELP, short_help="See three tasks done in a repository made for it.")
@click.option("--live", is_flag=True, help="Use your own account and the real model. Costs money.")
@click.option("--yes", is_flag=True, help="Do not ask before --live spends money.")
@click.option(
    "--directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="An empty or new directory to work in.  [default: a new one for temporary files]",
)  # fmt: skip
@click.option("--keep/--no-keep", default=True, help="Keep the directory at the end.  [default: keep]")
def command(live: bool, yes: bool, directory: Path | None, keep: bool) -> int:
    """Run the demonstration; 0 only if all three tasks are done and their tests pass."""
    from components.demo.demo import Demonstration

    if live:
        _agree_to_pay(yes)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    place, is_ours = _prepare(directory)
    try:
        return _demonstrate(Demonstration(place, os.environ, is_live=live), keep=keep)
    finally:
        if not keep:
            _empty(place, is_ours)


def _demonstrate(demonstration: Demonstration, *, keep: bool) -> int:
    try:
        outcomes = demonstration.run()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            click.echo("\nInterrupted. All that was started has been stopped.")
        if keep:
            click.echo(f"Kept for a look: {demonstration.places.directory}", err=True)
        raise
    if keep:
        demonstration.where_to_look(outcomes)
    return 0 if outcomes and all(outcome.is_good for outcome in outcomes) else 1


def _agree_to_pay(yes: bool) -> None:
    from components.demo.demo import LIVE_ATTEMPTS, LIVE_BUDGET_USD
    from components.demo.example import assignments

    tasks = len(assignments())
    click.echo(
        f"--live uses your own account or API key. Each of the {tasks} tasks is stopped when it has cost"
        f" ${LIVE_BUDGET_USD * LIVE_ATTEMPTS:.2f}, at list prices and to the next answer of the model: about"
        f" ${tasks * LIVE_BUDGET_USD * LIVE_ATTEMPTS:.2f} at most in all."
    )
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("--live spends money and there is no terminal to ask on; add --yes to agree")
    click.confirm("Go on?", abort=True)


def _prepare(directory: Path | None) -> tuple[Path, bool]:
    """Return the directory to work in, and whether it was made here."""
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="agent-runner-demo-")).resolve(), True
    is_new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise click.BadParameter(f"{directory} is not empty; name a new directory", param_hint="--directory")
    return directory.resolve(), is_new


def _empty(place: Path, is_ours: bool) -> None:
    """Remove the directory, or only what is in it when it was there before."""
    for path in (place,) if is_ours else tuple(place.iterdir()):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """End by a signal as by an exception, so that what was started is ended too."""
    del frame
    sys.exit(128 + number)
