"""Attempts at agents that were at work here when their worker died, and were taken over or called off since.

Nobody is handed those any more, so whoever works here next ends what is left of them, and closes their records.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping

from components import agent_wanted, stopping, typed_task, unstarted
from components.config import Config
from components.errors import RunnerError
from components.execution_index import ExecutionFiles
from components.states import Door
from components.typed_task import TypedTask

logger = logging.getLogger(__name__)


def find(config: Config) -> Iterator[TypedTask]:
    """Yield those that are not over, have no runner, and are wanted by nobody. Raises as the store."""
    for one in unstarted.find(config.home):
        is_left = one.typed.door is Door.WORKFLOW and not typed_task.has_runner(config.home, one.typed.claim)
        if is_left and agent_wanted.is_unwanted(config, one.typed):
            yield one.typed


def end_all(config: Config, environ: Mapping[str, str]) -> None:
    """End them one by one, each with what a runner has to do after that. What fails waits for the next worker."""
    with contextlib.suppress(RunnerError, OSError):
        for typed in find(config):
            files = ExecutionFiles(config.home, typed.claim, typed.task.id)
            how = stopping.stop(config.home, files, config.cancel_grace, environ)
            logger.warning("agent %s: an attempt that others have taken over or called off: %s", typed.task.id, how)
