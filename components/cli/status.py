"""The `status` command: what is at work on this machine, and what waits for a person."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components import at_work, overview, projects, remark
from components.at_work import AtWork
from components.cli import ids, opened
from components.cli.ending import ending
from components.cli.output import Line, age, folded, short, show, show_all, span, table, told_columns, usd
from components.cli.status_json import Picture, advice, as_told
from components.config import Config, load
from components.execution import Execution, Selection
from components.overview import Agent, Overview
from components.states import FINAL, ExecutionStatus

if TYPE_CHECKING:
    from components.store_reader import StoreReader

HEADINGS = ("ID", "PROJECT", "STAGE", "DONE", "ETA", "STARTED", "COST", "MODEL", "TITLE")
ENDED_HEADINGS = ("ID", "PROJECT", "ENDED", "WHEN", "COST", "TITLE")
IDLE_HEADINGS = ("AGENT", "RUNNER")
INDENT = "    "
PROJECT_WIDTH, MODEL_WIDTH = 12, 10
ENDED_SHOWN = 10
WATCH_SECONDS = 2.0
HELP = """Show what is at work on this machine, and what waits for a person.

PROJECT is a name of `projects:` in the configuration, or a path; without it all are shown. Every process is looked at
now, and no server is asked: what is dead is not shown as running. DONE and ETA are told from how long this project's
tasks took before: `-` is not known, `late` is longer than ever. COST is so far; a `+` means at least.

\b
  agent-runner status              what runs
  agent-runner status shop         ... in one project
  agent-runner status --watch      ... until q or Ctrl-C
  agent-runner status --all        ... and idle agents, and what ended last

