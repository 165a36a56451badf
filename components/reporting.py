"""Telling the source how a task ended: once, after a look, in words that a person can act on."""

from __future__ import annotations

from components import claiming, dead_letters, faults, policy, receipt
from components.errors import SourceRefused
from components.model import Held, Task, Verdict
from components.policy import Action
from components.ports import Alarm
from components.reason_words import WORDS
from components.redact import plain
from components.states import Reason, TaskStatus
from components.tools import CLAIM_LETTERS, Tools


def deliver(held: Held, tools: Tools) -> str:
    """Comment and move the task, unless a look shows that it was done or that the task is not ours.

    Returns the status that was set, or "" where none was.

    Raises SourceUnavailable where the outcome is unknown: the step is run again, and looks again.
    """
    verdict = verdict_of(held)
    wanted = policy.destinations(verdict.reason, role_of(held, tools), held.tries, tools.config.max_attempts)
    now = tools.source.look(held.task)
    if now is not None and now.status in wanted and now.locked_by is None:
        tools.ui.info(f"Task status is already: {now.status}")
        return now.status
    if now is None:
        tools.ui.warning(f"Task {held.task.id} is gone at the source; its work is kept")
        return ""
    _comment(held, verdict, now, tools)
    if claiming.is_lost(now, held) or not wanted:
        tools.ui.warning(f"Task {held.task.id} is held by {now.locked_by or 'nobody'} now; its work is kept")
        return ""
    if policy.action(verdict.reason, held.tries, tools.config.max_attempts) is Action.PARK:
        _alarm(held, verdict, now, tools)
    return _move(held, now, wanted, tools)


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


def _comment(held: Held, verdict: Verdict, now: Task, tools: Tools) -> None:
    """Leave one comment per claim and attempt; its marker tells whether it is there already."""
    marker = f"[agent-runner {held.claim[:CLAIM_LETTERS]}/{held.attempt}]"
    if marker in now.notes:
        return
    try:
        tools.source.comment(now, f"{marker} {account(held, verdict, tools)}")
        faults.reach("report.commented")
    except SourceRefused as error:
        tools.ui.warning(f"No comment on task {now.id}: {error}")


def _alarm(held: Held, verdict: Verdict, now: Task, tools: Tools) -> None:
    alarm = Alarm(
        title=f"Task {now.id} needs a person: {WORDS[verdict.reason]}",
        content=f"{now.title}\n\n{account(held, verdict, tools)}",
        mentions=(now.created_by,) if now.created_by else (),
    )
    try:
        tools.source.alarm(alarm)
    except SourceRefused as error:
        tools.ui.warning(f"No document about task {now.id}: {error}")


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
