"""How an agent's attempt ended, as the store keeps it: by its verdict, its receipts and its branch."""

from __future__ import annotations

from typing import Any

from components import execution_index, handoff, receipts
from components.agent import AgentStatus
from components.config import Config
from components.errors import RunnerError
from components.model import Held, Verdict
from components.states import Reason
from components.typed_task import TypedTask

RESULT_LETTERS = 200_000
STATUSES = {Reason.SUCCEEDED: AgentStatus.COMPLETED, Reason.CANCELLED: AgentStatus.CANCELLED}
"""Whatever else it ended with, it failed; also a QA that rejects: what depends on it may not go on."""


def status_of(verdict: Verdict) -> AgentStatus:
    """Return the status that a verdict stands for."""
    return STATUSES.get(verdict.reason, AgentStatus.FAILED)


def facts_of(config: Config, typed: TypedTask, verdict: Verdict, last: Held | None) -> dict[str, Any]:
    """Return what is to be recorded of an attempt that is over. `last` is its journal as it was seen last."""
    held = last or execution_index.last_entry(config.home, typed.claim)
    found = list(receipts.of(held, config.home / "runs", str(typed.repository))) if held is not None else []
    used = [one.used for one in found]
    facts: dict[str, Any] = {name: sum(getattr(one, name) for one in used) for name in receipts.TOKENS}
    facts |= {"cost_usd": sum(one.usd for one in used), "seconds": sum(one.seconds for one in used)}
    facts |= {
        "reason": str(verdict.reason),
        "error": "" if verdict.reason is Reason.SUCCEEDED else verdict.detail,
        "result": found[-1].text[:RESULT_LETTERS] if found else "",
        "model": found[-1].verdict.model if found else "",
    }
    commits = _commits(typed, held)
    if not commits and verdict.reason is not Reason.SUCCEEDED:
        commits = " ".join(typed.left)  # also after an attempt that came to nothing the next one goes on from there
    return facts | place_of(held) | {"commits": commits}


def place_of(held: Held | None) -> dict[str, Any]:
    """Return where an attempt works, by its journal."""
    if held is None or held.workspace is None:
        return {}
    return {"workspace": str(held.workspace.path), "branch": held.workspace.branch}


def _commits(typed: TypedTask, held: Held | None) -> str:
    """Return where what an attempt left stands, as `COMMIT@BRANCH`; "" where it made no commit of its own."""
    if held is None or held.workspace is None or not held.workspace.is_worktree:
        return ""
    try:
        commit = handoff.find(typed.repository, typed.task)
    except RunnerError:
        return ""
    return f"{commit}@{held.workspace.branch}" if commit and commit != held.workspace.base_commit else ""
