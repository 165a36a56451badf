"""What a person should know of what is at work, beyond how far it is."""

from __future__ import annotations

from components import typed_task
from components.at_work import AtWork
from components.overview import TYPED, Agent
from components.short_id import SHORT
from components.states import Phase
from components.unstarted import INTERRUPTED


def of(one: AtWork) -> str:
    """Return what a person should know of an execution that is at work, or "" when all is well."""
    if one.agent is not None:
        return of_agent(one.agent)
    if one.stage == INTERRUPTED:
        return f"nobody starts it; `restart {one.short_id} --resume` does, `cancel {one.short_id}` ends it"
    return ""


def of_agent(agent: Agent) -> str:
    """Return what a person should know of an agent, or "" when all is well."""
    if agent.trouble:
        return _of_trouble(agent)
    if agent.held is None or agent.runner is not None:
        return ""
    if agent.is_elsewhere:
        return f"its runner is on another host ({agent.held.host}); look there"
    short = agent.held.claim[:SHORT]
    start = f"`restart {short} --resume`" if agent.agent_id == f"task-{short}" else "start it again"
    if agent.run is not None and agent.run.is_alive:
        if _has_lost_its_agent(agent):
            return f"no runner, no agent, but something that it started lives on; {start}, or `cancel {short}`"
        return f"no runner: the agent works on; {start} to take it up"
    return f"no runner: {start} to go on"


def _of_trouble(agent: Agent) -> str:
    """Return what to know of an agent whose journal cannot be used; the runner of a typed task does without it."""
    trouble = f"its journal cannot be used ({agent.trouble})"
    if not TYPED.fullmatch(agent.agent_id):
        return f"{trouble}; its runner sets it aside at the next start and goes on"
    short = agent.agent_id.removeprefix(typed_task.agent_of(""))
    if agent.runner is not None:
        return f"{trouble}; its runner writes it anew"
    lives = "the agent works on; " if agent.run is not None and agent.run.is_alive else ""
    return (
        f"{trouble}, and it has no runner: {lives}`restart {short} --resume` goes on with it, `cancel {short}` ends it"
    )


def _has_lost_its_agent(agent: Agent) -> bool:
    """Is the agent of a run that began known to be dead, though something of the run lives?"""
    began = agent.held is not None and agent.held.phase is Phase.RUNNING
    return began and agent.run is not None and "agent" not in agent.run.pids
