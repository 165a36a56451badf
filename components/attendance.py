"""Staying with a running agent, from whatever moment on: waiting for its end, and judging it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from components import claiming, durable, execution_log, executors, policy, process, safekeeping
from components.errors import Draining, SourceUnavailable, TaskTaken
from components.model import Held, Verdict
from components.pulse import Pulse
from components.run_directory import RunDirectory, RunState
from components.signals import Intent
from components.tools import Tools

logger = logging.getLogger(__name__)

WORDS = {
    Intent.FINISH: "Taking nothing new; the agent of task {id} is waited for. SIGTERM or Ctrl-C again stops it",
    Intent.STOP: "Stopping the agent of task {id}. Ctrl-C again leaves at once",
}
LOST = "Task {id} is not ours any more: stopping its agent; its work is kept"
UNNAMED_SECONDS = 0.2
"""How often to look at a run whose processes cannot be waited for, because they are not on the disk yet."""


def attend(run: RunDirectory, held: Held, tools: Tools) -> bool:
    """Wait until nothing of the run is alive; True when the task went to somebody else meanwhile.

    Raises Draining when the operator wants the agent left at work: the next start comes back here.
    """
    claim_watch = _ClaimWatch(held, tools)
    saving = Pulse()
    saving.every(
        tools.config.snapshot_interval,
        lambda: safekeeping.keep(held, tools, "while the agent works", thorough=False),
    )
    pulses = (tools.pulse, claim_watch.pulse, saving)
    told = Intent.RUN
    with durable.locked(run.path / "watched"), tools.ui.elapsed(f"Task {held.task.id}: the agent works"):
        while run.state() is RunState.ALIVE:
            _wait_a_while(run, tools, pulses)
            if tools.signals.intent is Intent.LEAVE:
                raise Draining(f"the agent of task {held.task.id} works on; the next start takes it up again")
            wanted = Intent.STOP if claim_watch.is_lost else tools.signals.intent
            if wanted > told:
                tools.ui.warning((LOST if claim_watch.is_lost else WORDS[wanted]).format(id=held.task.id))
                told = wanted
                if wanted is Intent.STOP:
                    process.stop(run)
    process.collect(run)
    return claim_watch.is_lost


def judge(run: RunDirectory, held: Held, tools: Tools) -> Verdict:
    """Return the verdict of a run that is over, and keep it beside the run's output."""
    record = run.exit_record()
    if record is None:
        process.clear(run)
    result = executors.heard(tools.executor, execution_log.lines(run.out), record)
    verdict = policy.judge(record, result, role=tools.config.role or "", stderr=run.first_words())
    receipt = {
        "task": asdict(held.task),
        "attempt": held.attempt,
        "session_id": held.session_id,
        "verdict": asdict(verdict),
        "exit": asdict(record) if record else None,
        "result": asdict(result) if result else None,
    }
    durable.write(run.path / "result.json", json.dumps(receipt, indent=2, ensure_ascii=False).encode(errors="replace"))
    return verdict


def _wait_a_while(run: RunDirectory, tools: Tools, pulses: Sequence[Pulse]) -> None:
    rest = min(pulse.due_in() for pulse in pulses)
    with _end_of(run) as fd:
        tools.signals.wait(rest if fd is not None else min(rest, UNNAMED_SECONDS), fd)
    for pulse in pulses:
        pulse.beat()


@contextlib.contextmanager
def _end_of(run: RunDirectory) -> Iterator[int | None]:
    fd = process.end_of(run)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


class _ClaimWatch:
    """Looks at the source every so often whether the task is still ours."""

    def __init__(self, held: Held, tools: Tools) -> None:
        self.is_lost = False
        self.pulse = Pulse()
        self._held = held
        self._tools = tools
        self.pulse.every(tools.config.heartbeat_interval, self._look)
        if held.recovered:
            self._look()

    def _look(self) -> None:
        """A source that does not answer proves nothing: hours of work are not ended for an outage."""
        try:
            now = self._tools.source.look(self._held.task)
            if now is not None and claiming.is_abandoned(now):
                self._tools.source.lock(now)
            self.is_lost = claiming.is_lost(now, self._held)
        except TaskTaken:
            logger.info("task %s was locked by another; looking again later", self._held.task.id)
        except SourceUnavailable as error:
            logger.info("cannot look at task %s now: %s", self._held.task.id, error)
