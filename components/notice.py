"""Makes the notice of an event from what hooks are told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components import policy
from components.event import Event, Notice
from components.policy import Action
from components.states import Reason

ACCOUNT = frozenset({Reason.AUTH_FAILED, Reason.NO_CREDIT})
SILENT = frozenset({Reason.LOST_CLAIM, Reason.RUNNER_STOPPED, Reason.HOOK_POSTPONED, Reason.CANCELLED})
"""Ends that somebody has brought about, or that others go on with."""
URGENT = frozenset({Event.AUTH, Event.BUDGET, Event.ERROR})


def of_end(payload: Mapping[str, Any]) -> Notice | None:
    """Return what a task's end (the payload of `post_task`) is to people, None for nothing."""
    verdict, task = payload.get("verdict") or {}, payload.get("task") or {}
    reason = Reason(verdict.get("reason") or Reason.KILLED)
    event = _event(reason, str(payload.get("status") or ""))
    if event is None:
        return None
    lines = [
        f"{payload.get('role')} {payload.get('agent_id')} on {payload.get('host')}",
        f"{reason}: {verdict.get('detail')}" if verdict.get("detail") else str(reason),
        f"{verdict.get('seconds') or 0:.0f} s, ${verdict.get('cost_usd') or 0:.2f}, attempt {payload.get('attempt')}",
    ]
    facts = {name: payload.get(name) for name in ("agent_id", "role", "host", "repository", "claim", "attempt")}
    return Notice(
        event,
        f"{WORDS[event]}: {task.get('title') or task.get('id')}",
        "\n".join(lines),
        {**facts, "task": {"id": task.get("id"), "title": task.get("title")}, "verdict": dict(verdict)},
    )


def of_error(payload: Mapping[str, Any]) -> Notice | None:
    """Return what went wrong in the runner itself (the payload of `error`); a task's failure was told by its end."""
    if "verdict" in payload:
        return None
    error = payload.get("error") or {}
    text = f"{error.get('kind')}: {error.get('message')}"
    facts = {name: payload.get(name) for name in ("agent_id", "role", "repository", "phase", "error")}
    return Notice(Event.ERROR, f"Something went wrong in runner {payload.get('agent_id')}", text, facts)


def of_budget(agent_id: str, limit: float) -> Notice:
    """Return that an agent has spent what it may in a day (USD)."""
    text = f"Agent {agent_id} has spent its ${limit:.2f} of today (daily_budget_usd). It rests until tomorrow, UTC."
    return Notice(
        Event.BUDGET, f"Daily budget of {agent_id} is spent", text, {"agent_id": agent_id, "limit_usd": limit}
    )


WORDS: Mapping[Event, str] = {
    Event.SUCCEEDED: "Done",
    Event.FAILED: "Failed",
    Event.PARKED: "Needs a person",
    Event.AUTH: "The account cannot be used",
}


def _event(reason: Reason, status: str) -> Event | None:
    if reason in SILENT:
        return None
    if reason in ACCOUNT:
        return Event.AUTH
    action = policy.ACTIONS[reason]
    if action is Action.REPORT:
        return Event.SUCCEEDED
    is_parked = action is Action.PARK or status in ("pending", "evaluation")
    return Event.PARKED if is_parked else Event.FAILED
