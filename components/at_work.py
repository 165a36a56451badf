"""The executions that are at work on this machine now: journals and locks first, the history for what they lack."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from components import execution_log, overview, progress, text_file, unstarted
from components.errors import NotFound
from components.execution import Execution
from components.model import Held
from components.overview import Agent, Overview, Run
from components.progress import UNKNOWN, Estimate
from components.run_directory import RunDirectory
from components.short_id import SHORT
from components.states import Phase
from components.store_reader import StoreReader
from components.unstarted import INTERRUPTED, Unstarted

STAGES: Mapping[Phase, str] = {
    Phase.CLAIMING: "claiming",
    Phase.CLAIMED: "claiming",
    Phase.ANNOUNCED: "hooks",
    Phase.PREPARING: "preparing",
    Phase.SPAWNING: "starting",
    Phase.RUNNING: "running",
    Phase.EXITED: "reporting",
    Phase.REPORTED: "hooks",
    Phase.CLEANING: "cleaning",
    Phase.DONE: "done",
}
BEFORE_AGENT = frozenset({Phase.PREPARING, Phase.SPAWNING})
ELSEWHERE = "elsewhere"
OUT_BYTES = 256 * 1024
"""How much of the end of a running agent's output is read for its cost: 5 ms. Of more, the cost is a lower bound."""
SPEC_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class AtWork:
    """One execution that is not over. `project` is the path of its repository, "" while that is not known.

    `cost_usd` is what it has cost so far, at least that much unless `is_whole_cost`. `run` is its current attempt's
    directory where an agent may live in it. `waiter` is the process id of who waits for its turn, 0 for nobody.
    """

    id: str
    task_id: str
    title: str
    agent_id: str
    project: str
    stage: str
    role: str = ""
    attempt: int = 1
    started_at: str = ""
    model: str = ""
    cost_usd: float = 0.0
    is_whole_cost: bool = True
    estimate: Estimate = UNKNOWN
    agent: Agent | None = None
    run: Run | None = field(default=None)
    waiter: int = 0

    @property
    def short_id(self) -> str:
        """The id as people see and type it."""
        return self.id[:SHORT]


def find(seen: Overview, reader: StoreReader | None) -> list[AtWork]:
    """Return what is at work, the longest first. Without a reader nothing is known of progress."""
    known = _live(reader)
    durations = Durations(reader)
    found = [_of_agent(agent, agent.held, known, durations) for agent in seen.agents if agent.held]
    claims = {one.id for one in found}
    found += [
        _unstarted(one, seen, known, durations) for one in unstarted.find(seen.home) if one.typed.claim not in claims
    ]
    claims |= {one.id for one in found}
    found += [_of_row(row, durations) for row in known.values() if row.id not in claims]
    return sorted(found, key=lambda one: (one.started_at or "9", one.id))


def of(home: Path, agent_id: str, durations: Durations) -> AtWork | None:
    """Return what one agent has in hand, None where it has nothing (any more)."""
    agent = overview.agent(home, agent_id)
    return _of_agent(agent, agent.held, {}, durations) if agent.held else None


class Durations:
    """How long the successes of a project took before; each question is asked once."""

    def __init__(self, reader: StoreReader | None) -> None:
        self._reader = reader
        self.of = lru_cache(maxsize=None)(self._of)

    def _of(self, project: str, role: str) -> Sequence[float]:
        """Return those of the role, or of the project where the role has too few."""
        if self._reader is None or not project:
            return ()
        of_role = self._reader.durations(project, role) if role else []
        return of_role if len(of_role) >= progress.LEAST else self._reader.durations(project)


def _live(reader: StoreReader | None) -> dict[str, Execution]:
    return {one.id: one for one in reader.live()} if reader is not None else {}


