"""Takes up executions whose runner is gone: their journal tells where they are, and a new runner goes on there."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

from components import background, history_sync, typed_task
from components.errors import RunnerError
from components.server.core import Core
from components.short_id import SHORT
from components.states import Door, ExecutionStatus

logger = logging.getLogger(__name__)

MOST = 3
"""How often one execution gets another runner from one service: where none of them lives, there is a reason."""


def adopt(core: Core, claim: str) -> bool:
    """Give an execution a runner if it needs one; False where it has nothing to go on with, or was given enough."""
    held = history_sync.journal_of(core.home, f"task-{claim[:SHORT]}")
    if held is None or held.claim != claim or core.adoptions.get(claim, 0) >= MOST:
        return False
    core.adoptions[claim] = core.adoptions.get(claim, 0) + 1
    is_known = _is_interrupted(core, claim)
    pid = background.start(core.home, claim, sys.maxsize, core.environ)
    if pid:
        core.children.add(pid)
        core.meters.replaced(is_known=is_known)
        logger.warning("execution %s had lost its runner; it has a new one (pid %s)", claim[:8], pid)
    return True


def adopt_all(core: Core) -> None:
    """Take up all executions of the service that have lost their runner."""
    for claim in typed_task.claims(core.home):
        try:
            if claim not in core.over and _is_lost(core, claim):
                adopt(core, claim)
        except (RunnerError, OSError):
            logger.exception("execution %s cannot be taken up now", claim[:8])


def _is_interrupted(core: Core, claim: str) -> bool:
    with suppress(RunnerError):  # it is taken up whether the store answers or not
        return core.store.get(claim).status is ExecutionStatus.INTERRUPTED
    return False


def _is_lost(core: Core, claim: str) -> bool:
    if (typed_task.directory_of(core.home, claim) / "verdict.json").exists():
        core.over.add(claim)
        return False
    return not typed_task.has_runner(core.home, claim) and typed_task.load(core.home, claim).door is Door.SERVE
