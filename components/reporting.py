"""Telling the source how a task ended: once, after a look, in words that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from components import claiming, dead_letters, faults, policy, receipt
from components.errors import SourceRefused
from components.model import Held, Task, Verdict
from components.policy import Action
from components.ports import Alarm, Change
from components.reason_words import WORDS
from components.redact import plain
from components.short_id import SHORT
from components.states import Reason, TaskStatus
from components.tools import Tools

FIGURES = re.compile(r"\[agent-runner [0-9a-f]{8}/\d+\]|\d+(?:\.\d+)?")
"""What differs between the comments of two claims that met the same end."""
LEFT_ALONE = "The task is {status} and held by {holder} now: its status is left alone, and this work is kept."


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of a report: the verdict that stands now, and the status that was set, "" where none was.

    `is_gone` says that the task is no longer at the source.
    """

    verdict: Verdict
    status: str = ""
    is_gone: bool = False


def deliver(held: Held, tools: Tools) -> Delivery:
    """Comment and move the task, unless a look shows that it was done or that the task is not ours.

    Raises SourceUnavailable where the outcome is unknown: the step is run again, and looks again.
    """
    verdict = verdict_of(held)
    wanted = policy.destinations(verdict.reason, role_of(held, tools), held.tries, tools.config.max_attempts)
    now = tools.source.look(held.task)
    if now is None:
        tools.ui.warning(f"Task {held.task.id} is gone at the source; its work is kept")
        return Delivery(verdict, is_gone=True)
    if not claiming.is_ours(now, held) and (status := _told_before(held, now, wanted, tools)):
        tools.ui.info(f"Task status is already: {status}")
        return Delivery(verdict, status)
    is_lost = claiming.is_lost(now, held)
    if is_lost or not _is_told(held, verdict, now, wanted, tools):
        _comment(held, verdict, now, tools, is_lost=is_lost)
    if is_lost or not wanted:
        return _lost(now, verdict, tools)
    if policy.action(verdict.reason, held.tries, tools.config.max_attempts) is Action.PARK:
        _alarm(held, verdict, now, tools)
    seen = tools.source.look(held.task)  # telling took its time: it may have gone to another meanwhile
    if seen is None or claiming.is_lost(seen, held):
        return _lost(seen or now, verdict, tools)
    return Delivery(verdict, _move(held, seen, wanted, tools))


def _is_told(held: Held, verdict: Verdict, now: Task, wanted: tuple[TaskStatus, ...], tools: Tools) -> bool:
    """Has this agent said the same when it gave the task back before, but for the figures? An outage fills the notes.

    Where the source remembers no changes, the comment is what shows that this claim was reported.
    """
    if policy.ACTIONS[verdict.reason] is Action.REPORT or wanted == policy.PARKED:
        return False
    told = _without_figures(f"{held.agent_id}: {_marker(held)} {account(held, verdict, tools)}")
    return told in _without_figures(now.notes) and bool(_changes(now, tools))


def _without_figures(words: str) -> str:
    return FIGURES.sub("", words)


def _changes(now: Task, tools: Tools) -> Sequence[Change]:
    """Return the task's recent changes, newest first; none where the source remembers none."""
    try:
        return tools.source.history(now)
    except SourceRefused:
        return ()


def _told_before(held: Held, now: Task, wanted: tuple[TaskStatus, ...], tools: Tools) -> str:
    """Return the status that this claim has set already, "" where it has set none.

    That the task stands there proves nothing: another may have done it. What we changed last tells, and where the
    source remembers no change of the task, our comment, which comes before the status.
    """
    changes = _changes(now, tools)
    ours = next((change.new_status for change in changes if change.changed_by == held.agent_id), "")
    if not changes and now.locked_by is None and _marker(held) in now.notes:
        ours = now.status
    return ours if ours in wanted else ""