Exit codes: 0 shown, 2 a mistake in the call or the configuration, 4 no such project.
"""


@click.command(name="status", help=HELP, short_help="Show what is at work on this machine.")
@click.argument("project", required=False, shell_complete=ids.complete_project)
@click.option("--all", "is_all", is_flag=True, help="Show also idle agents, and what ended last.")
@click.option("--watch", "-w", "is_watched", is_flag=True, help="Show it again every 2 seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Read this configuration file.")
def command(*, project: str | None, is_all: bool, is_watched: bool, as_json: bool, file: Path | None) -> None:
    """Look, and show it."""
    if is_watched and as_json:
        raise click.UsageError("--watch and --json exclude each other: take one of them")
    config = load({}, os.environ, file=file).config
    if as_json:
        show(json.dumps(as_told(_look(config, project, is_all=is_all), config, is_all=is_all), indent=2))
    elif is_watched:
        from components.cli import live_view

        live_view.run(lambda: _lines(_look(config, project, is_all=is_all), config), WATCH_SECONDS)
    else:
        show_all(_lines(_look(config, project, is_all=is_all), config))


def _look(config: Config, project: str | None, *, is_all: bool) -> Picture:
    """Settle what is dead, then look at what is not."""
    reader, trouble = opened.history_or_why(config)
    path = opened.project(config, project, reader)
    seen = overview.look(config.home)
    work = [one for one in at_work.find(seen, reader) if path in ("", one.project)]
    told, runs = {one.agent_id for one in work}, {one.run.path for one in work if one.run}
    left = [agent for agent in seen.agents if agent.held is None and agent.agent_id not in told]
    idle = [agent for agent in left if is_all or not agent.is_idle]
    seen = replace(seen, strays=tuple(run for run in seen.strays if run.path not in runs))
    return Picture(seen, work, [] if path else idle, _ended(reader, path) if is_all else [], trouble)


def _ended(reader: StoreReader | None, path: str) -> list[Execution]:
    over = (*sorted(FINAL), ExecutionStatus.INTERRUPTED)
    return reader.select(Selection(path, over, limit=ENDED_SHOWN)) if reader is not None else []


def _lines(now: Picture, config: Config) -> Iterator[Line]:
    if now.work:
        yield from _work(now.work, config)
    elif not now.idle:
        yield Line(f"No agent is at work here ({now.seen.home}).")
    yield from _idle(now.idle, is_first=not now.work)
    yield from _recent(now.ended, config)
    yield from _strays(now.seen)
    yield from _letters(now.seen)
    yield from _files(now.seen)
    if now.trouble:
        yield from _heading("THE HISTORY CANNOT BE ASKED")
        for line in folded(now.trouble, "", INDENT):
            yield Line(line, "yellow")


def _work(work: list[AtWork], config: Config) -> Iterator[Line]:
    heading, *lines = table(told_columns([HEADINGS, *(_row(one, config) for one in work)]))
    yield Line(heading, bold=True)
    for one, line in zip(work, lines, strict=True):
        yield Line(line)
        for row in folded(said, INDENT) if (said := remark.of(one)) else ():
            yield Line(row, "yellow")


def _row(one: AtWork, config: Config) -> tuple[str, ...]:
    return (
        one.short_id,
        short(projects.shown(config, one.project) or "-", PROJECT_WIDTH),
        one.stage,
        "-" if one.estimate.fraction is None else f"{one.estimate.fraction:.0%}",
        eta(one),
        age(one.started_at),
        usd(one.cost_usd, is_whole=one.is_whole_cost),
        short(one.model or "-", MODEL_WIDTH),
        one.title,
    )


def eta(one: AtWork) -> str:
    """Return when an execution will be done, as far as that is known."""
    if one.estimate.is_late:
        return "late"
    return "-" if one.estimate.seconds_left is None else span(one.estimate.seconds_left)


def _idle(idle: list[Agent], *, is_first: bool) -> Iterator[Line]:
    """Tell of agents without a task: who waits for one, and whose journal cannot be read."""
    if not idle:
        return
    if not is_first:
        yield Line()
    heading, *lines = table([IDLE_HEADINGS, *((one.agent_id, _runner(one)) for one in idle)])
    yield Line(heading, bold=True)
    for agent, line in zip(idle, lines, strict=True):
        yield Line(line)
        for row in folded(said, INDENT) if (said := remark.of_agent(agent)) else ():
            yield Line(row, "yellow")


def _runner(agent: Agent) -> str:
    if agent.trouble:
        return "unreadable"
    return "none" if agent.runner is None else f"idle, pid {agent.runner}" if agent.runner else "idle"


def _recent(ended: list[Execution], config: Config) -> Iterator[Line]:
    if not ended:
        return
    yield Line()
    rows = [(one.short_id, *_ended_words(one, config), one.title) for one in ended]
    heading, *lines = table([ENDED_HEADINGS, *rows])
    yield Line(heading, bold=True)
    for one, line in zip(ended, lines, strict=True):
        yield Line(line, "red" if one.status is ExecutionStatus.FAILED else "")


def _ended_words(one: Execution, config: Config) -> tuple[str, str, str, str]:
    place = short(projects.shown(config, one.project) or "-", PROJECT_WIDTH)
    return place, ending(one), age(one.completed_at), usd(one.cost_usd)


def _strays(seen: Overview) -> Iterator[Line]:
    if seen.strays:
        yield from _heading("ALIVE WITHOUT A JOURNAL")
    for run in seen.strays:
        pids = ", ".join(f"{who} {pid}" for who, pid in run.pids.items()) or "alive"
        task = f"task {run.held.task.id} {run.held.task.title}" if run.held else "its journal cannot be read"
        for line in folded(f"{run.path.name} ({pids}): {task}", "", INDENT):
            yield Line(line)
        whose = f"start the runner of agent {run.held.agent_id}: it takes it up, or ends it" if run.held else ""
        for line in folded(whose or f"look at {run.path}; it ends with its time limit", INDENT):
            yield Line(line, "yellow")


def _letters(seen: Overview) -> Iterator[Line]:
    if seen.letters:
        yield from _heading("REPORTS THAT THE SERVER REFUSED")
    for letter in seen.letters:
        content = letter.content
        wanted = " or ".join(content.wanted)
        for line in folded(
            f"task {content.task_id} {content.title}: wanted {wanted} ({content.reason}); it said: {content.said}",
            "",
            INDENT,
        ):
            yield Line(line)
        for line in advice(letter):
            yield Line(INDENT + line, "yellow")


def _files(seen: Overview) -> Iterator[Line]:
    if seen.set_aside:
        count = len(seen.set_aside)
        yield Line()
        yield Line(
            f"Set aside: {count} damaged journal{'s' * (count > 1)}; `doctor` names {'them' if count > 1 else 'it'}."
        )
    if seen.unreadable:
        yield from _heading("CANNOT BE READ")
    for one in seen.unreadable:
        for line in folded(f"{one.path}: {one.why}", "", INDENT):
            yield Line(line)


def _heading(text: str) -> Iterator[Line]:
    yield Line()
    yield Line(text, bold=True)
