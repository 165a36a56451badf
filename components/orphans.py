"""Tasks that are ours at the source though no journal tells of them: found at start, and gone on with."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

from components import dead_letters, journal_format
from components.model import Held, Task
from components.run_directory import JOURNAL, RunDirectory, RunState
from components.states import Phase
from components.tools import Tools


def find(agent_id: str, host: str, tools: Tools) -> Held | None:
    """Return a task of ours as a journal entry to go on from, or None.

    Its newest run directory holds a copy of the journal: so a lost journal costs nothing, and an agent that is still
    at work is adopted. Without one the task is claimed afresh, but only when no other runner of our id may live. A
    task whose report was refused is left to people.
    """
    for task in tools.source.ours():
        if not dead_letters.has(tools.config.home, task):
            copies = [held for held, _ in runs_of(task, tools.runs) if (held.agent_id, held.host) == (agent_id, host)]
            if copies:
                return max(copies, key=lambda held: (held.locked_at, held.attempt))
            if tools.presence.is_alone:
                return _fresh(task, agent_id, host)
            tools.ui.debug(f"Task {task.id} is held by our agent id, but by another runner: leaving it alone")
    return None


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
