"""Advances the journal of the task in hand, step by step, until nothing is in hand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from components import cancelling, faults
from components.errors import Draining
from components.model import Held, Verdict
from components.patience import Patience
from components.reason_words import WORDS
from components.run_directory import RunState
from components.signals import Intent
from components.states import Phase, Reason
from components.steps import STEPS
from components.task_persistence import TaskPersistence
from components.tools import Toolbox, Tools

logger = logging.getLogger(__name__)

BEGUN = frozenset({Phase.SPAWNING, Phase.RUNNING})
NOT_BEGUN = frozenset({Phase.ANNOUNCED, Phase.PREPARING, Phase.SPAWNING})


class TaskRunner:
    """Runs the steps from whatever phase the journal is in: starting and starting again are one path."""

    def __init__(
        self,
        journal: TaskPersistence,
        toolbox: Toolbox,
        patience: Patience,
        on_end: Callable[[Held], object] | None = None,
        note: Callable[[Held], object] | None = None,
    ) -> None:
        self._on_end = on_end
        self._note = note
        self._journal = journal
        self._toolbox = toolbox
        self._patience = patience

    def run(self, held: Held) -> Verdict | None:
        """See a task through and return its verdict; None where it turned out not to be ours.

        Raises Draining when the operator wants to leave: the journal keeps the phase, and the agent its work.
        """
        self._tell(held)
        while held.phase is not Phase.DONE:
            if self._toolbox().signals.intent is Intent.LEAVE:
                raise Draining(f"task {held.task.id} stays in phase {held.phase}; the next start goes on with it")
            held = self._advance(held)
        if self._on_end is not None:
            self._patience(partial(self._on_end, held))
        self._tell(held)
        self._patience(self._journal.release_lock)
        self._patience(lambda: cancelling.forget(self._toolbox().config.home, held.claim))
        faults.reach(f"after.{held.phase}")
        return held.verdict

    def attend(self, held: Held) -> Held:
        """Stay with a run that has begun until it is over and judged. None of that needs the source of tasks.

        Raises Draining as `run` does.
        """
        self._tell(held)
        while self.has_begun(held):
            held = self._advance(held)
        return held

    def has_begun(self, held: Held) -> bool:
        """Whether the run in hand has an agent, or had one whose end nobody saw."""
        return held.phase in BEGUN and self._toolbox().run_of(held).state() is not RunState.NEVER_RAN

    def _advance(self, held: Held) -> Held:
        """Take one step and make its outcome durable."""
        tools = self._toolbox().for_task(held.task)
        reason = _ended_before_it_began(held, tools)
        if reason is not None:
            after = replace(held, phase=Phase.EXITED, verdict=Verdict(reason, WORDS[reason]))
        else:
            after = self._patience(lambda: STEPS[held.phase](held, tools))
        faults.reach(f"acted.{held.phase}")
        logger.info("task %s attempt %s: %s -> %s", held.task.id, after.attempt, held.phase, after.phase)
        return after if after.phase is Phase.DONE else self._save(after)

    def _tell(self, held: Held) -> None:
        """Tell the history; what is durable already is told, and telling it neither fails nor waits."""
        if self._note is not None:
            self._note(held)

    def _save(self, held: Held) -> Held:
        """Write the journal; while the disk takes nothing the task stays where it is and no further step is taken."""
        saved = self._patience(lambda: self._journal.save(held))
        self._tell(saved)
        faults.reach(f"after.{held.phase}")
        return saved


def _ended_before_it_began(held: Held, tools: Tools) -> Reason | None:
    """Return why an attempt is not to begin, if somebody wants that."""
    if held.phase not in NOT_BEGUN or (held.phase is Phase.SPAWNING and _is_begun(held, tools)):
        return None
    if cancelling.is_asked(tools.config.home, held.claim):
        return Reason.CANCELLED
    return Reason.RUNNER_STOPPED if tools.signals.intent is Intent.STOP else None


def _is_begun(held: Held, tools: Tools) -> bool:
    """Has the agent of this attempt been started, though the journal does not say so yet?"""
    return tools.run_of(held).state() is not RunState.NEVER_RAN
