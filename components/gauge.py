"""The limits of a run that are numbers, and how much of each is used."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from components import spending, vital_signs
from components.model import Held, Progress
from components.run_directory import Limits, RunDirectory
from components.states import Reason
from components.tools import Tools

MEMORY_SECONDS = 5.0
"""How often to add up memory: a look at all processes of the machine takes some milliseconds."""
NEAR_SECONDS = 0.5
"""How often, where it grows so fast that the limit might be met before the next look."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One limit: its setting, its value, and how much of it is used.

    `reason` is why the agent is ended beyond it. `is_shims` says that the shim ends it: the runner does only where that
    was killed.
    """

    setting: str
    limit: float
    used: Callable[[Progress], float]
    show: Callable[[float], str]
    reason: Reason
    is_shims: bool = False

    def words(self, used: float) -> str:
        """Return how much is used, for people."""
        return f"{self.show(used)} of {self.show(self.limit)} ({self.setting})"


def gauges(run: RunDirectory, held: Held, tools: Tools) -> Iterator[Gauge]:
    """Yield the limits that are set for a run."""
    config = tools.config
    shims = run.limits() or Limits(config.claude_timeout, output_bytes=config.output_limit)
    age, printed = (lambda _: vital_signs.age(run)), (lambda _: _size(run.out) + _size(run.err))
    yield Gauge("claude_timeout", shims.timeout, age, _seconds, Reason.TIMED_OUT, is_shims=True)
    yield Gauge("output_limit", shims.output_bytes, printed, _megabytes, Reason.OUTPUT_LIMIT, is_shims=True)
    if config.memory_limit is not None:
        memory = _Memory(run, config.memory_limit)
        yield Gauge("memory_limit", config.memory_limit, memory.used, _megabytes, Reason.MEMORY_LIMIT)
    if config.max_turns is not None:
        yield Gauge("max_turns", config.max_turns, lambda told: told.turns, _turns, Reason.BUDGET_EXHAUSTED)
    budgets = spending.budgets(tools, held.task)
    if budgets:
        name = min(budgets, key=lambda name: budgets[name])
        yield Gauge(name, budgets[name], lambda told: told.cost_usd, _dollars, Reason.BUDGET_EXHAUSTED)


class _Memory:
    """The memory of a run, added up every so often."""

    def __init__(self, run: RunDirectory, limit: float) -> None:
        self._run = run
        self._enough = spending.WARN_AT * limit
        self._next_at = 0.0
        self._seen_at = self._rate = 0.0
        self._used = 0

    def used(self, _told: Progress) -> float:
        now = time.monotonic()
        if now >= self._next_at:
            before, self._used = self._used, vital_signs.memory(self._run, self._enough)
            rest = self._rest((self._used - before) / (now - self._seen_at)) if self._seen_at else NEAR_SECONDS
            self._seen_at, self._next_at = now, now + min(MEMORY_SECONDS, max(NEAR_SECONDS, rest))
        return self._used

    def _rest(self, rate: float) -> float:
        """Return how long to rest: half of the time in which it would come near to its limit, at its rate of growth.

        What has just grown may grow again, though it did not between two looks, or shares are told apart since.
        """
        self._rate = max(rate, self._rate / 2)
        left = max(0.0, self._enough - self._used)
        return left / self._rate / 2 if self._rate > 0 else MEMORY_SECONDS


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.lstat().st_size
    return 0


def _seconds(number: float) -> str:
    return f"{number:.6g} s"


def _megabytes(number: float) -> str:
    return f"{number / 1e6:.6g} MB"


def _dollars(number: float) -> str:
    return f"${number:.4g}"


def _turns(number: float) -> str:
    return f"{number:.0f} turns"
