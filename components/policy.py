"""What an agent's end means, and what is to be done about it: tables, and the few rules that read them."""

from __future__ import annotations

import enum
import re

from components import qa_verdict
from components.model import BY_EXIT_CODE, AgentResult, ExitRecord, Verdict
from components.reason_words import detail, last_line
from components.states import Reason, Role, TaskStatus

UNUSABLE_SESSION = re.compile(
    r"No conversation found with session ID|Session ID \S+ is already in use|no rollout found for thread id"
)
"""What the agent says on its error output, and nothing else, where its session cannot be used by this id."""
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
    """Out of the queue until a person looks."""
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

STOPPED_FOR: dict[str, Reason] = {
    "timeout": Reason.TIMED_OUT,
    "output": Reason.OUTPUT_LIMIT,
    "leash": Reason.KILLED,
    "stop": Reason.RUNNER_STOPPED,
    "kill": Reason.RUNNER_STOPPED,
}

ENDED_BY: dict[str, Reason] = {
    "error_max_turns": Reason.BUDGET_EXHAUSTED,
    "error_max_budget_usd": Reason.BUDGET_EXHAUSTED,
}

SAID: tuple[tuple[re.Pattern[str], Reason], ...] = (
    (re.compile(r"No conversation found|Prompt is too long|prompt_too_long"), Reason.SESSION_LOST),
    (re.compile(r"[Cc]redit balance is too low"), Reason.NO_CREDIT),
    (re.compile(r"usage limit reached|hit your (\w+ )*limit", re.IGNORECASE), Reason.RATE_LIMITED),
    (re.compile(r"Not logged in|Please run /login|[Ii]nvalid API key|OAuth token"), Reason.AUTH_FAILED),
    (re.compile(r"API Error: (Connection|Request timed out)|Request timed out"), Reason.OVERLOADED),
    (re.compile(r"API returned an empty or malformed response"), Reason.OVERLOADED),
)
"""What the agent says where no code tells (contracts/claude-cli.md §4): only of a result that is an error."""

SERVICE_ERRORS: dict[str, Reason] = {
    "authentication_failed": Reason.AUTH_FAILED,
    "billing_error": Reason.NO_CREDIT,
    "rate_limit": Reason.RATE_LIMITED,
    "overloaded": Reason.OVERLOADED,
    "server_error": Reason.OVERLOADED,
    "model_not_found": Reason.MODEL_MISSING,
}
"""The service's own words for what failed, as the CLI passes them on."""

API_ERRORS: dict[int, Reason] = {
    401: Reason.AUTH_FAILED,
    402: Reason.NO_CREDIT,
    403: Reason.AUTH_FAILED,
    404: Reason.MODEL_MISSING,
    408: Reason.OVERLOADED,
    429: Reason.RATE_LIMITED,
}
"""HTTP statuses; every one from 500 on is OVERLOADED."""

KILLED_CODES = frozenset({129, 130, 131, 137, 143})
"""Exit codes that a CLI or a shell gives when a signal ended it: 128 + its number."""

PARKED = (TaskStatus.PENDING, TaskStatus.EVALUATION)
"""Statuses that no agent is offered, best first; servers of 2025 do not know `pending`."""


def judge(
    record: ExitRecord | None,
    result: AgentResult | None,
    *,
    role: str = "",
    stderr: str = "",
    stopped_for: Reason | None = None,
) -> Verdict:
    """Return the verdict of a run that is over. What is unknown is never a success.

    `record` is None where the shim was killed before it could write; `result` is None where the agent said nothing.
    `stopped_for` is the limit for which the runner had it stopped.
    """
    reason = _reason(record, result, stopped_for, stderr)
    if reason is Reason.SUCCEEDED and role == Role.QA and result:
        reason = qa_verdict.of(result)
    return Verdict(
        reason=reason,
        detail=detail(reason, _said(record, result, stderr)),
        exit_code=record.exit_code if record else None,
        cost_usd=result.cost_usd if result else 0.0,
        seconds=record.seconds if record else 0.0,
        model=result.model if result else "",
        wait_until=result.wait_until if result and reason is Reason.RATE_LIMITED else 0.0,
    )


def _reason(record: ExitRecord | None, result: AgentResult | None, stopped_for: Reason | None, stderr: str) -> Reason:
    if result is not None and not result.is_error and not result.is_unfinished:
        return Reason.SUCCEEDED
    if record is None:
        return stopped_for or Reason.KILLED
    if stopped_for is Reason.STALLED and result is not None and result.error in SERVICE_ERRORS:
        return SERVICE_ERRORS[result.error]
    if record.why is not None:
        return stopped_for or STOPPED_FOR.get(record.why, Reason.AGENT_MISSING)
    if result is None or not result.is_error:
        return _silent_end(record, stderr if result is None else "")
    return _said_failure(result)


def _said_failure(result: AgentResult) -> Reason:
    status = result.api_error_status or 0
    if result.subtype in ENDED_BY:
        return ENDED_BY[result.subtype]
    by_words = next((reason for said, reason in SAID if said.search(result.text)), None)
    if by_words in (Reason.SESSION_LOST, Reason.NO_CREDIT):
        return by_words
    if result.error in SERVICE_ERRORS or status in API_ERRORS or status >= 500:
        by_status = API_ERRORS.get(status, Reason.OVERLOADED if status >= 500 else Reason.AGENT_FAILED)
        return SERVICE_ERRORS.get(result.error, by_status)
    return by_words or Reason.AGENT_FAILED


def _said(record: ExitRecord | None, result: AgentResult | None, stderr: str) -> str:
    """Return what was said of a run's end, for people: of a program that knows nothing of us no more than its end."""
    if result is None:
        return stderr or _silence(record)
    if result.subtype != BY_EXIT_CODE:
        return result.text or stderr
    if not result.is_error:
        return last_line(result.text)
    cause = last_line(stderr) or last_line(result.text)
    code = f"exit code {record.exit_code}" if record is not None and record.exit_code else ""
    return ": ".join(filter(None, (code, cause)))


def _silence(record: ExitRecord | None) -> str:
    """Return how a run ended that said nothing, for people."""
    if record is None or record.why is not None:
        return ""
    ended = f"exit code {record.exit_code}" if record.signal is None else f"signal {record.signal}"
    return f"it ended with {ended} and told no result"


def _silent_end(record: ExitRecord, stderr: str) -> Reason:
    if record.exit_code == 127:
        return Reason.AGENT_MISSING
    if record.signal is not None or record.exit_code in KILLED_CODES:
        return Reason.KILLED
    return Reason.SESSION_LOST if UNUSABLE_SESSION.search(stderr) else Reason.AGENT_FAILED


def action(reason: Reason, tries: int, max_attempts: int) -> Action:
    """Return what follows the attempts that count so far: beyond the last one the task is parked, or given back."""
    wanted = ACTIONS[reason]
    if wanted in AGAIN and wanted is not Action.WAIT and tries >= max_attempts:
        return Action.GIVE_BACK if reason in GIVEN_BACK_AT_LAST else Action.PARK
    return wanted


def destinations(reason: Reason, role: str, tries: int, max_attempts: int) -> tuple[TaskStatus, ...]:
    """Return the statuses that say how a task ended, best first; empty where none may be set.

    A server that does not know the first one is told the next (contracts/headless-pm-api.md §6).
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
