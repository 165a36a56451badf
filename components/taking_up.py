"""Staying with the agent that is at work when a runner starts, before anything else is done."""

from __future__ import annotations

import logging

from components.errors import Draining, RunnerError, StateForeign
from components.model import Held
from components.task_persistence import TaskPersistence, age
from components.task_runner import TaskRunner
from components.terminal_ui import TerminalUI

logger = logging.getLogger(__name__)


def attend(journal: TaskPersistence, runner: TaskRunner, ui: TerminalUI) -> None:
    """See the run in hand to its end, if it has begun, whether or not the source of tasks is there.

    An outage must not cost the hours that an agent has worked: its shim ends one that nobody watches. What goes wrong
    is told, and the journal keeps the task for the worker. Raises Draining, and StateForeign for another host's task.
    """
    try:
        held = journal.get_locked_task()
        if held is not None and runner.has_begun(held):
            tell(held, ui)
            runner.attend(held)
    except (Draining, StateForeign):
        raise
    except RunnerError as error:
        ui.error(str(error))
    except Exception as error:
        logger.exception("the agent at work could not be attended")
        ui.error(f"This should not have happened: {error!r}. The task in hand is kept; trying again")


def tell(held: Held, ui: TerminalUI) -> None:
    """Tell, once at a start, which task is gone on with."""
    ui.info("Recovering previously locked task...")
    ui.info(
        f"Task {held.task.id} ({held.task.title}), phase {held.phase}, attempt {held.attempt},"
        f" locked {age(held):.0f} s ago"
    )
