"""The `prune` command: deletes what old executions have left, after saying what."""

from __future__ import annotations

import gc
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from components import pruning
from components.cli import opened
from components.cli.output import Line, show, show_all, span, table
from components.config import Config, load
from components.pruning import Plan, Rule
from components.remains import Remains

DEFAULT_DAYS = 30.0
SHOWN = 20
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SIZE = re.compile(r"(\d{1,15}(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?")
HELP = """Delete what old executions have left: run directories (prompt, output, receipt) and typed tasks.

What lives, what is in hand, and the 20 newest failures stay, whatever is asked; so does everything younger than an
hour. The history keeps what they were and cost. Work is not touched: branches and snapshots stay, and worktrees are for
`workspaces prune`. By default goes what is older than keep_runs_days, or than 30 days where that is not set.

\b
  agent-runner prune --dry-run                what would go
  agent-runner prune --older-than 14 --yes    two weeks, without a question
  agent-runner prune --keep-size 5GB          the newest 5 GB stay

Exit codes: 0 done, or nothing to do; 1 not confirmed; 2 a mistake in the call; 75 the store is of a newer version.
"""


class Size(click.ParamType[int]):
    """A number of bytes."""

    name = "bytes"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes."""
        found = SIZE.fullmatch(str(value).strip().upper())
        if found is None:
            return self.fail(f"{value!r} is no size; write 5GB, 500MB or a number of bytes", param, ctx)
        return int(float(found[1]) * UNITS[found[2]])


@click.command(name="prune", help=HELP, short_help="Delete what old executions have left.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--older-than", "days", type=click.FloatRange(0), metavar="DAYS", help="What is older goes.")
@click.option("--keep-size", "size", type=Size(), metavar="BYTES", help="The oldest go until so much is left.")
@click.option("--yes", "-y", "is_sure", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; with --dry-run or --yes.")
@click.option("--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="A configuration file.")
def command(
    *, dry_run: bool, days: float | None, size: int | None, is_sure: bool, as_json: bool, file: Path | None
) -> int:
    """Plan, tell, ask, delete."""
    if not (dry_run or is_sure) and (as_json or not sys.stdin.isatty()):
        raise click.UsageError("nobody can be asked here: give --yes, or --dry-run to see what would go")
    config = load({}, os.environ, file=file).config
    if days is None and size is None:
        days, size = config.keep_runs_days, config.keep_runs_bytes
        days = DEFAULT_DAYS if days is None and size is None else days
    gc.disable()  # ten thousand executions are no garbage, and to look for some among them takes 30 ms
    planned = pruning.plan(config.home, Rule(days, size), opened.history(config))
    if not as_json:
        show_all(_lines(planned))
    if not (dry_run or is_sure or not planned.going) and not click.confirm("Delete them"):
        return 1
    gone = [] if dry_run or not planned.going else _carried_out(config, planned, as_json=as_json)
    if as_json:
        show(json.dumps(_as_json(planned, gone), indent=2))
    elif gone:
        show(f"Deleted {_counted(len(gone))}, {size_words(sum(one.size for one in gone))}.", "green")
    return 0


def _carried_out(config: Config, planned: Plan, *, as_json: bool) -> list[Remains]:
    """Delete what goes, with a bar on a terminal: thousands of directories take their time."""
    if as_json or not sys.stdout.isatty():
        return pruning.carry_out(config.home, planned)
    count = sum(len(one.paths) for one in planned.going)
    with click.progressbar(length=count, label="Deleting") as bar:
        return pruning.carry_out(config.home, planned, lambda: bar.update(1))


def _lines(planned: Plan) -> Iterator[Line]:
    if not planned.going:
        kept = f", {planned.protected} of them although they are old enough" if planned.protected else ""
        yield Line(f"Nothing is to go. {_counted(planned.staying)} stay{'s' * (planned.staying == 1)}{kept}.")
        return
    rows = [(one.short_id, one.task_id, _age(one), size_words(one.size)) for one in planned.going[:SHOWN]]
    heading, *lines = table([("ID", "TASK", "AGE", "SIZE"), *rows])
    yield Line(heading, bold=True)
    yield from map(Line, lines)
    if len(planned.going) > SHOWN:
        yield Line(f"... and {len(planned.going) - SHOWN} more")
    about = "" if planned.is_exact else "about "
    staying = f"{planned.staying} stay{'s' * (planned.staying == 1)}"
    yield Line(f"{_counted(len(planned.going))}, {about}{size_words(planned.size)}; {staying}.")


def _age(one: Remains) -> str:
    return span(max(0.0, time.time() - one.at))


def _counted(number: int) -> str:
    return "1 execution" if number == 1 else f"{number} executions"


def size_words(size: int) -> str:
    """Return a number of bytes for people."""
    unit = next(name for name in reversed(UNITS) if size >= UNITS[name] or not name)
    return f"{size / UNITS[unit]:.{1 if unit else 0}f} {unit}B"


def _as_json(planned: Plan, gone: list[Remains]) -> dict[str, object]:
    return {
        "going": [one._asdict() for one in planned.going],
        "bytes": planned.size,
        "is_exact": planned.is_exact,
        "staying": planned.staying,
        "deleted": [one.short_id for one in gone],
    }
