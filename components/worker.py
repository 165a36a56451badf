"""The loop of one agent: what is in hand first, then what the source has; it rests when there is neither."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, replace
from functools import partial

from components import account_hold, faults, hook_payload, orphans, policy, spending
from components.errors import Draining, RunnerError, StateCorrupt
from components.hook_payload import Moment
from components.model import Held, Task, Verdict
from components.patience import Patience
from components.states import Reason
from components.task_persistence import TaskPersistence, age
from components.task_runner import TaskRunner
from components.tools import Toolbox, Tools

logger = logging.getLogger(__name__)


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
        self._left_alone = LeftAlone()
        self._idle_since: float | None = None
        self._defects = 0
        self._knows_orphans = False
        self._troubles = 0
        self._not_before = 0.0
        self._told_why = ""
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
        """The last line of defence: a defect of ours is told, and the journal is tried again after a while."""
        try:
            worked = self.poll()
        except RunnerError:
            raise
        except Exception as error:
            if self._tools.config.single_task:
                raise
            self._defects += 1
            logger.exception("defect number %d", self._defects)
            self._tools.ui.error(f"This should not have happened: {error!r}. The task in hand is kept; trying again")
            self._tell_hooks(error)
            self._tools.signals.wait(policy.backoff(self._defects))
            return True
        self._defects = 0
        return worked

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
        held = self._in_hand() or self._begun() or self._next()
        if held is None:
            return False
        self._idle_since = None
        self._count(held.task, self._runner.run(held))
        return True

    def _in_hand(self) -> Held | None:
        try:
            held = self._journal.get_locked_task()
        except StateCorrupt as error:
            self._tools.ui.error(str(error))
            held = None
        if held is None and not self._knows_orphans:
            held = self._orphan()
        if held is not None:
            self._tools.ui.info("Recovering previously locked task...")
            self._tools.ui.info(
                f"Task {held.task.id} ({held.task.title}), phase {held.phase}, attempt {held.attempt},"
                f" locked {age(held):.0f} s ago"
            )
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
        return held if held is None else replace(self._journal.save(held), recovered=True)

    def _next(self) -> Held | None:
        if self._tools.signals.is_draining or time.monotonic() < self._not_before:
            return None
        if self._may_not_begin():
            return None
        refused = self._left_alone.ids()
        task = self._patience(
            lambda: self._tools.source.next_task(refused),
            gives_up_draining=True,
            gives_up_after=self._tools.config.idle_timeout,
        )
        if task is None or self._tools.signals.is_draining:
            return None
        self._tools.ui.info(f"Taking task {task.id}: {task.title}")
        held = self._patience(partial(self._journal.lock_task, task), gives_up_draining=True)
        faults.reach(f"after.{held.phase}")
        return held

    def _may_not_begin(self) -> bool:
        """Whether the account is on hold, or the day's budget is spent; told once each time it begins."""
        tools = self._tools
        why = ""
        if spending.left_today(tools) == 0.0:
            why = "The day's budget is spent (daily_budget_usd): taking nothing until tomorrow, UTC"
        elif account_hold.until(tools) and not tools.config.single_task:
            why = "The agent's account is on hold (a limit, or its credentials): taking nothing until that is over"
        if why and why != self._told_why:
            tools.ui.warning(why)
        self._told_why = why
        return bool(why)

    def _count(self, task: Task, verdict: Verdict | None) -> None:
        """Remember how it ended; a task that we gave back is left to others for a while."""
        if verdict is None:
            self._left_alone.add(task.id)
        elif verdict.reason in (Reason.SUCCEEDED, Reason.REJECTED):
            self.tally.done += 1
        else:
            self.tally.failed += 1
            self._left_alone.add(task.id)
            self._tools.ui.error(f"Task {task.id} was not done: {verdict.detail}")
        self._note_trouble(verdict)

    def _note_trouble(self, verdict: Verdict | None) -> None:
        """Where this machine is the trouble, take nothing for a while: other tasks would fare no better."""
        if verdict is None or verdict.reason not in policy.TROUBLE_HERE:
            self._troubles = 0
            return
        self._troubles += 1
        self._not_before = time.monotonic() + policy.backoff(self._troubles)
        if not self._tools.config.single_task:
            self._tools.ui.warning(f"Taking nothing new for {policy.backoff(self._troubles):.0f} s")

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
        if self._idle_since is None:
            self._idle_since = time.monotonic()
            self._tools.ui.info("No tasks available")
        rest = self._tools.config.poll_interval * random.uniform(0.5, 1.5)  # noqa: S311
        wake = time.monotonic() + rest
        while not self._is_enough() and (left := wake - time.monotonic()) > 0:
            self._tools.signals.wait(min(left, self._tools.pulse.due_in()))
            self._tools.pulse.beat()

    def _idle_seconds(self) -> float:
        return 0.0 if self._idle_since is None else time.monotonic() - self._idle_since


class LeftAlone:
    """Tasks that did not go well here, each left alone for a while that doubles every time."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def add(self, task_id: str) -> None:
        """Leave a task alone from now on, for longer than the last time."""
        self._times[task_id] = self._times.get(task_id, 0) + 1
        self._until[task_id] = time.monotonic() + policy.backoff(self._times[task_id])

    def ids(self) -> frozenset[str]:
        """Return the tasks that are to be left alone now."""
        now = time.monotonic()
        return frozenset(task_id for task_id, until in self._until.items() if until > now)
