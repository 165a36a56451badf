"""The life of a task in hand, step by step. READ FIRST.

Each step looks, acts, and returns the journal entry that is durable next; `task_runner` saves it before the next
step. A step may be run again after any crash: what it finds done it does not do twice. Every way out leads through
EXITED, where the verdict is durable before anybody is told.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace

from components import (
    attendance,
    demand,
    faults,
    handoff,
    history_entry,
    hook_payload,
    launch,
    main_checkout,
    orphans,
    policy,
    process,
    proof,
    publishing,
    receipt,
    reporting,
    safekeeping,
    spending,
    taking,
    turn,
)
from components.errors import GitFailed, UnsafeName
from components.hook_payload import Moment
from components.hook_runner import Decision, HookOutcome
from components.model import Held, Verdict, Workspace
from components.policy import Action
from components.reason_words import WORDS, detail
from components.run_directory import RunState
from components.states import ExecutionStatus, Phase, Reason
from components.tools import Tools

HOOK_REASONS = {Decision.NO: Reason.HOOK_REJECTED, Decision.LATER: Reason.HOOK_POSTPONED}
ASK_AGAIN, GO_ON, GIVE_BACK = "ask the hooks again", "go on without them", "give the task back"
HOOK_ANSWERS = (ASK_AGAIN, GO_ON, GIVE_BACK)
ANSWER_SECONDS = 300.0
RESTART_SECONDS = 1.0
OUT_OF_TURNS = "error_max_turns"
DETACHED = (
    "no branch is checked out in {path}, so what is committed there would be on none."
    " Run `git switch BRANCH` there; the task is free again"
)
DELETED = "its run directory {run.path} was deleted; what it printed is lost, its work is kept"


def announce(held: Held, tools: Tools) -> Held:
    """Ask the pre-task hooks, which may refuse the task or ask to try later."""
    while (outcome := hooks_say(Moment.PRE_TASK, held, tools)).decision is not Decision.GO:
        answer = tools.ui.ask(f"{outcome.detail} What now?", HOOK_ANSWERS, GIVE_BACK, timeout=ANSWER_SECONDS)
        if answer == GIVE_BACK:
            return end(held, Verdict(HOOK_REASONS[outcome.decision], outcome.detail))
        if answer == GO_ON:
            break
    return replace(held, phase=Phase.PREPARING)


def prepare(held: Held, tools: Tools) -> Held:
    """Open the workspace: the one of the attempt before, or a new one."""
    try:
        _tell_loss(held, tools)
        workspace = tools.worktrees.open(held.task, held.claim, held.attempt, held.workspace)
    except UnsafeName as error:
        return end(held, Verdict(Reason.UNSAFE_TASK, str(error)))
    except GitFailed as error:
        return end(held, Verdict(Reason.WORKSPACE_FAILED, str(error)))
    if not workspace.is_worktree and not workspace.branch and demand.of(held, tools) != demand.NOTHING:
        return end(held, Verdict(Reason.WORKSPACE_FAILED, DETACHED.format(path=workspace.path)))
    if held.workspace is None and held.attempt == 1:
        _bring_back(held, workspace, tools)
    if workspace.is_worktree and held.task.branch not in ("", workspace.branch):
        tools.ui.info(f"The task names branch {held.task.branch!r}; its work is on {workspace.branch}")
    return replace(held, phase=Phase.SPAWNING, workspace=workspace)


def _tell_loss(held: Held, tools: Tools) -> None:
    """Note with the attempt before what it has deleted: its worktree is made again."""
    if held.workspace is not None and (lost := proof.loss_of(held.workspace)):
        tools.ui.warning(f"Task {held.task.id}: {lost}")
        receipt.warn(tools.run_of(replace(held, attempt=held.attempt - 1)), lost)


def _bring_back(held: Held, workspace: Workspace, tools: Tools) -> None:
    """Have the work begin where the last agent at the task left it, with what that had not committed."""
    try:
        name = safekeeping.bring_back(held.task, workspace)
    except (GitFailed, UnsafeName) as error:
        tools.ui.warning(f"What was left of task {held.task.id} is not in its worktree: {error}")
    else:
        if name:
            tools.ui.info(f"Task {held.task.id} begins with what was not committed before ({name})")


def spawn(held: Held, tools: Tools) -> Held:
    """Start this attempt's agent, unless it is there or was there already."""
    run = tools.run_of(held)
    if run.state() is RunState.NEVER_RAN:
        if too_dear := spending.too_dear(tools, held.task):
            return end(held, Verdict(Reason.BUDGET_EXHAUSTED, detail(Reason.BUDGET_EXHAUSTED, too_dear)))
        if spending.is_day_over(tools) and held.not_before <= time.time():
            tools.ui.warning(f"Task {held.task.id} waits for tomorrow (UTC): {spending.day_s_end(tools)}")
            return replace(held, not_before=spending.tomorrow())
        if not turn.wait_for(held, tools):
            return end(held, Verdict(Reason.RUNNER_STOPPED, WORDS[Reason.RUNNER_STOPPED]))
        try:
            is_ours = launch.agent(held, run, tools)
        except GitFailed as error:
            return end(held, Verdict(Reason.WORKSPACE_FAILED, str(error)))
        if not is_ours:
            return end(held, Verdict(Reason.LOST_CLAIM, WORDS[Reason.LOST_CLAIM]))
        faults.reach("spawn.started")
    return replace(held, phase=Phase.RUNNING, run=run.name)


