"""Advances the journal of the task in hand, step by step, until nothing is in hand."""

from __future__ import annotations

import logging
from dataclasses import replace

from components.errors import Draining
from components.model import Held, Verdict
from components.patience import Patience
from components.policy import WORDS
from components.signals import Intent
from components.states import Phase, Reason
from components.steps import STEPS
from components.task_persistence import TaskPersistence
from components.tools import Tools

logger = logging.getLogger(__name__)

NOT_BEGUN = frozenset({Phase.ANNOUNCED, Phase.PREPARING, Phase.SPAWNING})
DISK_SECONDS = 5.0


class TaskRunner:
    """Runs the steps from whatever phase the journal is in: starting and starting again are one path."""

    def __init__(self, journal: TaskPersistence, tools: Tools, patience: Patience) -> None:
        self._journal = journal
        self._tools = tools
        self._patience = patience

    def run(self, held: Held) -> Verdict | None:
        """See a task through and return its verdict; None where it turned out not to be ours.

        Raises Draining when the operator wants to leave: the journal keeps the phase, and the agent its work.
        """
        while held.phase is not Phase.DONE:
            if self._tools.signals.intent is Intent.LEAVE:
                raise Draining(f"task {held.task.id} stays in phase {held.phase}; the next start goes on with it")
            held = self._advance(held)
        self._journal.release_lock()
        return held.verdict

    def _advance(self, held: Held) -> Held:
        """Take one step and make its outcome durable."""
        if self._tools.signals.intent is Intent.STOP and held.phase in NOT_BEGUN:
            after = replace(
                held, phase=Phase.EXITED, verdict=Verdict(Reason.RUNNER_STOPPED, WORDS[Reason.RUNNER_STOPPED])
            )
        else:
            after = self._patience(lambda: STEPS[held.phase](held, self._tools))
        logger.info("task %s attempt %s: %s -> %s", held.task.id, after.attempt, held.phase, after.phase)
        return after if after.phase is Phase.DONE else self._save(after)

    def _save(self, held: Held) -> Held:
        """Write the journal; while the disk takes nothing the task stays where it is and no further step is taken."""
        is_told = False
        while True:
            try:
                return self._journal.save(held)
            except OSError as error:
                if not is_told:
                    self._tools.ui.error(f"Cannot write {self._journal.lock_file}: {error.strerror}; waiting for room")
                    is_told = True
            if self._tools.signals.intent is Intent.LEAVE:
                raise Draining(f"task {held.task.id} stays in the phase that its journal tells")
            self._tools.signals.wait(DISK_SECONDS)
