"""The `status` command: what is at work on this machine, and what waits for a person."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from components import overview
from components.cli.output import age, folded, show, table
from components.config import load
from components.overview import Agent, Letter, Overview, Run
from components.pm_wire import one_line
from components.run_directory import RunState
from components.states import Phase

HEADINGS = ("AGENT", "TASK", "PHASE", "TRY", "SINCE", "PROCESS", "RUNNER", "TITLE")
STATES: Mapping[RunState, str] = {
    RunState.NEVER_RAN: "not yet",
    RunState.ALIVE: "alive",
    RunState.ENDED: "ended",
    RunState.VANISHED: "gone",
}
INDENT = "    "
WORDS_LIMIT = 100
BEFORE_AGENT = (Phase.CLAIMING, Phase.CLAIMED, Phase.ANNOUNCED, Phase.PREPARING)


@click.command(name="status", short_help="Show what is at work on this machine.")
@click.option("--all", "is_all", is_flag=True, help="Show also agents that do not run and have nothing in hand.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Read this configuration file.")
def command(is_all: bool, as_json: bool, file: Path | None) -> None:
    """Show what is at work on this machine, and what waits for a person.

    Every process is looked at now; nothing is changed, and no server is asked. PROCESS is the agent's, RUNNER the
    daemon's that looks after it.
    """
    seen = overview.look(load({}, os.environ, file=file).config.home)
    agents = [agent for agent in seen.agents if is_all or not agent.is_idle]
    if as_json:
        show(json.dumps(_as_json(seen, agents), indent=2))
        return
    if agents:
        _show_agents(agents)
    else:
        show(f"No agent is at work here ({seen.home}).")
    _show_strays(seen)
    _show_letters(seen)
    _show_files(seen)


def _show_agents(agents: list[Agent]) -> None:
    heading, *lines = table([HEADINGS, *(_row(agent) for agent in agents)])
    show(heading, bold=True)
    for agent, line in zip(agents, lines, strict=True):
        show(line)
        said = remark(agent)
        if said:
            for row in folded(said, INDENT):
                show(row, "yellow")


def _row(agent: Agent) -> tuple[str, ...]:
    runner = "none" if agent.runner is None else f"pid {agent.runner}" if agent.runner else "alive"
    if agent.held is None:
        state = "unreadable" if agent.trouble else "idle"
        return (agent.agent_id, "-", state, "-", "-", "-", runner, "")
    held = agent.held
    process = _process(agent.run, agent.is_elsewhere, held.phase)
    return (
        *(agent.agent_id, held.task.id, held.phase, str(held.attempt)),
        *(age(held.locked_at), process, runner, held.task.title),
    )


def _process(run: Run | None, is_elsewhere: bool, phase: Phase) -> str:
    if run is None or (is_elsewhere and not run.is_alive):
        return "unknown"
    if "agent" in run.pids:
        return f"pid {run.pids['agent']}"
    if run.state is RunState.NEVER_RAN and phase not in (*BEFORE_AGENT, Phase.SPAWNING, Phase.RUNNING):
        return "none"
    return STATES[run.state]


def remark(agent: Agent) -> str:
    """Return what a person should know of this agent, or "" when all is well."""
    is_alive = agent.run is not None and agent.run.is_alive
    if agent.trouble:
        return f"its journal cannot be used ({agent.trouble}); its runner sets it aside at the next start and goes on"
    if agent.held is None or agent.runner is not None:
        return ""
    if agent.is_elsewhere:
        return f"its runner is on another host ({agent.held.host}); look there"
    if is_alive:
        return "no runner: the agent works on; start it again to take it up"
    return "no runner: start it again to go on"


def _show_strays(seen: Overview) -> None:
    if seen.strays:
        _heading("ALIVE WITHOUT A JOURNAL")
    for run in seen.strays:
        pids = ", ".join(f"{who} {pid}" for who, pid in run.pids.items()) or "alive"
        task = f"task {run.held.task.id} {run.held.task.title}" if run.held else "its journal cannot be read"
        for line in folded(f"{run.path.name} ({pids}): {task}", "", INDENT):
            show(line)
        whose = f"start the runner of agent {run.held.agent_id}: it takes it up, or ends it" if run.held else ""
        for line in folded(whose or f"look at {run.path}; it ends with its time limit", INDENT):
            show(line, "yellow")


def _show_letters(seen: Overview) -> None:
    if seen.letters:
        _heading("REPORTS THAT THE SERVER REFUSED")
    for letter in seen.letters:
        content = letter.content
        wanted = " or ".join(content.wanted)
        for line in folded(
            f"task {content.task_id} {content.title}: wanted {wanted} ({content.reason}); it said: {content.said}",
            "",
            INDENT,
        ):
            show(line)
        for line in advice(letter):
            show(INDENT + line, "yellow")


def advice(letter: Letter) -> tuple[str, str]:
    """Return what to do about a refused report: in words, and as a command to copy."""
    wanted = one_line(" or ".join(letter.content.wanted), WORDS_LIMIT)
    task = one_line(letter.content.task_id, WORDS_LIMIT)
    return f"move task {task} to {wanted} at the server by hand, then:", f"rm {shlex.quote(str(letter.path))}"


def _show_files(seen: Overview) -> None:
    if seen.set_aside:
        _heading("SET ASIDE")
    for path in seen.set_aside:
        for line in folded(f"{path}: a journal that could not be used; look at it, then remove it", "", INDENT):
            show(line)
    if seen.unreadable:
        _heading("CANNOT BE READ")
    for one in seen.unreadable:
        for line in folded(f"{one.path}: {one.why}", "", INDENT):
            show(line)


def _heading(text: str) -> None:
    show()
    show(text, bold=True)


def _as_json(seen: Overview, agents: list[Agent]) -> Mapping[str, object]:
    return {
        "home": str(seen.home),
        "host": seen.host,
        "agents": [_agent_as_json(agent) for agent in agents],
        "strays": [
            {**_run_as_json(run), "task_id": run.held.task.id, "agent_id": run.held.agent_id}
            if run.held
            else {**_run_as_json(run), "task_id": None, "agent_id": None}
            for run in seen.strays
        ],
        "dead_letters": [_letter_as_json(letter) for letter in seen.letters],
        "set_aside": [str(path) for path in seen.set_aside],
        "unreadable": [{"path": str(one.path), "why": one.why} for one in seen.unreadable],
    }


def _agent_as_json(agent: Agent) -> Mapping[str, object]:
    held = agent.held
    return {
        "agent_id": agent.agent_id,
        "runner": {"alive": agent.runner is not None, "pid": agent.runner or None},
        "task": {"id": held.task.id, "title": held.task.title, "role": held.task.role} if held else None,
        "phase": held.phase if held else None,
        "attempt": held.attempt if held else None,
        "since": held.locked_at if held else None,
        "host": held.host if held else None,
        "is_elsewhere": agent.is_elsewhere,
        "run": _run_as_json(agent.run) if agent.run else None,
        "remark": remark(agent),
    }


def _run_as_json(run: Run) -> dict[str, object]:
    return {"path": str(run.path), "state": run.state.name.lower(), "pids": dict(run.pids)}


def _letter_as_json(letter: Letter) -> Mapping[str, object]:
    content = letter.content
    names = ("task_id", "title", "agent_id", "reason", "detail", "said", "at")
    told = {name: getattr(content, name) for name in names}
    return {"path": str(letter.path), **told, "wanted": list(content.wanted), "to_do": " ".join(advice(letter))}
