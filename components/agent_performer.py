"""Performs entries of the queue: each agent by a runner of its own, which outlives us and is adopted by who comes next.

An attempt is a typed task under an id that follows from the agent and the attempt, so whoever performs the entry again
finds what there is: a verdict, a runner at work, a journal to go on from, or nothing yet.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from components import (
    agent_end,
    agent_task,
    background,
    history_sync,
    lost_attempts,
    stopping,
    typed_task,
    workflow_entry,
    workflow_file,
)
from components.agent import SETTLED, Agent, AgentStatus
from components.agent_store import AgentStore
from components.config import Config
from components.errors import ConfigError, NotFound, StoreUnavailable, TaskTaken, UnsafeName
from components.execution_index import ExecutionFiles, Watch
from components.model import Verdict
from components.ports import AgentQueue, QueueEntry
from components.schedule_kind import Schedule
from components.states import Reason
from components.task_persistence import host_name
from components.terminal_ui import TerminalUI
from components.typed_task import TypedTask
from components.workflow_engine import CANCELLED, STOPPED, WorkflowEngine

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
"""How often to look at a runner that another process has started, and whether somebody wants the end."""
STARTS = 3
"""How often a runner is started that gets no further than the one before: where none of them lives, it has a reason."""
REST_SECONDS = 0.5
"""How long to rest, once more with each that got no further."""
LOST = "{count} workers, or their machines, died over it; it is not tried on another. Look at their logs, then retry it"
UNUSABLE = (NotFound, ConfigError, UnsafeName)


def opened(config: Config, environ: Mapping[str, str], queue: AgentQueue, ui: TerminalUI) -> AgentPerformer:
    """Return the performer of a worker, once all workflows that are not over were brought forward.

    Raises as the store where it cannot be used, and StoreUnavailable where it is away; one that goes away after that is
    asked again by whoever ends.
    """
    agents = AgentStore(history_sync.opened(config.home, config.store, ui.warning))
    engine = WorkflowEngine(agents, queue)
    try:
        engine.advance_all()
    except StoreUnavailable as error:
        ui.warning(f"What waits in workflows is not looked through: {error}")
    threading.Thread(target=lost_attempts.end_all, args=(config, environ), name="lost-attempts", daemon=True).start()
    return AgentPerformer(config, environ, agents, engine)


class AgentPerformer:
    """A Performer of the agents of a store."""

    def __init__(self, config: Config, environ: Mapping[str, str], agents: AgentStore, engine: WorkflowEngine) -> None:
        self._config = config
        self._environ = environ
        self._agents = agents
        self.engine = engine

    def perform(self, entry: QueueEntry, is_cancelled: Callable[[], bool]) -> None:
        """Bring an agent to its end, and record how it ended unless another attempt has it by then.

        Raises StoreUnavailable, OSError where this machine can start nothing, and what `is_cancelled` raises.
        """
        one = self._agents.begin(entry, host_name())
        if one is None:
            self._make_up_for(entry)
            return
        if entry.lost >= self._config.max_attempts:
            self.engine.settle(one, AgentStatus.FAILED, reason=str(Reason.KILLED), error=LOST.format(count=entry.lost))
            return
        if is_cancelled() and not typed_task.directory_of(self._config.home, one.execution_id).exists():
            self.engine.settle(one, AgentStatus.CANCELLED, reason=CANCELLED, error=STOPPED)
            return
        try:
            typed = agent_task.begun(self._config, self._agents, one)
        except UNUSABLE as error:
            self.engine.settle(one, AgentStatus.FAILED, reason=str(Reason.WORKSPACE_FAILED), error=str(error))
            return
        attendance = _Attendance(self._config, self._environ, self._agents, one, typed)
        verdict = attendance.ended(is_cancelled)
        facts = agent_end.facts_of(self._config, typed, verdict, attendance.watch.last)
        if not self.engine.settle(one, agent_end.status_of(verdict), **facts):
            logger.warning("agent %s: attempt %d ended after another had its place", one.short_id, one.attempt)

    def recur(self, schedule: Schedule, firing: str) -> Collection[QueueEntry]:
        """Enter what a schedule asks for at a time; the same firing again finds it."""
        if schedule.workflow:
            graph = workflow_file.read(Path(schedule.workflow).expanduser())
            made = workflow_entry.enter(self._agents, graph, self._config, key=f"{schedule.name} {firing}")
            self.engine.run(made.id)
            return []
        one = Agent("", role=schedule.role, task=schedule.task, project=str(self._config.repository))
        workflow_entry.spawn(self._agents, one, self._config, key=f"{schedule.name} {firing}")
        self.engine.advance("")
        return []

    def _make_up_for(self, entry: QueueEntry) -> None:
        """Let go on what waited for an agent that is over: who recorded its end may have died before."""
        with contextlib.suppress(NotFound):
            one = self._agents.agent(entry.agent_id)
            if one.status in SETTLED:
                self.engine.advance(one.workflow_id, one.id)


class _Attendance:
    """Stays with the runner of one attempt until there is a verdict."""

    def __init__(
        self, config: Config, environ: Mapping[str, str], agents: AgentStore, one: Agent, typed: TypedTask
    ) -> None:
        self._config = config
        self._environ = environ
        self._agents = agents
        self._one = one
        self._typed = typed
        self._files = ExecutionFiles(config.home, typed.claim, typed.task.id)
        self._place: dict[str, object] = {}
        self.watch = Watch(self._files)

    def ended(self, is_cancelled: Callable[[], bool]) -> Verdict:
        """Start a runner where there is none, wait for the verdict, and return it. Nothing of it is left at work."""
        home, claim = self._config.home, self._typed.claim
        fruitless, place = 0, self._phase()
        while (verdict := typed_task.verdict_of(home, claim)) is None and fruitless < STARTS:
            threading.Event().wait(fruitless * REST_SECONDS)
            with self._runner() as fd:
                while typed_task.has_runner(home, claim):
                    self._note_place()
                    if self._is_unwanted(is_cancelled):
                        stopping.stop(home, self._files, self._config.cancel_grace, self._environ)
                    _wait(fd)
            before, place = place, self._phase()
            fruitless = fruitless + 1 if place == before else 0
        if verdict is not None:
            return verdict
        stopping.stop(home, self._files, self._config.cancel_grace, self._environ)
        why = f"its runner ended {STARTS} times without a word; see {self._files.runner_log}"
        return Verdict(Reason.KILLED, why)

    def _phase(self) -> tuple[object, int]:
        """Return how far the attempt has got, by its journal."""
        held = self.watch.look() or self.watch.last
        return (held.phase, held.attempt) if held is not None else (None, 0)

    def _is_unwanted(self, is_cancelled: Callable[[], bool]) -> bool:
        """Does somebody want the end? Raises TaskTaken once the agent has ended that is another's by now."""
        try:
            return is_cancelled()
        except TaskTaken:
            stopping.stop(self._config.home, self._files, self._config.cancel_grace, self._environ)
            raise

    @contextlib.contextmanager
    def _runner(self) -> Iterator[int | None]:
        """Start a runner; yields a handle on it, None for one that is another's child. It is collected in the end."""
        pid = background.start(self._config.home, self._typed.claim, sys.maxsize, self._environ)
        fd = None
        if pid:
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
        try:
            yield fd
        finally:
            if fd is not None:
                os.close(fd)
                _collect(pid)

    def _note_place(self) -> None:
        """Tell where the agent works, as soon as that is known."""
        place = agent_end.place_of(self.watch.look())
        if place and place != self._place:
            with contextlib.suppress(StoreUnavailable):
                self._agents.note(self._one, **place)
                self._place = place


def _wait(fd: int | None) -> None:
    """Wait for the end of a process, or for a moment."""
    poller = select.poll()
    if fd is not None:
        poller.register(fd, select.POLLIN)
    poller.poll(LOOK_SECONDS * 1000)


def _collect(pid: int) -> None:
    """Collect a runner that has ended; one that we leave at work is collected by whoever is its parent then."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