def watch(held: Held, tools: Tools) -> Held:
    """Wait for the agent's end and judge it; an agent that died is started again in the same session."""
    run = tools.run_of(held)
    is_lost = run.path.is_dir() and attendance.attend(run, held, tools)
    if not run.path.is_dir():
        process.clear(run)
        return go_on(held, Verdict(Reason.KILLED, detail(Reason.KILLED, DELETED.format(run=run))), tools)
    if run.state() is RunState.NEVER_RAN:
        tools.signals.wait(RESTART_SECONDS)
        return replace(held, phase=Phase.SPAWNING)
    verdict = attendance.judge(run, held, tools)
    spending.note(tools, held, run.name, verdict.cost_usd)
    turn.settle_account(verdict, tools)
    safekeeping.keep(held, tools, f"attempt {held.attempt} ended")
    if is_lost:
        verdict = replace(verdict, reason=Reason.LOST_CLAIM, detail=WORDS[Reason.LOST_CLAIM])
    elif verdict.reason is Reason.SUCCEEDED:
        verdict = proof.examine(held, run, verdict, tools)
    held = replace(held, spent_usd=held.spent_usd + verdict.cost_usd)
    if _ended_with_the_day(held, verdict, tools):
        tools.ui.warning(f"Task {held.task.id} goes on tomorrow (UTC): {spending.day_s_end(tools)}")
        attempt, waits = held.attempt + 1, held.waits + 1
        return replace(held, phase=Phase.PREPARING, attempt=attempt, waits=waits, not_before=spending.tomorrow())
    return go_on(held, verdict, tools)


def _ended_with_the_day(held: Held, verdict: Verdict, tools: Tools) -> bool:
    """Did the agent end for the day's budget alone? Then it goes on another day, and the attempt does not count."""
    if verdict.reason is not Reason.BUDGET_EXHAUSTED or held.waits >= policy.MOST_WAITS:
        return False
    is_money = (receipt.read(tools.run_of(held)).get("result") or {}).get("subtype") != OUT_OF_TURNS
    return is_money and spending.was_day_s_end(tools, held.task, verdict.cost_usd)


def go_on(held: Held, verdict: Verdict, tools: Tools) -> Held:
    """Do what the policy says of a verdict: another attempt, or the end."""
    action = policy.action(verdict.reason, held.tries, tools.config.max_attempts)
    if action not in policy.AGAIN or held.waits >= policy.MOST_WAITS:
        return end(held, verdict)
    tools.ui.warning(f"Attempt {held.attempt} of task {held.task.id}: {verdict.detail}; trying again")
    again = replace(held, phase=Phase.PREPARING, attempt=held.attempt + 1, not_before=0.0)
    if action is Action.RETRY:
        return replace(again, not_before=time.time() + policy.backoff(held.tries))
    if action is Action.WAIT:
        until = policy.wait_until(verdict.wait_until, held.waits, time.time())
        return replace(again, waits=held.waits + 1, not_before=until)
    return replace(again, session_id=str(uuid.uuid4())) if action is Action.FRESH else again


def end(held: Held, verdict: Verdict) -> Held:
    """The way out: the verdict becomes durable, then it is told."""
    return replace(held, phase=Phase.EXITED, verdict=verdict)


def report(held: Held, tools: Tools) -> Held:
    """Hand the work on and note where it stands, then tell the source, after a look; nothing is told twice."""
    if held.workspace is not None:
        publishing.publish(held, tools)
        try:
            handoff.record(held.task, held.workspace)
        except GitFailed as error:
            tools.ui.warning(f"Where the work stands could not be noted: {error}")
    told = reporting.deliver(held, tools)
    if not told.is_gone:
        orphans.close(held, tools)
    return replace(held, phase=Phase.REPORTED, reported=told.status, verdict=told.verdict)


def debrief(held: Held, tools: Tools) -> Held:
    """Run the post-task hooks, and those of `error` for a task that failed; their trouble changes nothing."""
    verdict = held.verdict or Verdict(Reason.KILLED)
    has_failed = history_entry.ended_by(verdict.reason) is ExecutionStatus.FAILED
    for moment in (Moment.POST_TASK, Moment.ERROR) if has_failed else (Moment.POST_TASK,):
        outcome = hooks_say(moment, held, tools)
        if outcome.decision is not Decision.GO:
            tools.ui.warning(outcome.detail)
    return replace(held, phase=Phase.CLEANING)


def clean_up(held: Held, tools: Tools) -> Held:
    """Remove the worktree if nothing would be lost with it; put a main checkout back on its own branch."""
    if held.workspace is not None and not held.workspace.is_worktree:
        main_checkout.hand_back(held.workspace, held, tools)
    elif held.workspace is not None:
        safekeeping.keep(held, tools, "before the worktree is closed")
        for reason in tools.worktrees.close(held.workspace):
            tools.ui.warning(f"The worktree {held.workspace.path} is kept: {reason}")
    return replace(held, phase=Phase.DONE)


def hooks_say(moment: Moment, held: Held, tools: Tools) -> HookOutcome:
    """Run the hooks of a moment in a task's life."""
    payload = hook_payload.task_moment(
        moment,
        held,
        role=reporting.role_of(held, tools),
        repository=tools.config.repository,
        home=tools.config.home,
        executor=tools.executor.name,
        retry=held.recovered,
        status=held.reported,
    )
    return tools.hooks.run(moment, payload)


Step = Callable[[Held, Tools], Held]

STEPS: Mapping[Phase, Step] = {
    Phase.CLAIMING: taking.claim,
    Phase.CLAIMED: taking.settle,
    Phase.ANNOUNCED: announce,
    Phase.PREPARING: prepare,
    Phase.SPAWNING: spawn,
    Phase.RUNNING: watch,
    Phase.EXITED: report,
    Phase.REPORTED: debrief,
    Phase.CLEANING: clean_up,
}
