"""When an agent's turn comes: not before the limit of its account has ended."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from components import account_hold, policy
from components.errors import Draining
from components.model import Held, Verdict
from components.signals import Intent
from components.states import Reason
from components.tools import Tools

LOOK_SECONDS = 5.0
"""How often to look whether another agent has placed or lifted a hold meanwhile."""

HELD_FOR = frozenset({Reason.RATE_LIMITED, Reason.AUTH_FAILED, Reason.NO_CREDIT})
"""Ends that speak of the account: its other agents would fare no better."""


def wait_for(held: Held, tools: Tools) -> bool:
    """Wait until this attempt may start, keeping the claim alive; False when the operator wants it stopped.

    The journal knows how long to wait, and so does a restart. Raises Draining when the operator wants to leave: an
    agent that would begin in hours is not waited for.
    """
    is_told = False
    while (left := _left(held, tools)) > 0:
        if not is_told:
            is_told = True
            at = datetime.fromtimestamp(time.time() + left, UTC)
            tools.ui.info(f"Task {held.task.id} goes on at {at:%Y-%m-%d %H:%M:%S} UTC, in {left:.0f} s")
        tools.signals.wait(min(left, LOOK_SECONDS, tools.pulse.due_in()))
        tools.pulse.beat()
        if tools.signals.intent is Intent.STOP:
            return False
        if tools.signals.is_draining:
            raise Draining(f"task {held.task.id} waits for its turn; the next start goes on with it")
    return True


def settle_account(verdict: Verdict, tools: Tools) -> None:
    """Tell the other agents of the account to wait as well, or that it works."""
    if verdict.reason in HELD_FOR:
        account_hold.place(tools, verdict.wait_until, verdict.reason)
    elif verdict.reason is Reason.SUCCEEDED:
        account_hold.lift(tools)


def _left(held: Held, tools: Tools) -> float:
    """Return how long to wait, in seconds; a time that is too far away was noted before the clock was set back."""
    left = max(held.not_before, account_hold.until(tools)) - time.time()
    return left if left <= policy.LONGEST_WAIT_SECONDS else 0.0
