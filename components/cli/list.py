"""The `list` command: executions of the past, and those that are at work, newest first."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from components import projects, since, typed_task, unstarted
from components.cli import ids, opened
from components.cli.ending import ending
from components.cli.output import Line, age, known_usd, short, show, show_all, span, table, told_columns, usd
from components.config import Config, load
from components.execution import Execution, Selection
from components.states import FINAL, LIVE, ExecutionStatus

HEADINGS = ("ID", "STATE", "PROJECT", "AGENT", "AGE", "TOOK", "COST", "TITLE")
PROJECT_WIDTH, AGENT_WIDTH, STATE_WIDTH = 10, 13, 13
COLOURS = {ExecutionStatus.FAILED: "red", ExecutionStatus.SUCCEEDED: "", ExecutionStatus.INTERRUPTED: "yellow"}
STATUSES = tuple(str(status) for status in ExecutionStatus)
HELP = """List executions, newest first: what was done, by whom, how long it took and what it cost.

\b
  agent-runner list                              the newest 20
  agent-runner list --status failed --since 7d   last week's failures
  agent-runner list --project shop --text cart   those about the cart
  agent-runner list --before 3f9c2a1b            the page after that one

STATE is why it ended, where it did not end well. --since takes a day (2026-11-21), a time, or a span back (90min, 12h,
7d, 2w).

Exit codes: 0 shown (also where there is none), 2 a mistake in the call or the configuration, 4 no such project or id,
69 the store does not answer, 75 it is of a newer version.
"""


class Since(click.ParamType[str]):
    """A moment of the past."""

    name = "when"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as the history keeps times."""
        try:
            return since.parse(str(value))
        except ValueError as error:
            return self.fail(str(error), param, ctx)


def _complete_status(context: click.Context, parameter: click.Parameter, beginning: str) -> list[str]:
    """Return the statuses that begin so, also the last of several with commas between them."""
    del context, parameter
    before, comma, word = beginning.rpartition(",")
    return [before + comma + one for one in ("live", *STATUSES) if one.startswith(word.lower())]


@click.command(name="list", help=HELP, short_help="List executions, newest first.")
@click.option(
    "--project",
    metavar="PROJECT",
    shell_complete=ids.complete_project,
    help="Of this project: a name, or a path.",
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    metavar="STATUS",
    shell_complete=_complete_status,
    help=f"One of: live, {', '.join(STATUSES)}.",
)
@click.option("--role", default="", metavar="ROLE", help="For this role.")
@click.option("--agent", default="", metavar="ID", help="By this agent.")
@click.option("--since", "after", type=Since(), metavar="WHEN", help="Begun since then.")
@click.option("--text", default="", metavar="TEXT", help="With this in id, task id, title, error or summary.")
@click.option("--limit", "-n", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many.")
@click.option("--before", metavar="ID", shell_complete=ids.complete, help="Older than this one: the next page.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="A configuration file.")
def command(  # noqa: PLR0913 - one for each option
    *,
    project: str | None,
    statuses: tuple[str, ...],
    role: str,
    agent: str,
    after: str | None,
    text: str,
    limit: int,
    before: str | None,
    as_json: bool,
    file: Path | None,
) -> None:
    """Ask the history, and show a page of the answer."""
    config = load({}, os.environ, file=file).config
    wanted = _wanted(statuses)
    reader = opened.history(config)
    selection = Selection(
        project=opened.project(config, project, reader),
        statuses=wanted,
        role=role,
        agent_id=agent,
        since=after or "",
        text=text,
        before=reader.get(before).id if before else "",
        limit=limit + 1,
    )
    found = [*unstarted.unknown_to(reader, config.home, selection), *reader.select(selection)]
    found.sort(key=lambda one: (one.created_at, one.id), reverse=True)
    page, next_page = found[:limit], found[limit - 1].short_id if len(found) > limit else ""
    if as_json:
        show(json.dumps({"executions": [_as_json(one) for one in page], "next": next_page or None}, indent=2))
    else:
        show_all(_lines(page, next_page, config))


def _wanted(words: tuple[str, ...]) -> tuple[ExecutionStatus, ...]:
    """Return the statuses that are meant. Raises UsageError naming those there are."""
    wanted: set[ExecutionStatus] = set()
    for word in (part for given in words for part in given.lower().split(",")):
        if word != "live" and word not in STATUSES:
            raise click.UsageError(f"--status {word!r}: it is one of live, {', '.join(STATUSES)}")
        wanted |= LIVE if word == "live" else {ExecutionStatus(word)}
    return tuple(sorted(wanted))


def _lines(page: list[Execution], next_page: str, config: Config) -> Iterator[Line]:
    if not page:
        yield Line("No execution fits. `agent-runner list` without options shows the newest.")
        return
    heading, *rows = table(told_columns([HEADINGS, *(_row(one, config) for one in page)]))
    yield Line(heading, bold=True)
    for one, row in zip(page, rows, strict=True):
        yield Line(row, COLOURS.get(one.status, ""))
    if next_page:
        yield Line(f"There are more: --before {next_page}")


def _row(one: Execution, config: Config) -> tuple[str, ...]:
    return (
        one.short_id,
        short(ending(one), STATE_WIDTH),
        short(projects.shown(config, one.project) or "-", PROJECT_WIDTH),
        _agent(one),
        age(one.created_at),
        took(one),
        usd(one.cost_usd),
        one.title,
    )


def _agent(one: Execution) -> str:
    """Return whose execution it was, "-" for one that was typed: its agent has only this, and is named after it."""
    return "-" if one.agent_id in ("", typed_task.agent_of(one.id)) else short(one.agent_id, AGENT_WIDTH)


def _as_json(one: Execution) -> dict[str, object]:
    return {**asdict(one), "cost_usd": known_usd(one.cost_usd)}


def took(one: Execution) -> str:
    """Return how long an execution took, or "-" while it is not over."""
    if one.status not in FINAL or not (one.started_at and one.completed_at):
        return "-"
    return span(since.seconds_between(one.started_at, one.completed_at))
