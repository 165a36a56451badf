"""The `top` command: all agents of this machine, live: their CPU, their memory, what they cost."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components import at_work, overview, vital_signs
from components.cli.output import Line, known_usd, short, show, show_all, span, table, usd
from components.config import Config, load
from components.run_directory import RunDirectory

if TYPE_CHECKING:
    from components.overview import Run
    from components.store_reader import StoreReader

HEADINGS = ("ID", "AGENT", "STAGE", "CPU", "MEM", "PROCS", "SINCE", "COST", "TITLE")
AGENT_WIDTH = 10
SECONDS = 2.0
MEBI = 1 << 20
HELP = """Show all agents of this machine, live: the CPU and the memory that each uses with all that it has started.

CPU is in percent of one core since the look before, MEM in mebibytes, PROCS how many processes there are. `q` or Ctrl-C
ends it. In a pipe, and with --json, it is one look; CPU is then the mean since the agent was started.

Exit codes: 0 shown, 2 a mistake in the call or the configuration.
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one agent uses now. CPU as seconds and percent of a core, memory in bytes, times in seconds."""

    id: str
    agent_id: str
    stage: str
    title: str
    cpu_percent: float
    cpu_seconds: float
    memory_bytes: int
    processes: int
    elapsed: float
    cost_usd: float
    is_whole_cost: bool


@click.command(name="top", help=HELP, short_help="Show all agents of this machine, live.")
@click.option("--interval", type=click.FloatRange(0.2, 3600), default=SECONDS, metavar="SECONDS", help="[default: 2]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="A configuration file.")
def command(*, interval: float, as_json: bool, file: Path | None) -> None:
    """Look, again and again."""
    config = load({}, os.environ, file=file).config
    watch = Looks(config)
    if as_json:
        show(json.dumps({"agents": list(map(_as_json, watch.look()))}, indent=2))
    elif sys.stdout.isatty():
        from components.cli import live_view

        live_view.run(lambda: _lines(watch.look(), config), interval)
    else:
        show_all(_lines(watch.look(), config))


class Looks:
    """Looks at all living runs; between two looks it remembers the CPU time of each."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._reader: StoreReader | None = None
        self._before: dict[str, tuple[float, float]] = {}

    def look(self) -> list[Load]:
        """Return what each agent uses, who uses most first."""
        seen = overview.look(self._config.home)
        of_agents = [self._load(one.run, one) for one in at_work.find(seen, self._reader) if one.run]
        strays = [self._load(run, None) for run in seen.strays]
        return sorted((*of_agents, *strays), key=lambda one: (-one.cpu_percent, one.id))

    def _load(self, run: Run, one: at_work.AtWork | None) -> Load:
        directory = RunDirectory(run.path)
        tree = vital_signs.tree(directory)
        used, now = sum(seen.own_cpu + seen.children_cpu for seen in tree), time.monotonic()
        elapsed = vital_signs.age(directory)
        then, used_then = self._before.get(run.path.name, (now - elapsed, 0.0))
        self._before[run.path.name] = (now, used)
        held = run.held
        return Load(
            id=one.short_id if one else held.claim[:8] if held else "-",
            agent_id=one.agent_id if one else held.agent_id if held else run.path.name,
            stage=one.stage if one else "stray",
            title=one.title if one else held.task.title if held else "",
            cpu_percent=100 * max(0.0, used - used_then) / max(now - then, 0.01),
            cpu_seconds=used,
            memory_bytes=sum(seen.resident_bytes for seen in tree),
            processes=len(tree),
            elapsed=elapsed,
            cost_usd=one.cost_usd if one else 0.0,
            is_whole_cost=one.is_whole_cost if one else True,
        )


def _as_json(one: Load) -> dict[str, object]:
    is_whole = one.is_whole_cost and one.cost_usd > 0
    return {**asdict(one), "cost_usd": known_usd(one.cost_usd), "is_whole_cost": is_whole}


def _lines(loads: list[Load], config: Config) -> Iterator[Line]:
    cpu, memory = sum(one.cpu_percent for one in loads), sum(one.memory_bytes for one in loads)
    count = "1 agent" if len(loads) == 1 else f"{len(loads)} agents"
    money = usd(sum(one.cost_usd for one in loads), is_whole=all(one.is_whole_cost for one in loads))
    average = ", ".join(f"{one:.2f}" for one in os.getloadavg())
    yield Line(f"{count}, {cpu:.0f}% CPU, {memory // MEBI} MiB, cost {money}; load of the machine {average}")
    if not loads:
        yield Line(f"No agent lives here ({config.home}).")
        return
    heading, *rows = table([HEADINGS, *map(_row, loads)])
    yield Line(heading, bold=True)
    yield from map(Line, rows)


def _row(one: Load) -> tuple[str, ...]:
    return (
        one.id,
        short(one.agent_id, AGENT_WIDTH),
        one.stage,
        f"{one.cpu_percent:.0f}%",
        f"{one.memory_bytes // MEBI}M",
        str(one.processes),
        span(one.elapsed),
        usd(one.cost_usd, is_whole=one.is_whole_cost),
        one.title,
    )
