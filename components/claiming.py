"""Whose a task is, told from a look at its source."""

from __future__ import annotations

import re

from components.journal_format import LEGACY, ORPHAN
from components.model import Held, Task
from components.states import TaskStatus

AT_WORK = frozenset({TaskStatus.UNDER_WORK, TaskStatus.TESTING})
OFFERED = frozenset({TaskStatus.CREATED, TaskStatus.APPROVED})
LEFT_AT = {LEGACY: AT_WORK | {TaskStatus.PENDING}, ORPHAN: AT_WORK}
CLAIMS, TAKES_OVER = "claims", "takes over"
MARK = re.compile(rf"\[agent-runner ({CLAIMS}|{TAKES_OVER}) ([0-9a-f]{{8}}) as ([^\]\s]+)\]")


def is_ours(now: Task | None, held: Held) -> bool:
    """Whether the task is there, we hold its lock, and no other runner of our id has taken it over."""
    return now is not None and now.locked_by == held.agent_id and not is_taken_over(now, held)


def is_free(now: Task | None, held: Held) -> bool:
    """Whether the lock may be asked for: nobody has it, and the status is one that this claim starts from.

    What a developer took is not free at `dev_done`: another has finished it since, and now it is for QA. A task that
    we held before may also stand at `under_work`, where the server forgot our lock; one of the earlier runner's at
    `pending`.
    """
    if now is None or now.locked_by is not None:
        return False
    offered = {TaskStatus.DEV_DONE} if held.task.status == TaskStatus.DEV_DONE else OFFERED
    return now.status in offered | LEFT_AT.get(held.taken_from, frozenset())


def is_moved_on(now: Task, held: Held) -> bool:
    """Whether the lock came too late: between our look and the lock another did the task, and it stands elsewhere."""
    return (
        now.status not in AT_WORK and now.status != held.task.status and not {now.status, held.task.status} <= OFFERED
    )


def is_abandoned(now: Task | None) -> bool:
    """Whether the server forgot our lock while the task was at work: nobody else is ever offered such a task."""
    return now is not None and now.locked_by is None and now.status in AT_WORK


def is_lost(now: Task | None, held: Held) -> bool:
    """Whether the task in hand went to somebody else, or was moved on or deleted."""
    return now is None or is_taken_over(now, held) or not (is_ours(now, held) or is_abandoned(now))


def mark(held: Held) -> str:
    """Return what a claim writes into the task's notes, where the name in its lock may be two runners'.

    An `@` of the agent id is written as `%`: servers tell everybody whose name follows one.
    """
    deed = TAKES_OVER if held.taken_from == ORPHAN else CLAIMS
    return f"[agent-runner {deed} {held.claim[:8]} as {_written(held.agent_id)}]"


def is_first(now: Task, held: Held) -> bool:
    """Whether no other runner of our id is before us: neither by its mark, nor by having begun the work.

    The first mark wins and not the last: its owner may have looked, and gone on, before the second one was there. What
    the notes held when the lock was asked for is of earlier claims.
    """
    marks = [claim for _, claim in _marks_since(now, held)]
    has_begun = now.status in AT_WORK and held.task.status not in AT_WORK
    return not has_begun and (not marks or marks[0] == held.claim[:8])


def is_taken_over(now: Task, held: Held) -> bool:
    """Whether another runner of our id believed us dead and does the task, since it was last known to be ours."""
    return any(deed == TAKES_OVER and claim != held.claim[:8] for deed, claim in _marks_since(now, held))


def _marks_since(now: Task, held: Held) -> list[tuple[str, str]]:
    """Return deed and claim of the marks of our id that the task as we know it does not have, the first first."""
    known = set(MARK.findall(held.task.notes))
    new = [mark for mark in MARK.findall(now.notes) if mark not in known]
    return [(deed, claim) for deed, claim, who in new if who == _written(held.agent_id)]


def _written(agent_id: str) -> str:
    return agent_id.replace("@", "%")
