"""What the end of an execution means to a person, with what can be done about it."""

from __future__ import annotations

from components.redact import shorten
from components.states import Reason

DETAIL_LIMIT = 2000
"""Characters of what was said."""

WORDS: dict[Reason, str] = {
    Reason.SUCCEEDED: "the agent finished the task",
    Reason.REJECTED: "the work was rejected",
    Reason.NO_WORK_DONE: "the agent ended without having done anything",
    Reason.WORK_UNFINISHED: "the agent left its work half done",
    Reason.CHECKS_FAILED: "the checks of the work failed",
    Reason.CHECKS_UNUSABLE: "the checks of the work could not be run",
    Reason.NO_VERDICT: "the agent gave no verdict",
    Reason.AGENT_FAILED: "the agent failed",
    Reason.TIMED_OUT: "the time limit ended the agent",
    Reason.STALLED: "the agent stood still and was ended",
    Reason.OUTPUT_LIMIT: "the agent printed more than is allowed and was ended",
    Reason.MEMORY_LIMIT: "the agent used more memory than is allowed and was ended",
    Reason.BUDGET_EXHAUSTED: "the agent reached its limit of turns or money",
    Reason.RATE_LIMITED: "the model's service asked to wait",
    Reason.OVERLOADED: "the model's service did not answer as it should",
    Reason.AUTH_FAILED: "the model's service refused the agent's credentials",
    Reason.NO_CREDIT: "the account with the model's service has no credit left",
    Reason.MODEL_MISSING: "the account has no such model",
    Reason.SESSION_LOST: "the agent's conversation could not be gone on with",
    Reason.AGENT_MISSING: "the agent's command could not be started",
    Reason.HOOK_REJECTED: "a hook refused the task",
    Reason.HOOK_POSTPONED: "a hook asked to try again later",
    Reason.WORKSPACE_FAILED: "no workspace could be made",
    Reason.MERGE_CONFLICT: "the works that it builds upon cannot be merged",
    Reason.UNSAFE_TASK: "the task has an id or a name that may not be used",
    Reason.CANCELLED: "it was cancelled",
    Reason.LOST_CLAIM: "the task is held by somebody else now",
    Reason.RUNNER_STOPPED: "the runner was stopped",
    Reason.KILLED: "the agent was killed or crashed",
}

REMEDIES: dict[Reason, str] = {
    Reason.NO_WORK_DONE: "Say in the task what is to be changed, or set `evidence: none` where nothing is",
    Reason.CHECKS_FAILED: "Look at the checks' output in the run directory, or correct `checks`",
    Reason.CHECKS_UNUSABLE: "Correct the file on the branch that work is merged into, then set the task free again",
    Reason.TIMED_OUT: "Split the task, or raise claude_timeout",
    Reason.STALLED: "Look at the run's output, or raise silence_timeout or tool_timeout",
    Reason.OUTPUT_LIMIT: "Look at what it printed, or raise output_limit",
    Reason.MEMORY_LIMIT: "Look at what it started, or raise memory_limit",
    Reason.BUDGET_EXHAUSTED: "Split the task, or raise max_turns, max_budget_usd or task_budget_usd",
    Reason.AUTH_FAILED: "Log in with `claude /login`, or set a valid ANTHROPIC_API_KEY",
    Reason.NO_CREDIT: "Add credit to the account",
    Reason.MODEL_MISSING: "Name another one under `models`, or one to fall back to under `fallback_models`",
    Reason.MERGE_CONFLICT: "Have one of them depend on the other, or add a node that merges them",
    Reason.AGENT_MISSING: "See `agent-runner doctor`",
}
"""What a person can do about it."""


def last_line(said: str) -> str:
    """Return the last line of what was said, "" where nothing was."""
    return said.strip().rpartition("\n")[2].strip()


def detail(reason: Reason, said: str) -> str:
    """Return a reason for people: what it means, what was said, and what can be done about it."""
    remedy = f". {REMEDIES[reason]}" if reason in REMEDIES else ""
    said = f": {shorten(said, DETAIL_LIMIT)}".rstrip(".") if said else ""
    return f"{WORDS[reason]}{said}{remedy}"
