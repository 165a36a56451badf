"""What is to be done about an execution's end: tables, and the few rules that read them."""

from __future__ import annotations

import enum

from components.states import Reason, Role, TaskStatus

BACKOFF_SECONDS = 30.0
BACKOFF_CAP_SECONDS = 900.0
CREDENTIALS_HOLD_SECONDS: dict[Reason, float] = {Reason.AUTH_FAILED: 3600.0, Reason.NO_CREDIT: 900.0}
CREDENTIALS_HOLD_CAP_SECONDS = 8 * 3600.0
LONGEST_WAIT_SECONDS = 8 * 86400.0
"""Limits by the week end within a week; what is said to end later was misread."""


class Action(enum.Enum):
    """What follows an execution's end."""

    REPORT = enum.auto()
    """Done: the status says so."""
    RESUME = enum.auto()
    """Once more at once, in the same session."""
    RETRY = enum.auto()
    """Once more in the same session, after a while."""
    FRESH = enum.auto()
    """Once more at once, in a new session."""
    WAIT = enum.auto()
    """Once more in the same session when the account's limit has ended; this attempt does not count."""
    GIVE_BACK = enum.auto()
    """Others may try: back to the status it was taken from."""
    PARK = enum.auto()
    """Out of the queue until a person looks. QA's stays `dev_done`, as what was developed is, and a person is told."""
    LET_GO = enum.auto()
    """It is not ours any more: nothing may be said of its status."""


ACTIONS: dict[Reason, Action] = {
    Reason.SUCCEEDED: Action.REPORT,
    Reason.REJECTED: Action.REPORT,
    Reason.KILLED: Action.RESUME,
    Reason.AGENT_FAILED: Action.RESUME,
    Reason.NO_WORK_DONE: Action.RESUME,
    Reason.WORK_UNFINISHED: Action.RESUME,
    Reason.CHECKS_FAILED: Action.RESUME,
    Reason.NO_VERDICT: Action.RESUME,
    Reason.STALLED: Action.RESUME,
    Reason.SESSION_LOST: Action.FRESH,
    Reason.OVERLOADED: Action.RETRY,
    Reason.RATE_LIMITED: Action.WAIT,
    Reason.HOOK_REJECTED: Action.GIVE_BACK,
    Reason.HOOK_POSTPONED: Action.GIVE_BACK,
    Reason.RUNNER_STOPPED: Action.GIVE_BACK,
    Reason.LOST_CLAIM: Action.LET_GO,
    Reason.CHECKS_UNUSABLE: Action.PARK,
    Reason.TIMED_OUT: Action.PARK,
    Reason.OUTPUT_LIMIT: Action.PARK,
    Reason.MEMORY_LIMIT: Action.PARK,
    Reason.BUDGET_EXHAUSTED: Action.PARK,
    Reason.AUTH_FAILED: Action.PARK,
    Reason.NO_CREDIT: Action.PARK,
    Reason.MODEL_MISSING: Action.PARK,
    Reason.AGENT_MISSING: Action.GIVE_BACK,
    Reason.WORKSPACE_FAILED: Action.GIVE_BACK,
    Reason.MERGE_CONFLICT: Action.PARK,
    Reason.UNSAFE_TASK: Action.PARK,
    Reason.CANCELLED: Action.PARK,
}

AGAIN = frozenset({Action.RESUME, Action.RETRY, Action.FRESH, Action.WAIT})
"""The actions that start another attempt."""

GIVEN_BACK_AT_LAST = frozenset({Reason.OVERLOADED, Reason.RATE_LIMITED})
"""Ends that are not the task's fault: after the last attempt others may try, where another end parks it."""

MOST_WAITS = 100
"""How often one claim waits for a limit of the account before it is given back."""

TROUBLE_HERE = frozenset(
    {
        Reason.AGENT_MISSING,
        Reason.AUTH_FAILED,
        Reason.NO_CREDIT,
        Reason.MODEL_MISSING,
        Reason.OVERLOADED,
        Reason.RATE_LIMITED,
        Reason.WORKSPACE_FAILED,
        Reason.HOOK_REJECTED,
        Reason.HOOK_POSTPONED,
    }
)
"""Ends that speak of this machine or its configuration rather than of the task."""

PARKED = (TaskStatus.PENDING, TaskStatus.EVALUATION)
"""Statuses that no agent is offered, best first; servers of 2025 do not know `pending`."""


def action(reason: Reason, tries: int, max_attempts: int) -> Action:
    """Return what follows the attempts that count so far: beyond the last one the task is parked, or given back."""
    wanted = ACTIONS[reason]
    if wanted in AGAIN and wanted is not Action.WAIT and tries >= max_attempts:
        return Action.GIVE_BACK if reason in GIVEN_BACK_AT_LAST else Action.PARK
    return wanted


def destinations(reason: Reason, role: str, tries: int, max_attempts: int) -> tuple[TaskStatus, ...]:
    """Return the statuses that say how a task ended, best first; empty where none may be set.

    A server that does not know the first one is told the next.
    """
    match action(reason, tries, max_attempts):
        case Action.LET_GO:
            return ()
        case Action.REPORT if reason is Reason.REJECTED:
            return (TaskStatus.CREATED,)
        case Action.REPORT:
            return (TaskStatus.QA_DONE,) if role == Role.QA else (TaskStatus.DEV_DONE,)
        case Action.PARK if role != Role.QA:
            return PARKED
        case _:
            return (TaskStatus.DEV_DONE,) if role == Role.QA else (TaskStatus.CREATED,)


def wait_until(told: float, waits: int, now: float) -> float:
    """Return when to try again that a limit of the account ends, in seconds since 1970.

    `told` is when the service said that it ends (0 where it did not); `waits` is how often it was waited for before.
    """
    known = told if now < told <= now + LONGEST_WAIT_SECONDS else 0.0
    return known or now + backoff(waits + 1)


def hold_ends(reason: Reason, told: float, times: int, now: float) -> float:
    """Return until when all agents of an account are to wait, in seconds since 1970; `times` holds came before it.

    Credentials do not mend themselves: whoever goes on asking with them only takes one task after the other out of
    the queue. New ones are another account, and free at once.
    """
    if reason in CREDENTIALS_HOLD_SECONDS:
        return now + min(CREDENTIALS_HOLD_SECONDS[reason] * 2.0 ** min(times, 10), CREDENTIALS_HOLD_CAP_SECONDS)
    return wait_until(told, times, now)


def backoff(times: int) -> float:
    """Return how many seconds to leave a task alone that was tried so often: 30 s doubled each time, 15 min at most."""
    return min(BACKOFF_CAP_SECONDS, BACKOFF_SECONDS * 2.0 ** min(times - 1, 10))
