"""What `status` tells, as JSON for programs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from components import projects, remark
from components.at_work import AtWork
from components.cli.output import known_usd
from components.config import Config
from components.execution import Execution
from components.overview import Agent, Letter, Overview, Run
from components.pm_wire import one_line

WORDS_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Picture:
    """How things stand at one moment. `trouble` says why the history could not be asked."""

    seen: Overview
    work: list[AtWork]
    idle: list[Agent]
    ended: list[Execution]
    trouble: str


def as_told(now: Picture, config: Config, *, is_all: bool) -> Mapping[str, object]:
    """Return all that `status` knows."""
    agents = [agent for agent in now.seen.agents if is_all or not agent.is_idle]
    return {
        "home": str(now.seen.home),
        "host": now.seen.host,
        "executions": [_work_as_json(one, config) for one in now.work],
        "ended": [_ended_as_json(one) for one in now.ended],
        "agents": [_agent_as_json(agent) for agent in agents],
        "strays": [
            {**_run_as_json(run), "task_id": run.held.task.id, "agent_id": run.held.agent_id}
            if run.held
            else {**_run_as_json(run), "task_id": None, "agent_id": None}
            for run in now.seen.strays
        ],
        "dead_letters": [_letter_as_json(letter) for letter in now.seen.letters],
        "set_aside": [str(path) for path in now.seen.set_aside],
        "unreadable": [{"path": str(one.path), "why": one.why} for one in now.seen.unreadable],
        "trouble": now.trouble,
    }


def _work_as_json(one: AtWork, config: Config) -> Mapping[str, object]:
    names = ("id", "task_id", "title", "agent_id", "project", "role", "stage", "attempt", "started_at", "model")
    return {
        **{name: getattr(one, name) for name in names},
        "project_name": projects.shown(config, one.project),
        "progress": one.estimate.fraction,
        "seconds_left": one.estimate.seconds_left,
        "is_late": one.estimate.is_late,
        "cost_usd": known_usd(one.cost_usd),
        "is_whole_cost": one.is_whole_cost and one.cost_usd > 0,
        "pids": _pids(one),
        "remark": remark.of(one),
    }


def _pids(one: AtWork) -> Mapping[str, int]:
    waiter = {"waiter": one.waiter} if one.waiter else {}
    runner = {"runner": one.agent.runner} if one.agent and one.agent.runner else {}
    return {**waiter, **runner, **(one.run.pids if one.run else {})}


def _ended_as_json(one: Execution) -> Mapping[str, object]:
    names = ("id", "task_id", "title", "project", "status", "reason", "completed_at", "cost_usd", "model")
    return {**{name: getattr(one, name) for name in names}, "cost_usd": known_usd(one.cost_usd)}


def _agent_as_json(agent: Agent) -> Mapping[str, object]:
    held = agent.held
    return {
        "agent_id": agent.agent_id,
        "runner": {"alive": agent.runner is not None, "pid": agent.runner or None},
        "task": {"id": held.task.id, "title": held.task.title, "role": held.task.role} if held else None,
        "execution": held.claim if held else None,
        "phase": held.phase if held else None,
        "attempt": held.attempt if held else None,
        "since": held.locked_at if held else None,
        "host": held.host if held else None,
        "is_elsewhere": agent.is_elsewhere,
        "run": _run_as_json(agent.run) if agent.run else None,
        "remark": remark.of_agent(agent),
    }


def _run_as_json(run: Run) -> dict[str, object]:
    return {"path": str(run.path), "state": run.state.name.lower(), "pids": dict(run.pids)}


def _letter_as_json(letter: Letter) -> Mapping[str, object]:
    content = letter.content
    names = ("task_id", "title", "agent_id", "reason", "detail", "said", "at")
    told = {name: getattr(content, name) for name in names}
    return {"path": str(letter.path), **told, "wanted": list(content.wanted), "to_do": " ".join(advice(letter))}


def advice(letter: Letter) -> tuple[str, str]:
    """Return what to do about a refused report: in words, and as a command to copy."""
    wanted = one_line(" or ".join(letter.content.wanted), WORDS_LIMIT)
    task = one_line(letter.content.task_id, WORDS_LIMIT)
    return f"move task {task} to {wanted} at the server by hand, then:", f"rm {shlex.quote(str(letter.path))}"
