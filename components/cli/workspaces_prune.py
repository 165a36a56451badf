"""What `workspaces prune` does: says which workspaces go and why the others stay, asks, removes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from components import git_command, workspace_pruning
from components.cli import opened
from components.cli.output import Line, folded, show, show_all, span
from components.cli.prune import DEFAULT_DAYS
from components.clones import base_of
from components.config import load
from components.task_persistence import host_name
from components.workspace_pruning import Candidate
from components.workspaces import Removal, Workspaces

INDENT = "    "


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for. `days` None is what the configuration says."""

    repository: str | None
    days: float | None
    dry_run: bool
    is_sure: bool
    as_json: bool


def run(asked: Asked, file: Path | None) -> int:
    """Plan, tell, ask, remove; return the exit code."""
    if not (asked.dry_run or asked.is_sure) and (asked.as_json or not sys.stdin.isatty()):
        raise click.UsageError("nobody can be asked here: give --yes, or --dry-run to see what would go")
    given = {"repository": asked.repository} if asked.repository else {}
    config = load(given, os.environ, file=file).config
    host = host_name()
    workspaces = Workspaces(config.home, base_of(config), opened.store(config), host)
    days = asked.days if asked.days is not None else config.keep_runs_days
    planned = workspace_pruning.plan(
        config.home,
        workspaces,
        host,
        DEFAULT_DAYS if days is None else days,
        config.repository if asked.repository else None,
    )
    going = [one for one in planned if one.goes]
    if not asked.as_json:
        show_all(_lines(planned, going))
    if not (asked.dry_run or asked.is_sure or not going) and not click.confirm("Remove them"):
        return 1
    removals = [] if asked.dry_run else workspace_pruning.carry_out(workspaces, planned)
    _tell(planned, removals, as_json=asked.as_json)
    return 1 if any(one.kept for one in removals) else 0


def _lines(planned: list[Candidate], going: list[Candidate]) -> Iterator[Line]:
    staying = [one for one in planned if one.is_old and not one.goes]
    yield from _listed("THESE GO", going)
    yield from _listed("THESE STAY", staying)
    young = len(planned) - len(going) - len(staying)
    told = f"{_counted(len(going))} to remove" if going else "No workspace is to go"
    yield Line(f"{told}; {len(staying)} in use or with unsaved work; {young} used too recently.")


def _listed(heading: str, some: list[Candidate]) -> Iterator[Line]:
    if not some:
        return
    yield Line(heading, bold=True)
    for one in some:
        yield Line(git_command.printable(one.entry.path))
        whose = f", execution {one.entry.execution_id[:8]}" if one.entry.execution_id else ""
        why = f": in use by {one.used_by}" if one.used_by else ""
        yield from map(Line, folded(f"{one.entry.kind}{whose}, not used for {span(one.age)}{why}", INDENT))
        for what in one.unsaved:
            yield from map(Line, folded(what, INDENT + "- "))
    yield Line()


def _tell(planned: list[Candidate], removals: list[Removal], *, as_json: bool) -> None:
    gone = [one for one in removals if not one.kept]
    if as_json:
        told = {"workspaces": [_as_json(one) for one in planned], "removed": [one.entry.path for one in gone]}
        show(json.dumps(told, indent=2))
        return
    for one in removals:
        for row in folded(f"{one.entry.path} stays: {'; '.join(one.kept)}", "", INDENT) if one.kept else ():
            show(row, "yellow")
    if gone:
        show(f"Removed {_counted(len(gone))}.", "green")


def _as_json(one: Candidate) -> dict[str, object]:
    told = {name: getattr(one.entry, name) for name in ("path", "kind", "project", "branch", "execution_id")}
    return {**told, **{name: value for name, value in asdict(one).items() if name != "entry"}, "goes": one.goes}


def _counted(number: int) -> str:
    return "1 workspace" if number == 1 else f"{number} workspaces"
