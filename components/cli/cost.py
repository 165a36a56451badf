"""The `cost` command: what runs have cost, by day, agent, model or project."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from components import projects
from components.cli import ids, opened
from components.cli.list import Since
from components.cli.output import Line, show, show_all, table, told_columns
from components.config import Config, load
from components.execution import Cost

DAY, DAY_LETTERS = re.compile(r"\d{4}-\d\d-\d\d"), 10
KEYS = ("day", "agent", "model", "project")
HELP = """Show what runs have cost, and the tokens that they used. Days are those of UTC.

\b
  agent-runner cost                          by day
  agent-runner cost --by model --since 30d   by model, of the last 30 days

Every run counts on the day on which it ended, also one that failed; what runs now is not in it yet. `-` is not known:
not every agent tells what it costs. A `+` means at least that much: some of the runs have told nothing.

Exit codes: 0 shown (also where there is nothing), 2 a mistake in the call or the configuration, 4 no such project,
69 the store does not answer, 75 it is of a newer version.
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
@click.option(
    "--project",
    metavar="PROJECT",
    shell_complete=ids.complete_project,
    help="Of this project: a name, or a path.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="A configuration file.")
def command(*, by: str, after: str | None, project: str | None, as_json: bool, file: Path | None) -> None:
    """Ask the history, and show the sums."""
    config = load({}, os.environ, file=file).config
    reader = opened.history(config)
    costs = reader.cost(by, after or "", opened.project(config, project, reader))
    if as_json:
        total = summed(costs)
        told = {"by": by, "costs": list(map(_as_json, costs)), "usd": _known(total), "is_whole": is_whole(total)}
        show(json.dumps(told, indent=2))
    else:
        show_all(_lines(costs, by, config))


def _lines(costs: list[Cost], by: str, config: Config) -> Iterator[Line]:
    if not costs:
        yield Line("Nothing was spent.")
        return
    rows = [_row(one, _key(one, by, config)) for one in costs]
    heading = (by.upper(), "RUNS", "USD", "TOKENS IN", "OUT", "CACHE READ", "CACHE WRITTEN")
    lines = list(table(right_aligned(told_columns([heading, *rows, _row(summed(costs), "total")]))))
    yield Line(lines[0], bold=True)
    yield from map(Line, lines[1:-1])
    yield Line(lines[-1], bold=True)
    if _known(summed(costs)) is None:
        yield Line("No agent has told what it cost.")


NUMBERS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def summed(costs: list[Cost]) -> Cost:
    """Return the sum of costs."""
    names = ("runs", "usd", *NUMBERS, "told_runs")
    return Cost("total", *(sum(getattr(one, name) for one in costs) for name in names))


def is_whole(one: Cost) -> bool:
    """Have all runs told what they cost?"""
    return one.told_runs == one.runs


def _known(one: Cost) -> float | None:
    return one.usd if one.told_runs or not one.runs else None


def _as_json(one: Cost) -> dict[str, object]:
    return {**asdict(one), "usd": _known(one), "is_whole": is_whole(one)}


def _key(one: Cost, by: str, config: Config) -> str:
    return (projects.shown(config, one.key) if by == "project" else one.key) or "(none)"


def _row(one: Cost, key: str) -> tuple[str, ...]:
    tokens = [getattr(one, name) for name in NUMBERS]
    money = "-" if _known(one) is None else f"{one.usd:.2f}{'' if is_whole(one) else '+'}"
    return (key, str(one.runs), money, *(str(number) if any(tokens) else "-" for number in tokens))


def right_aligned(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return rows whose columns but the first are as wide as their widest cell, numbers below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [(row[0], *(cell.rjust(size) for cell, size in zip(row[1:], widths[1:], strict=True))) for row in rows]
