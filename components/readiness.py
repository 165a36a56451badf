"""Whether this machine is ready for another task: its disks, its account, its budget, what went wrong here last."""

from __future__ import annotations

import tempfile
from pathlib import Path

from components import account_hold, policy, room, spending
from components.cooldown import FOR_WANT_OF_ROOM, Cooldown, LeftAlone
from components.model import Task, Verdict
from components.states import Reason
from components.tools import Toolbox, Tools

DONE = frozenset({Reason.SUCCEEDED, Reason.REJECTED})


class Readiness:
    """Says no while other tasks would fare no better; each reason is told once, when it begins.

    A single task is for the person who waits for it: its trouble is told where it occurs, and nothing is waited for.
    """

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._left_alone = LeftAlone()
        self._cooldown = Cooldown()
        self._told_why = ""
        self._no_room = ""

    @property
    def _tools(self) -> Tools:
        return self._toolbox()

    @property
    def lacks_room(self) -> bool:
        """Whether a task was there, and the disk in its way."""
        return bool(self._no_room)

    @property
    def rest_limit(self) -> float:
        """How long one may rest before looking again, in seconds: troubles of disks end without a word."""
        return room.LOOK_SECONDS if self._no_room or self._cooldown.is_on else float("inf")

    def left_alone(self) -> frozenset[str]:
        """Return the tasks that are to be left to others for now."""
        return self._left_alone.ids()

    def may_ask(self) -> bool:
        """May the source be asked for a task?"""
        return not (self._is_cooling_down() or self._is_held())

    def has_room(self) -> bool:
        """Look, before a task is claimed in vain, whether the disks take anything."""
        tools = self._tools
        if tools.config.single_task:
            return True
        why = room.look(self._places()).refusal
        if why and not self._no_room:
            tools.ui.warning(f"{why}: taking nothing until it does, which is looked at often")
        elif self._no_room and not why:
            tools.ui.success("The disk takes files again; going on")
        self._no_room = why
        return not why

    def note(self, task: Task, verdict: Verdict | None) -> None:
        """Remember how a task ended, None where it was not ours: one that we gave back is left to others for a while.

        Where this machine was the trouble, nothing is taken for a while.
        """
        if verdict is None or verdict.reason not in DONE:
            self._left_alone.add(task.id)
        if verdict is None or verdict.reason not in policy.TROUBLE_HERE:
            self._cooldown.end()
            return
        seconds = self._cooldown.begin(task.id, self._places() if verdict.reason in FOR_WANT_OF_ROOM else ())
        if not self._tools.config.single_task:
            self._tools.ui.warning(f"Taking nothing new for {seconds:.0f} s")

    def _is_cooling_down(self) -> bool:
        if not self._cooldown.is_on:
            return False
        if not self._cooldown.ends_early():
            return True
        self._tools.ui.info("There is more room on the disk than there was; going on")
        self._left_alone.take_back(self._cooldown.task_id)
        return False

    def _is_held(self) -> bool:
        """Whether the account is on hold, or the day's budget is spent."""
        tools = self._tools
        why = ""
        if spending.is_day_over(tools):
            why = "The day's budget is spent (daily_budget_usd): taking nothing until tomorrow, UTC"
        elif account_hold.until(tools) and not tools.config.single_task:
            why = "The agent's account is on hold (a limit, or its credentials): taking nothing until that is over"
        if why and why != self._told_why:
            tools.ui.warning(why)
        self._told_why = why
        return bool(why)

    def _places(self) -> list[Path]:
        """Return the directories that the work on a task writes in."""
        return [self._tools.config.home, *self._tools.worktrees.places, Path(tempfile.gettempdir())]
