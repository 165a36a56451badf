"""Staying with a running agent, from whatever moment on: waiting for its end, and judging it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from components import (
    cancelling,
    claiming,
    durable,
    judgement,
    limit_words,
    outside,
    process,
    reason_words,
    receipt,
    safekeeping,
    stop_order,
    transcript,
)
from components.errors import Draining, SourceRefused, SourceUnavailable, TaskTaken, Unauthorized
from components.hearing import Hearing
from components.model import BY_EXIT_CODE, AgentResult, ExitRecord, Held, Progress, Usage, Verdict
from components.overseer import Overseer
from components.ports import Listener, TellsTotals
from components.pulse import Pulse
from components.redact import plain
from components.run_directory import RECEIPT, TRANSCRIPT_BEFORE, RunDirectory, RunState
from components.signals import Intent
from components.states import Reason
from components.tools import Tools

logger = logging.getLogger(__name__)

WORDS = {
    Intent.FINISH: "Taking nothing new; the agent of task {id} is waited for. SIGTERM or Ctrl-C again stops it",
    Intent.STOP: "Stopping the agent of task {id}. Ctrl-C again leaves at once",
}
LEFT_OTHERS = "Task {id}: its agent and its shim were killed; ending what they had started"
LOST = "Task {id} is not ours any more: stopping its agent; its work is kept"
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
UNNAMED_SECONDS = 0.2
"""How often to look at a run whose processes cannot be waited for, because they are not on the disk yet."""


def attend(run: RunDirectory, held: Held, tools: Tools) -> bool:
    """Wait until nothing of the run is alive; True when the task went to somebody else meanwhile.

    The lock on `watched` comes first: without it the shim ends the agent after a while, also while a source that hangs
    is asked. Raises Draining when the operator wants the agent left at work: the next start comes back here.
    """
    claim_watch = _ClaimWatch(held, tools)
    saving = Pulse()
    saving.every(
        tools.config.snapshot_interval,
        lambda: safekeeping.keep(held, tools, "while the agent works", thorough=False),
    )
    overseer = Overseer(run, held, tools)
    pulses = (tools.pulse, claim_watch.pulse, saving, overseer)
    told = Intent.RUN
    with durable.locked(run.path / "watched"), tools.ui.elapsed(f"Task {held.task.id}: the agent works"):
        claim_watch.begin()
        if cancelling.is_asked(tools.config.home, held.claim):
            cancelling.stop(run)
        while run.state() is RunState.ALIVE:
            _wait_a_while(run, tools, pulses)
            _end_others(run, held, tools)
            if tools.signals.intent is Intent.LEAVE:
                raise Draining(f"the agent of task {held.task.id} works on; the next start takes it up again")
            wanted = Intent.STOP if claim_watch.is_lost else tools.signals.intent
            if wanted > told:
                tools.ui.warning((LOST if claim_watch.is_lost else WORDS[wanted]).format(id=held.task.id))
                told = wanted
                if wanted is Intent.STOP:
                    overseer.let_be()
                    process.stop(run)
    process.collect(run)
    return claim_watch.is_lost


def judge(run: RunDirectory, held: Held, tools: Tools) -> Verdict:
    """Return the verdict of a run that is over, and keep it beside the run's output.

    Raises Draining when the operator wants to leave while a long output is read.
    """
    record = run.exit_record()
    if record is None or not record.clean:
        process.clear(run)
    listener = _hear_all(run, tools)
    result = _shown(_of_this_run(listener.result(_as_ended(run, record)), held, tools), tools)
    used = _used(run, held, listener, result, tools)
    verdict = replace(_verdict(run, record, result, listener.progress(), tools), cost_usd=used.cost_usd)
    found = {
        "task": asdict(held.task),
        "attempt": held.attempt,
        "session_id": held.session_id,
        "verdict": asdict(verdict),
        "exit": asdict(record) if record else None,
        "result": asdict(result) if result else None,
        "usage": asdict(used),
        "written_outside": _outside(run, held, listener, tools),
    }
    durable.write(run.path / RECEIPT, json.dumps(found, indent=2, ensure_ascii=False).encode(errors="replace"))
    return verdict


def _outside(run: RunDirectory, held: Held, listener: Listener, tools: Tools) -> list[str]:
    """Return the files that the agent wrote outside of where it is to work, as they may be shown."""
    if held.workspace is None:
        return []
    places: list[str | Path] = [*tools.config.extra_directories, run.path]
    return [tools.redact(plain(one)) for one in outside.of(listener.progress().written, held.workspace.path, places)]


def _hear_all(run: RunDirectory, tools: Tools) -> Listener:
    """Hear all that the agent has printed; the heartbeat goes on meanwhile."""
    hearing = Hearing(run.out, tools.executor.listener())
    while hearing.look():
        tools.pulse.beat()
        if tools.signals.intent is Intent.LEAVE:
            raise Draining(f"run {run.name} is over; the next start judges it")
    hearing.finish()
    return hearing.listener


def _of_this_run(result: AgentResult | None, held: Held, tools: Tools) -> AgentResult | None:
    """Return a result with the tokens of this run alone, where the agent tells those of its whole session."""
    if result is None or not isinstance(tools.executor, TellsTotals):
        return result
    for attempt in range(1, held.attempt):
        before = receipt.read(tools.run_of(replace(held, attempt=attempt))).get("result") or {}
        if before.get("session_id") == result.session_id:
            less = {name: max(0, getattr(result, name) - before.get(name, 0)) for name in TOKENS}
            result = replace(result, **less)
    return result


def _as_ended(run: RunDirectory, record: ExitRecord | None) -> ExitRecord | None:
    """Return the record as of an end by itself, where the agent was stopped only for staying after its result."""
    order = stop_order.of(run)
    if record is None or order is None or order.reason is not None:
        return record
    return replace(record, exit_code=0, signal=None, why=None)


def _verdict(
    run: RunDirectory, record: ExitRecord | None, result: AgentResult | None, told: Progress, tools: Tools
) -> Verdict:
    """Judge by the record and the result; what the runner had it stopped for stands in its place among the words."""
    order = stop_order.of(run)
    if order is not None and order.reason is None and record is not None:
        record = replace(record, why=None)
    verdict = judgement.judge(
        record,
        result,
        role=tools.config.role or "",
        stderr=tools.redact(plain(_stderr(run, result))),
        stopped_for=order.reason if order else None,
        told=told,
    )
    if verdict.reason is Reason.RATE_LIMITED and result is not None and not verdict.wait_until:
        verdict = replace(verdict, wait_until=limit_words.ends_at(result.text, run.out.stat().st_mtime))
    if order is None or verdict.reason is not order.reason:
        return verdict
    return replace(verdict, detail=reason_words.detail(verdict.reason, tools.redact(plain(order.detail))))


def _stderr(run: RunDirectory, result: AgentResult | None) -> str:
    """Return what tells why it failed: an agent that cannot start says it first, a program of any kind last."""
    is_any = result is not None and result.subtype == BY_EXIT_CODE
    return run.last_words() if is_any else run.first_words()


def _shown(result: AgentResult | None, tools: Tools) -> AgentResult | None:
    """Return a result with its text as it may be kept and passed on: secrets are taken out before anything is cut."""
    return replace(result, text=tools.redact(plain(result.text))) if result else None


def _used(run: RunDirectory, held: Held, listener: Listener, result: AgentResult | None, tools: Tools) -> Usage:
    """Return what a run has used: by its result, or for one that was cut off by what the agent has recorded."""
    if result is not None and not result.is_unfinished:
        return Usage(cost_usd=result.cost_usd, **{name: getattr(result, name) for name in TOKENS})
    told = listener.progress()
    recorded = Usage()
    record = transcript.find(told.session_id or held.session_id, tools.environment)
    before = run.path / TRANSCRIPT_BEFORE
    if tools.executor.resumes_by == "transcript" and record and before.exists():
        recorded = tools.executor.usage(transcript.lines_after(record, int(before.read_bytes())))
    return replace(recorded, cost_usd=max(recorded.cost_usd, told.cost_usd, result.cost_usd if result else 0.0))


def _wait_a_while(run: RunDirectory, tools: Tools, pulses: Sequence[Pulse | Overseer]) -> None:
    rest = min(pulse.due_in() for pulse in pulses)
    with _end_of(run) as fd:
        tools.signals.wait(rest if fd is not None else min(rest, UNNAMED_SECONDS), fd)
    for pulse in pulses:
        pulse.beat()


def _end_others(run: RunDirectory, held: Held, tools: Tools) -> None:
    """End what holds a run of which neither the shim nor the agent is left: nobody else would."""
    if process.has_left_others(run) and run.state() is RunState.ALIVE:
        tools.ui.warning(LEFT_OTHERS.format(id=held.task.id))
        process.clear(run)


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

    def begin(self) -> None:
        """Sign in and look at once where a runner before us was in charge: it may have been away for long."""
        if not self._held.recovered:
            return
        try:
            self._tools.presence.sign_in()
        except (SourceUnavailable, SourceRefused, Unauthorized, OSError) as error:
            self._tools.ui.warning(f"Attending the agent of task {self._held.task.id} all the same: {error}")
        else:
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
        except (SourceUnavailable, SourceRefused, Unauthorized) as error:
            logger.info("cannot look at task %s now: %s", self._held.task.id, error)
