"""Whose a task is, told from a look at its source."""

from __future__ import annotations

from components.journal_format import LEGACY, ORPHAN
from components.model import Held, Task
from components.states import TaskStatus

AT_WORK = frozenset({TaskStatus.UNDER_WORK, TaskStatus.TESTING})
OFFERED = frozenset({TaskStatus.CREATED, TaskStatus.APPROVED})
LEFT_AT = {LEGACY: AT_WORK | {TaskStatus.PENDING}, ORPHAN: AT_WORK}


def is_ours(now: Task | None, held: Held) -> bool:
    """Whether the task is there and we hold its lock."""
    return now is not None and now.locked_by == held.agent_id


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
    return not is_ours(now, held) and not is_abandoned(now)
