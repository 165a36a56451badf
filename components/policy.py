"""What an agent's end means, and what is to be done about it: tables, and the few rules that read them."""

from __future__ import annotations

import enum
import re

from components.model import AgentResult, ExitRecord, Verdict
from components.states import Reason, Role, TaskStatus

QA_VERDICT = re.compile(r"^[\s>*_`#-]*QA:[\s*_`]*(PASSED|REJECTED|FAILED)\b", re.IGNORECASE | re.MULTILINE)
DETAIL_LIMIT = 2000
BACKOFF_SECONDS = 30.0
BACKOFF_CAP_SECONDS = 900.0


class Action(enum.Enum):
    """What follows an execution's end."""

    REPORT = enum.auto()
    """Done: the status says so."""
    RESUME = enum.auto()
    """Once more at once, in the same session."""
    RETRY = enum.auto()
    """Once more in the same session, after a while."""
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
    Reason.RATE_LIMITED: Action.RETRY,
    Reason.HOOK_REJECTED: Action.GIVE_BACK,
    Reason.HOOK_POSTPONED: Action.GIVE_BACK,
    Reason.RUNNER_STOPPED: Action.GIVE_BACK,
    Reason.LOST_CLAIM: Action.LET_GO,
    Reason.NO_WORK_DONE: Action.PARK,
    Reason.TIMED_OUT: Action.PARK,
    Reason.STALLED: Action.PARK,
    Reason.OUTPUT_LIMIT: Action.PARK,
    Reason.BUDGET_EXHAUSTED: Action.PARK,
    Reason.AUTH_FAILED: Action.PARK,
    Reason.AGENT_MISSING: Action.GIVE_BACK,
    Reason.WORKSPACE_FAILED: Action.GIVE_BACK,
    Reason.UNSAFE_TASK: Action.PARK,
    Reason.CANCELLED: Action.PARK,
}

TROUBLE_HERE = frozenset(
    {
        Reason.AGENT_MISSING,
        Reason.AUTH_FAILED,
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

API_ERRORS: dict[int, Reason] = {401: Reason.AUTH_FAILED, 403: Reason.AUTH_FAILED, 429: Reason.RATE_LIMITED}

KILLED_CODES = frozenset({129, 130, 131, 137, 143})
"""Exit codes that a CLI or a shell gives when a signal ended it: 128 + its number."""

PARKED = (TaskStatus.PENDING, TaskStatus.EVALUATION)
"""Statuses that no agent is offered, best first; servers of 2025 do not know `pending`."""

WORDS: dict[Reason, str] = {
    Reason.SUCCEEDED: "the agent finished the task",
    Reason.REJECTED: "the work was rejected",
    Reason.NO_WORK_DONE: "the agent ended without having done anything",
    Reason.AGENT_FAILED: "the agent failed",
    Reason.TIMED_OUT: "the time limit ended the agent",
    Reason.STALLED: "the agent stood still and was ended",
    Reason.OUTPUT_LIMIT: "the agent printed more than is allowed and was ended",
    Reason.BUDGET_EXHAUSTED: "the agent reached its limit of turns or money",
    Reason.RATE_LIMITED: "the model's service asked to wait",
    Reason.AUTH_FAILED: "the model's service refused the agent's credentials; log in, or set a valid API key",
    Reason.AGENT_MISSING: "the agent's command could not be started",
    Reason.HOOK_REJECTED: "a hook refused the task",
    Reason.HOOK_POSTPONED: "a hook asked to try again later",
    Reason.WORKSPACE_FAILED: "no workspace could be made",
    Reason.UNSAFE_TASK: "the task has an id or a name that may not be used",
    Reason.CANCELLED: "it was cancelled",
    Reason.LOST_CLAIM: "the task is held by somebody else now",
    Reason.RUNNER_STOPPED: "the runner was stopped",
    Reason.KILLED: "the agent was killed or crashed",
}


def judge(record: ExitRecord | None, result: AgentResult | None, *, role: str = "", stderr: str = "") -> Verdict:
    """Return the verdict of a run that is over. What is unknown is never a success.

    `record` is None where the shim was killed before it could write; `result` is None where the agent said nothing.
    """
    reason = _reason(record, result)
    if reason is Reason.SUCCEEDED and role == Role.QA and result and _is_rejection(result):
        reason = Reason.REJECTED
    said = result.text if result and result.text else stderr
    return Verdict(
        reason=reason,
        detail=f"{WORDS[reason]}: {said}"[:DETAIL_LIMIT] if said else WORDS[reason],
        exit_code=record.exit_code if record else None,
        cost_usd=result.cost_usd if result else 0.0,
        seconds=record.seconds if record else 0.0,
        model=result.model if result else "",
    )


def _reason(record: ExitRecord | None, result: AgentResult | None) -> Reason:
    if result is not None and not result.is_error:
        return Reason.SUCCEEDED
    if record is None:
        return Reason.KILLED
    if record.why is not None:
        return STOPPED_FOR.get(record.why, Reason.AGENT_MISSING)
    return _silent_end(record) if result is None else _said_failure(result)


def _said_failure(result: AgentResult) -> Reason:
    by_status = API_ERRORS.get(result.api_error_status or 0, Reason.AGENT_FAILED)
    return ENDED_BY.get(result.subtype, by_status)


def _silent_end(record: ExitRecord) -> Reason:
    if record.exit_code == 127:
        return Reason.AGENT_MISSING
    if record.signal is not None or record.exit_code in KILLED_CODES:
        return Reason.KILLED
    return Reason.AGENT_FAILED


def _is_rejection(result: AgentResult) -> bool:
    """Whether the last verdict in QA's message says no; the prompt asks for one as the last line."""
    verdicts = QA_VERDICT.findall(result.text)
    return bool(verdicts) and verdicts[-1].upper() != "PASSED"


def action(reason: Reason, attempt: int, max_attempts: int) -> Action:
    """Return what follows: an attempt beyond the last one parks the task."""
    wanted = ACTIONS[reason]
    if wanted in (Action.RESUME, Action.RETRY) and attempt >= max_attempts:
        return Action.PARK
    return wanted


def destinations(reason: Reason, role: str, attempt: int, max_attempts: int) -> tuple[TaskStatus, ...]:
    """Return the statuses that say how a task ended, best first; empty where none may be set.

    A server that does not know the first one is told the next (contracts/headless-pm-api.md §6).
    """
    match action(reason, attempt, max_attempts):
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


def backoff(times: int) -> float:
    """Return how many seconds to leave a task alone that was tried so often: 30 s doubled each time, 15 min at most."""
    return min(BACKOFF_CAP_SECONDS, BACKOFF_SECONDS * 2.0 ** min(times - 1, 10))