def _lost(now: Task, verdict: Verdict, tools: Tools) -> Delivery:
    """Say that the task is not ours any more; the verdict's words keep how the work had ended."""
    tools.ui.warning(f"Task {now.id} is held by {now.locked_by or 'nobody'} now; its work is kept")
    if verdict.reason is Reason.LOST_CLAIM:
        return Delivery(verdict)
    words = f"{WORDS[Reason.LOST_CLAIM]}; until then: {verdict.reason}: {verdict.detail}"
    return Delivery(replace(verdict, reason=Reason.LOST_CLAIM, detail=words))


def _move(held: Held, now: Task, wanted: tuple[TaskStatus, ...], tools: Tools) -> str:
    """Set the first of the wanted statuses that the server knows."""
    show = tools.ui.success if verdict_of(held).reason is Reason.SUCCEEDED else tools.ui.warning
    said = ""
    for status in wanted:
        try:
            tools.source.set_status(now, status)
            faults.reach("report.moved")
        except SourceRefused as error:
            said = str(error)
            tools.ui.warning(f"The server does not take status {status} for task {now.id}: {error}")
        else:
            show(f"Task status updated to: {status}")
            return status
    path = dead_letters.keep(tools.config.home, held, wanted, said)
    tools.ui.error(f"Task {now.id} stays {now.status}: the server took none of {', '.join(wanted)}; see {path}")
    return ""


def _comment(held: Held, verdict: Verdict, now: Task, tools: Tools, *, is_lost: bool) -> None:
    """Leave one comment per claim and attempt; its marker tells whether it is there already."""
    if _marker(held) in now.notes:
        return
    words = LEFT_ALONE.format(status=now.status, holder=now.locked_by or "nobody") if is_lost else ""
    told = "\n\n".join(filter(None, [account(held, verdict, tools), words]))
    try:
        tools.source.comment(now, f"{_marker(held)} {told}")
        faults.reach("report.commented")
    except SourceRefused as error:
        tools.ui.warning(f"No comment on task {now.id}: {error}")


def _alarm(held: Held, verdict: Verdict, now: Task, tools: Tools) -> None:
    """Publish one document per claim and attempt; the source looks for its marker first."""
    alarm = Alarm(
        title=f"Task {now.id} needs a person: {WORDS[verdict.reason]}",
        content=f"{now.title}\n\n{account(held, verdict, tools)}",
        mentions=(now.created_by,) if now.created_by else (),
        marker=_marker(held),
    )
    try:
        tools.source.alarm(alarm)
        faults.reach("report.alarmed")
    except SourceRefused as error:
        tools.ui.warning(f"No document about task {now.id}: {error}")


def _marker(held: Held) -> str:
    return f"[agent-runner {held.claim[:SHORT]}/{held.attempt}]"


def let_go(now: Task, tools: Tools) -> None:
    """Give back the lock of a task that is not to be done, and leave its status as it is.

    A real server frees a lock only by a status change away from `under_work`, so there it takes the way over that.
    """
    if not tools.source.unlock(now):
        tools.source.set_status(now, TaskStatus.UNDER_WORK)
        tools.source.set_status(now, now.status)


def account(held: Held, verdict: Verdict, tools: Tools) -> str:
    """Return how it ended, then in a paragraph what was done and how that is known; without secrets or escapes."""
    told = receipt.paragraph(receipt.read(tools.run_of(held)))
    return tools.redact(plain("\n\n".join(filter(None, (summary(held, verdict), told)))))


def summary(held: Held, verdict: Verdict) -> str:
    """Return how it ended, for the people at the source."""
    facts = [f"attempt {held.attempt}", f"{verdict.seconds:.0f} s", f"${held.spent_usd:.2f}"]
    if verdict.model:
        facts.append(verdict.model)
    if held.workspace is not None and held.workspace.branch:
        facts.append(f"branch {held.workspace.branch}")
    return f"{verdict.reason}: {verdict.detail} ({', '.join(facts)})"


def verdict_of(held: Held) -> Verdict:
    """Return the verdict that the step before made durable."""
    return held.verdict or Verdict(Reason.KILLED, "the journal names no verdict")


def role_of(held: Held, tools: Tools) -> str:
    """Return the role that the agent works in: QA is offered tasks of every role."""
    return tools.config.role or held.task.role
