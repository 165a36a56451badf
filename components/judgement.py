"""What an agent's end means: tables, and the few rules that read them."""

from __future__ import annotations

import re

from components import qa_verdict
from components.model import BY_EXIT_CODE, AgentResult, ExitRecord, Progress, Verdict
from components.reason_words import detail, last_line
from components.states import Reason, Role

UNUSABLE_SESSION = re.compile(
    r"No conversation found with session ID|Session ID \S+ is already in use|no rollout found for thread id"
)
"""What the agent says on its error output, and nothing else, where its session cannot be used by this id."""

STOPPED_FOR: dict[str, Reason] = {
    "timeout": Reason.TIMED_OUT,
    "output": Reason.OUTPUT_LIMIT,
    "leash": Reason.KILLED,
    "stop": Reason.RUNNER_STOPPED,
    "kill": Reason.RUNNER_STOPPED,
}

FOR_ITS_TIME = frozenset({Reason.TIMED_OUT, Reason.STALLED})
"""Limits that a service which does not answer drives an agent into."""

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
"""What the agent says where no code tells: only of a result that is an error."""

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


def judge(
    record: ExitRecord | None,
    result: AgentResult | None,
    *,
    role: str = "",
    stderr: str = "",
    stopped_for: Reason | None = None,
    told: Progress = Progress(),  # noqa: B008
) -> Verdict:
    """Return the verdict of a run that is over. What is unknown is never a success.

    `record` is None where the shim was killed before it could write; `result` is None where the agent said nothing.
    `stopped_for` is the limit for which the runner had it stopped, `told` how far it was by what it has printed.
    """
    reason, said = _reason(record, result, stopped_for, stderr), _said(record, result, stderr)
    if reason in FOR_ITS_TIME and told.unanswered:
        reason, said = SERVICE_ERRORS.get(told.unanswered, Reason.OVERLOADED), _unanswered(record, told)
    if reason is Reason.SUCCEEDED and role == Role.QA and result:
        reason = qa_verdict.of(result)
    return Verdict(
        reason=reason,
        detail=detail(reason, said),
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


def _unanswered(record: ExitRecord | None, told: Progress) -> str:
    """Return how long the service owed an answer; where it had answered before, that is not known."""
    waited = f" for {record.seconds:.0f} s" if record is not None and record.seconds and not told.turns else ""
    asked = f", asked again {told.retries} time{'' if told.retries == 1 else 's'}" if told.retries else ""
    return f"no answer{waited}{asked}, so the agent was ended"


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
