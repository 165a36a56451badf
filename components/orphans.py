"""Tasks that are ours at the source though no journal tells of them: found at start, and gone on with."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

from components import claiming, dead_letters, durable, journal_format
from components.model import Held, Task
from components.run_directory import CLOSED, JOURNAL, RunDirectory, RunState
from components.states import Phase
from components.tools import Tools


def find(agent_id: str, host: str, tools: Tools) -> Held | None:
    """Return a task of ours as a journal entry to go on from, or None.

    The newest run directory of its claim holds a copy of the journal: so a lost journal costs nothing, and an agent
    that is still at work is adopted. Without one the task is claimed afresh, but only when no other runner of our id
    may live. A task whose report was refused is left to people.
    """
    for task in tools.source.ours():
        if not dead_letters.has(tools.config.home, task):
            copies = [
                (run.state() is RunState.ALIVE, held.attempt, held)
                for held, run in runs_of(task, tools.runs)
                if (held.agent_id, held.host) == (agent_id, host)
                if not _is_closed(run) and not claiming.is_taken_over(task, held)
            ]
            if copies:
                return max(copies, key=lambda copy: copy[:2])[-1]
            if tools.presence.is_alone:
                return _fresh(task, agent_id, host)
            tools.ui.debug(f"Task {task.id} is held by our agent id, but by another runner: leaving it alone")
    return None


def close_others(held: Held, tools: Tools) -> None:
    """Note for good that our earlier claims of the task are over, before this one becomes real.

    No clock tells which claim of a task is the last one: so a run of a claim that is over is never gone on with.
    """
    for copy, run in runs_of(held.task, tools.runs):
        if copy.agent_id == held.agent_id and copy.claim != held.claim:
            _close(run)


def close(held: Held, tools: Tools) -> None:
    """Note for good that this claim is over: what its runs brought was told, or is nobody's business any more."""
    for copy, run in runs_of(held.task, tools.runs):
        if copy.claim == held.claim:
            _close(run)


def rivals(held: Held, tools: Tools) -> list[RunDirectory]:
    """Return the living runs of the same task that belong to other claims or attempts."""
    own = tools.run_of(held).name
    runs = (run for _, run in runs_of(held.task, tools.runs) if run.name != own)
    return [run for run in runs if run.state() is RunState.ALIVE]


def runs_of(task: Task, runs: Path) -> Iterator[tuple[Held, RunDirectory]]:
    """Yield the runs of a task on this machine, with the journal as it was when each began.

    An id alone names no task: servers give ids again, and two servers give the same ones.
    """
    for path in runs.glob(f"{task.id}-*/{JOURNAL}"):
        try:
            held = journal_format.parse(path.read_bytes())
        except (OSError, ValueError):
            continue
        if held.task.id == task.id and held.task.created_at == task.created_at:
            yield held, RunDirectory(path.parent)


def _close(run: RunDirectory) -> None:
    if not _is_closed(run):
        durable.create(run.path / CLOSED)
        durable.sync_directory(run.path)


def _is_closed(run: RunDirectory) -> bool:
    return (run.path / CLOSED).exists()


def _fresh(task: Task, agent_id: str, host: str) -> Held:
    return Held(
        task=task,
        agent_id=agent_id,
        phase=Phase.CLAIMING,
        claim=uuid.uuid4().hex,
        session_id=str(uuid.uuid4()),
        taken_from=journal_format.ORPHAN,
        host=host,
    )
