"""The loop of one agent: what is in hand first, then what the source has; it rests when there is neither."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, replace
from functools import partial

from components import faults, hook_payload, orphans, policy, taking_up
from components.errors import Draining, RunnerError, StateCorrupt, StateForeign
from components.hook_payload import Moment
from components.model import Held, Task, Verdict
from components.patience import Patience
from components.readiness import DONE, Readiness
from components.task_persistence import TaskPersistence
from components.task_runner import TaskRunner
from components.tools import Toolbox, Tools

logger = logging.getLogger(__name__)

QUICKLY = 0.1
"""The part of a backoff that is enough for a trouble which has a name."""


@dataclass(slots=True)
class Tally:
    """How many tasks were seen through, and how they ended."""

    done: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.done + self.failed


class Worker:
    """Polls, claims and runs tasks, one at a time, until told to stop or until it has done enough."""

    def __init__(
        self,
        runner: TaskRunner,
        journal: TaskPersistence,
        toolbox: Toolbox,
        patience: Patience,
        first: Held | None = None,
    ) -> None:
        self._runner = runner
        self._first = first
        self._journal = journal
        self._toolbox = toolbox
        self._patience = patience
        self._readiness = Readiness(toolbox)
        self._idle_since: float | None = None
        self._defects = 0
        self._knows_orphans = False
        self.tally = Tally()

    @property
    def _tools(self) -> Tools:
        return self._toolbox()

    def run(self) -> Tally:
        """Work until there is a reason to end, and return what was done."""
        try:
            while not self._is_enough():
                if not self._poll_safely():
                    self._rest()
        except Draining as leaving:
            self._tools.ui.info(f"Leaving: {leaving}")
        return self.tally

    def _poll_safely(self) -> bool:
        """The last line of defence: what went wrong is told, and the journal is tried again after a while.

        Raises Draining, and StateForeign: the journal is another host's, whose agent may be at work there.
        """
        try:
            worked = self.poll()
        except (Draining, StateForeign):
            raise
        except Exception as error:
            if self._tools.config.single_task:
                raise
            self._defects += 1
            self._tell(error)
            is_known = isinstance(error, RunnerError | OSError)
            self._wait(policy.backoff(self._defects) * (QUICKLY if is_known else 1.0))
            return True
        self._defects = 0
        return worked

    def _tell(self, error: Exception) -> None:
        """Tell the operator and the hooks what went wrong; what goes wrong in that is for the log."""
        if isinstance(error, RunnerError):
            self._tools.ui.error(f"{error} The task in hand is kept; trying again")
        else:
            logger.exception("defect number %d", self._defects)
            self._tools.ui.error(f"This should not have happened: {error!r}. The task in hand is kept; trying again")
        try:
            self._tell_hooks(error)
        except Exception:
            logger.exception("the hooks could not be told")

    def _tell_hooks(self, error: Exception) -> None:
        config = self._tools.config
        payload = hook_payload.error_moment(
            error,
            agent_id=config.agent_id,
            role=config.role or "",
            repository=config.repository,
            home=config.home,
            held=self._journal.last,
        )
        self._tools.hooks.run(Moment.ERROR, payload)

    def poll(self) -> bool:
        """Advance what is in hand, else what the source has; False where there was none, so that the loop may rest."""
        held = self._begun() or self._in_hand() or self._next()
        if held is None:
            return False
        self._idle_since = None
        self._count(held.task, self._runner.run(held))
        return True

    def _in_hand(self) -> Held | None:
        is_told = self._journal.last is not None
        try:
            held = self._patience(self._journal.get_locked_task)
        except StateCorrupt as error:
            self._tools.ui.error(str(error))
            held = None
        if held is None and not (self._knows_orphans and self._tools.presence.is_alone):
            held = self._orphan()
        if held is not None and not is_told:
            taking_up.tell(held, self._tools.ui)
        return held

    def _begun(self) -> Held | None:
        """Return the entry that we were started for, once it is durable."""
        first, self._first = self._first, None
        return first and self._patience(partial(self._journal.save, first), gives_up_draining=True)

    def _orphan(self) -> Held | None:
        """Look, until there is none, for tasks that are ours at the source though no journal tells of them."""
        find = partial(orphans.find, self._journal.agent_id, self._journal.host, self._tools)
        held = self._patience(find, gives_up_draining=True)
        self._knows_orphans = held is None and self._tools.presence.is_alone
        return held and replace(self._patience(partial(self._journal.save, held)), recovered=True)

    def _next(self) -> Held | None:
        if self._tools.signals.is_draining or not self._readiness.may_ask():
            return None
        refused = self._readiness.left_alone()
        task = self._patience(
            lambda: self._tools.source.next_task(refused),
            gives_up_draining=True,
            gives_up_after=self._tools.config.idle_timeout,
        )
        if task is None or self._tools.signals.is_draining or not self._readiness.has_room():
            return None
        self._tools.ui.info(f"Taking task {task.id}: {task.title}")
        held = self._patience(partial(self._journal.lock_task, task), gives_up_draining=True)
        faults.reach(f"after.{held.phase}")
        return held

    def _count(self, task: Task, verdict: Verdict | None) -> None:
        """Remember how a task ended."""
        if verdict is not None and verdict.reason in DONE:
            self.tally.done += 1
        elif verdict is not None:
            self.tally.failed += 1
            self._tools.ui.error(f"Task {task.id} was not done: {verdict.detail}")
        self._readiness.note(task, verdict)

    def _is_enough(self) -> bool:
        config = self._tools.config
        if self._tools.signals.is_draining and not self._journal.is_locked():
            return True
        if config.single_task and (self.tally.total or self._idle_since is not None):
            return True
        if config.max_tasks is not None and self.tally.total >= config.max_tasks:
            return True
        return config.idle_timeout is not None and self._idle_seconds() >= config.idle_timeout

    def _rest(self) -> None:
        """Wait for the next poll, spread so that many agents do not ask at the same instant."""
        rest = self._tools.config.poll_interval * random.uniform(0.5, 1.5)  # noqa: S311
        if self._idle_since is None and not self._readiness.lacks_room:
            self._idle_since = time.monotonic()
            self._tools.ui.info("No tasks available")
        self._wait(min(rest, self._readiness.rest_limit))

    def _wait(self, seconds: float) -> None:
        """Wait with a beating heart, until a signal asks for something or there is a reason to end."""
        intent, wake = self._tools.signals.intent, time.monotonic() + seconds
        while (left := wake - time.monotonic()) > 0 and self._tools.signals.intent is intent and not self._is_enough():
            self._tools.signals.wait(min(left, self._tools.pulse.due_in()))
            self._tools.pulse.beat()

    def _idle_seconds(self) -> float:
        return 0.0 if self._idle_since is None else time.monotonic() - self._idle_since
