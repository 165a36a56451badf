"""The moments of the service's executions, for the hooks of a program that embeds it.

Scripts and webhooks are run by the execution's own runner, which outlives us; these callables are this process's.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from components import execution_index, history_entry, hook_payload, typed_task
from components.errors import HookPostponed, HookRejected, NotFound, RunnerError
from components.hook_payload import Moment
from components.hook_runner import Decision, HookOutcome, HookRunner
from components.model import Held, Verdict
from components.server.core import Core
from components.sources.typed import TypedTaskSource
from components.states import Door, ExecutionStatus, Phase
from components.typed_task import TypedTask

logger = logging.getLogger(__name__)

NO_SCRIPTS = Path("/nonexistent")


def require(core: Core, made: TypedTask) -> None:
    """Ask whether an execution may begin. Raises HookRejected and HookPostponed."""
    outcome = _run(core, Moment.PRE_TASK, made, _first(core, made))
    if outcome.decision is not Decision.GO:
        kind = HookPostponed if outcome.decision is Decision.LATER else HookRejected
        raise kind(core.redact(outcome.detail))


def await_all(core: Core) -> None:
    """Have the ends of those told that a service before us has begun, and that are not over."""
    for claim in typed_task.claims(core.home):
        try:
            if claim not in core.over and typed_task.load(core.home, claim).door is Door.SERVE:
                core.awaited.add(claim)
        except RunnerError:
            logger.warning("execution %s cannot be read; its end is told to no hook", claim)


def tell_ends(core: Core) -> None:
    """Tell of the executions that have ended since it was last asked, each once."""
    for claim in list(core.awaited):
        try:
            verdict = typed_task.verdict_of(core.home, claim)
            if verdict is None and (typed_task.directory_of(core.home, claim) / "task.json").exists():
                continue
            core.awaited.discard(claim)
            if verdict is not None:
                _tell(core, typed_task.load(core.home, claim), verdict)
        except RunnerError:
            core.awaited.discard(claim)
            logger.exception("the end of execution %s is told to no hook", claim)


def _tell(core: Core, made: TypedTask, verdict: Verdict) -> None:
    held = replace(execution_index.last_entry(core.home, made.claim) or _first(core, made), verdict=verdict)
    has_failed = history_entry.ended_by(verdict.reason) is ExecutionStatus.FAILED
    for moment in (Moment.POST_TASK, Moment.ERROR) if has_failed else (Moment.POST_TASK,):
        outcome = _run(core, moment, made, held)
        if outcome.decision is not Decision.GO:
            logger.warning("execution %s: %s", made.claim, core.redact(outcome.detail))


def _run(core: Core, moment: Moment, made: TypedTask, held: Held) -> HookOutcome:
    payload = hook_payload.task_moment(
        moment,
        held,
        role=made.task.role,
        repository=made.repository,
        home=core.home,
        executor=made.settings.get("executor", core.loaded.config.executor),
        retry=False,
        status=_status(core, made),
    )
    return HookRunner(NO_SCRIPTS, program=core.hooks).run(moment, payload)


def _first(core: Core, made: TypedTask) -> Held:
    """Return the entry of an execution of which there is no journal."""
    return Held(made.task, made.agent_id, Phase.CLAIMING, made.claim, session_id="", host=core.host)


def _status(core: Core, made: TypedTask) -> str:
    """Return the status that its runner has reported, "" before it is kept."""
    directory = typed_task.directory_of(core.home, made.claim)
    source = TypedTaskSource(directory, made.agent_id, made.task.role, made.task.level)
    try:
        now = source.look(made.task)
    except NotFound:
        return ""
    return now.status if now else ""
