"""The `doctor` command: whether this machine and its configuration are fit for work, and what to do if not."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from components import cli, doctor
from components.checks import Judgement
from components.cli.output import folded, show
from components.doctor import Line
from components.pm_wire import one_line

COLOURS: Mapping[Judgement, str] = {Judgement.OK: "", Judgement.WARNING: "yellow", Judgement.PROBLEM: "red"}
INDENT = " " * 9
REMEDY_LIMIT = 4000


@click.command(name="doctor", short_help="Check this machine and the configuration.")
@click.option("--role", metavar="ROLE", help="Whose tasks the runner is to take.")
@click.option("--agent-id", metavar="ID", help="The agent's name at the server.  [default: <role>_001]")
@click.option("--level", metavar="LEVEL", help="The hardest tasks to take.  [default: senior]")
@click.option("--repo", "repository", metavar="DIR", help="The git repository.  [default: the current directory]")
@click.option("--hooks-dir", "hooks_directory", metavar="DIR", help="The hooks.  [default: those that come with it]")
@click.option("--executor", metavar="NAME", help="Which kind of agent does the work.  [default: claude]")
@click.option("--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="Read this configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--verbose", "-v", is_flag=True, help="Show also why a check itself failed.")
@click.pass_context
def command(context: click.Context, /, file: Path | None, as_json: bool, verbose: bool, **_settings: object) -> int:
    """Check this machine and the configuration, and tell what to do.

    Give it the options that the runner gets. Each line is ok, a warning, or a problem that keeps the runner from its
    work. Nothing is changed, here or at the server. Exit code: 0 without a problem, else 1.
    """
    if verbose:
        logging.basicConfig(level=logging.DEBUG)
    ours = ("file", "as_json", "verbose")
    given = {name: value for name, value in cli.settings_of(context).items() if name not in ours}
    lines: list[Line] = []
    for line in doctor.examine(given, os.environ, file):
        lines.append(line)
        if not as_json:
            _show(line)
    if as_json:
        show(json.dumps({"well": doctor.is_well(lines), "findings": [_as_json(line) for line in lines]}, indent=2))
    else:
        show()
        show(" ".join(_summary(lines)), bold=True)
    return 0 if doctor.is_well(lines) else 1


def _show(line: Line) -> None:
    finding = line.finding
    for row in folded(f"{line.name}: {finding.seen}", f"{finding.judgement:9}", INDENT):
        show(row, COLOURS[finding.judgement])
    if finding.remedy:
        show(f"{INDENT}-> {one_line(finding.remedy, REMEDY_LIMIT)}")  # not folded: it may be a command to copy


def _summary(lines: list[Line]) -> Iterator[str]:
    counts = Counter(line.finding.judgement for line in lines)
    problems, warnings = counts[Judgement.PROBLEM], counts[Judgement.WARNING]
    yield f"{problems} problem{'s' * (problems != 1)},"
    yield f"{warnings} warning{'s' * (warnings != 1)}:"
    yield "this installation cannot work yet." if problems else "this installation is fit for work."


def _as_json(line: Line) -> Mapping[str, str]:
    finding = line.finding
    return {"judgement": finding.judgement, "name": line.name, "seen": finding.seen, "remedy": finding.remedy}
