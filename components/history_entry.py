"""What the history says of a task in hand: words from the journal, without a look at anything else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from components.execution import Execution
from components.model import Held, Task, Verdict
from components.states import LIVE, TRANSITIONS, Door, ExecutionStatus, Phase, Reason

STATUSES: Mapping[Phase, ExecutionStatus] = MappingProxyType(
    {
        Phase.ANNOUNCED: ExecutionStatus.PENDING,
        Phase.PREPARING: ExecutionStatus.PREPARING,
        Phase.SPAWNING: ExecutionStatus.PREPARING,
        Phase.RUNNING: ExecutionStatus.RUNNING,
        Phase.EXITED: ExecutionStatus.FINISHING,
        Phase.REPORTED: ExecutionStatus.FINISHING,
        Phase.CLEANING: ExecutionStatus.FINISHING,
    }
)
"""A claim that is not settled is no execution yet: of several agents that believe to have it, one is right."""
DONE_WELL = frozenset({Reason.SUCCEEDED, Reason.REJECTED})
"""To reject other people's work is work well done."""
CALLED_OFF = frozenset({Reason.CANCELLED, Reason.RUNNER_STOPPED, Reason.LOST_CLAIM, Reason.HOOK_POSTPONED})
PHASES = tuple(Phase)
STEPS_OF_ATTEMPT = 100
DIGEST_LETTERS = 16


def status_of(held: Held, now: float) -> ExecutionStatus | None:
    """Return where a task in hand stands, None while it may still go to somebody else; `now` in seconds since 1970."""
    if held.phase is Phase.DONE:
        return ended(held.verdict)
    status = STATUSES.get(held.phase)
    return ExecutionStatus.WAITING if status is ExecutionStatus.PREPARING and held.not_before > now else status


def ended(verdict: Verdict | None) -> ExecutionStatus | None:
    """Return the last status that a verdict stands for; None for a claim that came to nothing."""
    return None if verdict is None else ended_by(verdict.reason)


def ended_by(reason: str) -> ExecutionStatus:
    """Return the last status that a reason stands for."""
    if reason in DONE_WELL:
        return ExecutionStatus.SUCCEEDED
    return ExecutionStatus.CANCELLED if reason in CALLED_OFF else ExecutionStatus.FAILED


def step_of(held: Held) -> int:
    """Return how far a runner has come: it never comes back behind it."""
    return held.attempt * STEPS_OF_ATTEMPT + PHASES.index(held.phase)


def digest_of(task: Task) -> str:
    """Return what tells a task from a later one with its id."""
    return hashlib.sha256(task.created_at.encode()).hexdigest()[:DIGEST_LETTERS] if task.created_at else ""


def entry(held: Held, status: ExecutionStatus, redact: Callable[[str], str], door: Door, project: str) -> Execution:
    """Return a task in hand as the history keeps it, but for what its runs have used."""
    task, place, verdict = held.task, held.workspace, held.verdict
    return Execution(
        id=held.claim,
        door=door,
        project=project,
        task_id=task.id,
        title=redact(task.title),
        task_digest=digest_of(task),
        role=task.role,
        level=task.level,
        complexity=str(task.complexity),
        agent_id=held.agent_id,
        host=held.host,
        status=status,
        reason=str(verdict.reason) if verdict else "",
        attempt=held.attempt,
        step=step_of(held),
        model=verdict.model if verdict else "",
        session_id=held.session_id,
        run=held.run,
        workspace=str(place.path) if place else "",
        branch=place.branch if place else "",
        base_commit=place.base_commit if place else "",
        created_at=held.locked_at,
        error=redact(verdict.detail) if verdict and status not in LIVE | {ExecutionStatus.SUCCEEDED} else "",
    )


def way(before: ExecutionStatus, after: ExecutionStatus) -> list[ExecutionStatus] | None:
    """Return the moves from one status to another, the shortest way; None where none leads there.

    Somebody who was away for a while makes up for what was not told, one legal move at a time.
    """
    ways: dict[ExecutionStatus, list[ExecutionStatus]] = {before: []}
    for seen in (queue := [before]):
        for status in sorted(TRANSITIONS[seen], key=tuple(ExecutionStatus).index):
            if status not in ways and (seen is before or seen in LIVE):
                ways[status] = [*ways[seen], status]
                queue.append(status)
    return ways.get(after)
