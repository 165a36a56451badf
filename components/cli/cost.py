"""The `cost` command: what runs have cost, by day, agent, model or project."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from components import projects
from components.cli import opened
from components.cli.list import Since
from components.cli.output import Line, show, show_all, table
from components.config import Config, load
from components.execution import Cost

DAY, DAY_LETTERS = re.compile(r"\d{4}-\d\d-\d\d"), 10
KEYS = ("day", "agent", "model", "project")
HELP = """Show what runs have cost, and the tokens that they used. Days are those of UTC.

\b
  agent-runner cost                          by day
  agent-runner cost --by model --since 30d   by model, of the last 30 days

Every run counts on the day on which it ended, also one that failed; what runs now is not in it yet.

Exit codes: 0 shown (also where there is nothing), 2 a mistake in the call or the configuration, 4 no such project,
75 the store is of a newer version.
"""


class SinceDay(Since):
    """A day, of UTC as those of the sums."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as 2026-11-21."""
        moment = super().convert(value, param, ctx)
        return str(value).strip()[:DAY_LETTERS] if DAY.match(str(value).strip()) else moment[:DAY_LETTERS]


@click.command(name="cost", help=HELP, short_help="Show what runs have cost.")
@click.option("--by", type=click.Choice(KEYS), default="day", show_default=True, help="What to sum by.")
@click.option("--since", "after", type=SinceDay(), metavar="WHEN", help="Since then: a day, or 7d.")
@click.option("--project", metavar="PROJECT", help="Of this project: a name, or a path.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--config", "file", metavar="FILE", type=Path, help="A configuration file.")
def command(*, by: str, after: str | None, project: str | None, as_json: bool, file: Path | None) -> None:
    """Ask the history, and show the sums."""
    config = load({}, os.environ, file=file).config
    reader = opened.history(config)
    costs = reader.cost(by, after or "", opened.project(config, project, reader))
    if as_json:
        told = {"by": by, "costs": [asdict(one) for one in costs], "usd": sum(one.usd for one in costs)}
        show(json.dumps(told, indent=2))
    else:
        show_all(_lines(costs, by, config))


def _lines(costs: list[Cost], by: str, config: Config) -> Iterator[Line]:
    if not costs:
        yield Line("Nothing was spent.")
        return
    rows = [_row(one, by, config) for one in costs]
    total = ("total", *(sum(getattr(one, name) for one in costs) for name in ("runs", "usd")))
    tokens = [sum(getattr(one, name) for one in costs) for name in NUMBERS]
    last = (total[0], str(total[1]), f"{total[2]:.2f}", *map(str, tokens))
    heading = (by.upper(), "RUNS", "USD", "TOKENS IN", "OUT", "CACHE READ", "CACHE WRITTEN")
    lines = list(table(right_aligned([heading, *rows, last])))
    yield Line(lines[0], bold=True)
    yield from map(Line, lines[1:-1])
    yield Line(lines[-1], bold=True)


NUMBERS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def _row(one: Cost, by: str, config: Config) -> tuple[str, ...]:
    key = (projects.shown(config, one.key) if by == "project" else one.key) or "(none)"
    return (key, str(one.runs), f"{one.usd:.2f}", *(str(getattr(one, name)) for name in NUMBERS))


def right_aligned(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return rows whose columns but the first are as wide as their widest cell, numbers below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [(row[0], *(cell.rjust(size) for cell, size in zip(row[1:], widths[1:], strict=True))) for row in rows]