def _of_agent(agent: Agent, held: Held, known: Mapping[str, Execution], durations: Durations) -> AtWork:
    row = known.get(held.claim)
    run = agent.run if agent.run and agent.run.is_alive else None
    cost, is_whole = so_far(RunDirectory(run.path)) if run else (0.0, True)
    project = row.project if row else str(held.workspace.repository) if held.workspace else ""
    where = stage(agent, held)
    estimate = UNKNOWN
    if where not in (INTERRUPTED, ELSEWHERE):
        elapsed = seconds_since((row.started_at if row else "") or held.locked_at)
        estimate = progress.estimate(elapsed, durations.of(project, held.task.role))
    return AtWork(
        id=held.claim,
        task_id=held.task.id,
        title=held.task.title,
        agent_id=held.agent_id,
        project=project,
        stage=where,
        role=held.task.role,
        attempt=held.attempt,
        started_at=held.locked_at,
        model=model_of(held, agent.run),
        cost_usd=held.spent_usd + cost,
        is_whole_cost=is_whole,
        estimate=estimate,
        agent=agent,
        run=run,
    )


def stage(agent: Agent, held: Held) -> str:
    """Return in a word where a task in hand is; only what lives is said to run."""
    if agent.run is not None and agent.run.is_alive:
        return STAGES[Phase.RUNNING] if held.phase is Phase.SPAWNING else STAGES[held.phase]
    if agent.is_elsewhere:
        return ELSEWHERE
    if agent.runner is None:
        return INTERRUPTED
    if held.phase in BEFORE_AGENT and held.not_before > time.time():
        return "waiting"
    return "judging" if held.phase is Phase.RUNNING else STAGES[held.phase]


def so_far(run: RunDirectory) -> tuple[float, bool]:
    """Return what a running agent has cost by the end of its output, in USD, and whether that is all of it."""
    try:
        lines = execution_log.tail(run.out, lines=1_000_000, limit_bytes=OUT_BYTES)
        is_whole = run.out.stat().st_size <= OUT_BYTES
    except (NotFound, OSError):
        return 0.0, True
    from components.claude_stream import ClaudeListener  # where no agent lives it is not needed, and takes 5 ms to load

    listener = ClaudeListener()
    for line in lines:
        listener.hear(line)
    return listener.progress().cost_usd, is_whole


def model_of(held: Held, run: Run | None) -> str:
    """Return the model that an execution uses, by its verdict or by its agent's command line; "" for none."""
    if held.verdict is not None and held.verdict.model:
        return held.verdict.model
    try:
        argv = json.loads(text_file.read(run.path / "spec.json", limit=SPEC_BYTES).text)["argv"] if run else []
        return str(argv[argv.index("--model") + 1])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""


def _unstarted(one: Unstarted, seen: Overview, known: Mapping[str, Execution], durations: Durations) -> AtWork:
    """Return a typed task of which no journal tells; a run of it that lives tells as much."""
    typed = one.typed
    run = next((run for run in seen.strays if run.held and run.held.claim == typed.claim), None)
    agent = next((agent for agent in seen.agents if agent.agent_id == typed.agent_id), None)
    if run is not None and run.held is not None:
        found = replace(overview.agent(seen.home, typed.agent_id), held=run.held, run=run)
        return _of_agent(found, run.held, known, durations)
    return AtWork(
        id=typed.claim,
        task_id=typed.task.id,
        title=typed.task.title,
        agent_id=typed.agent_id,
        project=str(typed.repository),
        stage=one.stage,
        role=typed.task.role,
        started_at=typed.task.created_at,
        agent=agent,
        waiter=one.waiter,
    )


def _of_row(row: Execution, durations: Durations) -> AtWork:
    """Return what only the history tells: an execution of another machine, or one about to end."""
    elapsed = seconds_since(row.started_at)
    return AtWork(
        id=row.id,
        task_id=row.task_id,
        title=row.title,
        agent_id=row.agent_id,
        project=row.project,
        stage=str(row.status),
        role=row.role,
        attempt=row.attempt,
        started_at=row.created_at,
        model=row.model,
        cost_usd=row.cost_usd,
        estimate=progress.estimate(elapsed, durations.of(row.project, row.role)) if row.started_at else UNKNOWN,
    )


def seconds_since(text: str) -> float:
    """Return how long ago a time (ISO 8601) was, in seconds; -1 for none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return -1.0
    return max(0.0, (datetime.now(UTC) - moment.astimezone(UTC)).total_seconds())
