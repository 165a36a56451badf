"""The first steps of a task: its lock is asked for, believed only after a second look, and the work begun."""

from __future__ import annotations

from dataclasses import replace

from components import claiming, faults, orphans, reporting
from components.errors import SourceRefused, TaskTaken
from components.journal_format import LEGACY, ORPHAN
from components.model import Held, Task
from components.states import Phase, TaskStatus
from components.tools import Tools

TAKEN_OVER = "{mark} No runner is known to work on this task any more; it is taken up again here."
CONTESTED = (
    "{mark} Runners on more than one machine sign in as this agent. Of those that want this task, the first does it."
)


def claim(held: Held, tools: Tools) -> Held:
    """Ask for the task's lock, unless it is ours already; the next step looks who got it.

    That it may have been asked for is durable before: a lock in our name that we never asked for is another runner's
    who uses our agent id.
    """
    now = tools.source.look(held.task)
    if now is not None and now.locked_by == held.agent_id:
        if held.asked or held.taken_from in claiming.LEFT_AT:
            return replace(held, phase=Phase.CLAIMED, asked=True, task=now if held.taken_from == LEGACY else held.task)
        tools.presence.doubt()
    if now is None or not claiming.is_free(now, held):
        return _leave(held, now, tools)
    if not held.asked:
        orphans.close_others(held, tools)
        return replace(held, asked=True, task=now)
    faults.reach("claim.looked")
    _ask(now, held, tools)
    return replace(held, phase=Phase.CLAIMED)


def _ask(now: Task, held: Held, tools: Tools) -> None:
    try:
        tools.source.lock(now)
        faults.reach("claim.locked")
    except TaskTaken as error:
        tools.ui.info(f"No lock on task {now.id} ({error}); looking who has it")
        seen = tools.source.look(held.task)
        if seen is not None and seen.locked_by == held.agent_id:
            tools.presence.doubt()
    except SourceRefused as error:
        tools.ui.info(f"No lock on task {now.id} ({error}); looking who has it")


def settle(held: Held, tools: Tools) -> Held:
    """Let racing locks settle, believe only a second look, and say that the work begins.

    A real server's lock is a read and then a write, so the last of several winners owns the task. A loser undoes
    nothing: a status change by it would free the winner's lock. The outcome is durable before the work is begun, so
    that work which another runner of our id began is not taken for ours.
    """
    if held.begun:
        return _begin(held, tools)
    is_alone = tools.presence.look()
    if not is_alone or held.taken_from == ORPHAN:
        _leave_mark(held, tools)
    if not is_alone or "atomic_lock" not in tools.source.capabilities():
        tools.signals.wait(tools.config.settle)
    now = tools.source.look(held.task)
    if now is None or not claiming.is_ours(now, held):
        return _leave(held, now, tools)
    if claiming.is_moved_on(now, held):
        tools.ui.warning(f"Task {now.id} was done by another in the meantime; giving its lock back")
        reporting.let_go(now, tools)
        return replace(held, phase=Phase.DONE)
    if not claiming.is_first(now, held):
        tools.presence.doubt()
        return _leave(held, now, tools)
    return replace(held, begun=True, task=now)


def _begin(held: Held, tools: Tools) -> Held:
    """Set the status, after one more look: nobody is told that work begins on what is another's."""
    now = tools.source.look(held.task)
    if now is not None and claiming.is_ours(now, held) and now.status not in claiming.AT_WORK:
        now = tools.source.set_status(now, TaskStatus.UNDER_WORK)
        faults.reach("settle.begun")
    if now is None or not claiming.is_ours(now, held):
        return _leave(held, now, tools)
    tools.ui.info(f"Task status updated to: {now.status}")
    return replace(held, phase=Phase.ANNOUNCED, task=now)


def _leave_mark(held: Held, tools: Tools) -> None:
    """Write into the notes which claim this is: locks tell only the agent id, and that may be two runners'."""
    now = tools.source.look(held.task)
    mark = claiming.mark(held)
    if now is None or mark in now.notes:
        return
    words = TAKEN_OVER if held.taken_from == ORPHAN else CONTESTED
    try:
        tools.source.comment(now, words.format(mark=mark))
    except SourceRefused as error:
        tools.ui.warning(f"No mark on task {now.id}: {error}")


def _leave(held: Held, now: Task | None, tools: Tools) -> Held:
    if now is None:
        what = "is gone"
    elif now.locked_by == held.agent_id:
        what = f"went to another runner that signs in as {held.agent_id}"
    elif now.locked_by is None or not held.asked:
        what = "is not free any more"
    else:
        what = f"went to {now.locked_by}"
    tools.ui.warning(f"Task {held.task.id} {what}; leaving it alone")
    return replace(held, phase=Phase.DONE)
