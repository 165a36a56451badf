"""What Prometheus is told: counted here as it happens, or read from the history and this machine when it asks.

docs/api.md lists every name. Labels have few values each: no id, no path and no text of anybody's is one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from components import overview
from components.errors import RunnerError
from components.store_reader import StoreReader

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TOKENS = ("input", "output", "cache_read", "cache_write")
OUTCOMES = "SELECT door, status, reason, count(*) FROM executions GROUP BY door, status, reason"
DURATIONS = """SELECT role, status, count(*), sum(seconds) FROM executions
WHERE status IN ('succeeded', 'failed', 'cancelled') GROUP BY role, status"""
DURATION_BUCKETS = (60, 300, 900, 1800, 3600, 7200, 14400)
"""Seconds: from a quick answer to the longest that most people let an agent work."""
SPREAD = f"""SELECT {", ".join(f"sum(CASE WHEN seconds <= {limit} THEN 1 ELSE 0 END)" for limit in DURATION_BUCKETS)},
count(*), sum(seconds) FROM executions WHERE status IN ('succeeded', 'failed', 'cancelled')"""  # noqa: S608
ATTEMPTS = "SELECT coalesce(sum(attempt - 1), 0) FROM executions"
ADOPTED = "SELECT count(*) FROM transitions WHERE before = 'interrupted'"
OLDEST = "SELECT min(created_at) FROM executions WHERE status = 'pending'"
BOARD = "SELECT status, count(*) FROM board_tasks GROUP BY status"
BOARD_OLDEST = "SELECT min(updated_at) FROM board_tasks WHERE status = 'todo'"
MODELS = """SELECT model, sum(usd), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
sum(cache_write_tokens) FROM spend GROUP BY model ORDER BY sum(usd) DESC LIMIT 50"""


class Meters:
    """All metrics of one process."""

    def __init__(self, home: Path, reader: StoreReader, *, has_api: bool = True) -> None:
        self.registry = CollectorRegistry()
        self._readings = Readings(home, reader)
        self.registry.register(self._readings)
        self._replaced = Counter(
            "agent_runner_runners_replaced",
            "Runners started for executions that had lost theirs.",
            registry=self.registry if has_api else None,
        )
        self._latency = (
            Histogram(
                "agent_runner_request_seconds",
                "How long requests to the API took.",
                ("method", "route", "status"),
                buckets=BUCKETS,
                registry=self.registry,
            )
            if has_api
            else None
        )

    def replaced(self, *, is_known: bool) -> None:
        """Count a runner that was started for an execution which had lost its own.

        Of one that `is_known` as interrupted the history tells that it was taken up again; of others nothing does.
        """
        self._replaced.inc()
        self._readings.adopted += not is_known

    def took(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        if self._latency is not None:
            self._latency.labels(method, route, str(status)).observe(seconds)

    def text(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return generate_latest(self.registry)


class Readings(Collector):
    """Reads the history and this machine each time that somebody asks.

    `adopted` counts what was taken up again by this process before the history could tell of an interruption.
    """

    def __init__(self, home: Path, reader: StoreReader) -> None:
        self._home = home
        self._reader = reader
        self.adopted = 0

    def describe(self) -> Iterable[Metric]:
        """Return nothing: nobody is to ask before the store is there."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield what there is; where the store does not answer, what is known without it."""
        yield from self._machine()
        is_up = GaugeMetricFamily("agent_runner_store_up", "Whether the store of the history answers.")
        try:
            found = [*self._outcomes(), *self._queue(), *self._spend()]
        except RunnerError:
            is_up.add_metric([], 0)
            found = []
        else:
            is_up.add_metric([], 1)
        yield is_up
        yield from found

    def _machine(self) -> Iterator[Metric]:
        seen = overview.look(self._home)
        agents = GaugeMetricFamily("agent_runner_agents", "Agents by what they do.", labels=["state"])
        at_work = sum(one.held is not None and one.runner is not None for one in seen.agents)
        up = sum(one.runner is not None for one in seen.agents)
        orphaned = sum(one.held is not None and one.runner is None and not one.is_elsewhere for one in seen.agents)
        for state, count in (("working", at_work), ("idle", up - at_work), ("without_runner", orphaned)):
            agents.add_metric([state], count)
        yield agents
        ages = [_age(one.held.locked_at) for one in seen.agents if one.held is not None]
        yield _gauge(
            "agent_runner_lock_age_seconds_max", "How long the oldest task in hand is held.", max(ages, default=0)
        )
        yield _gauge("agent_runner_locks", "Tasks in hand.", len(ages))
        yield _gauge("agent_runner_strays", "Living runs that no journal names.", len(seen.strays))
        yield _gauge("agent_runner_refused_reports", "Reports that the queue's server refused.", len(seen.letters))

    def _outcomes(self) -> Iterator[Metric]:
        executions = GaugeMetricFamily(
            "agent_runner_executions", "Executions by how they stand or ended.", labels=["door", "status", "reason"]
        )
        hooks = 0
        for door, status, reason, count in self._ask(OUTCOMES):
            executions.add_metric([door, status, reason], count)
            hooks += count if reason in ("hook_rejected", "hook_postponed") else 0
        yield executions
        yield _counter("agent_runner_hook_failures", "Executions that a hook refused or put off.", hooks)
        took = CounterMetricFamily(
            "agent_runner_agent_seconds", "How long agents have worked, by role and end.", labels=["role", "status"]
        )
        ended = CounterMetricFamily("agent_runner_ended", "Executions that are over.", labels=["role", "status"])
        for role, status, count, seconds in self._ask(DURATIONS):
            took.add_metric([role, status], seconds or 0.0)
            ended.add_metric([role, status], count)
        yield took
        yield ended
        yield self._spread()
        yield _counter("agent_runner_restarts", "Attempts after the first.", self._ask(ATTEMPTS)[0][0])
        yield _counter(
            "agent_runner_adopted",
            "Executions taken up again after their runner was gone. Those that the history cannot tell of are counted"
            " since this process began.",
            self._ask(ADOPTED)[0][0] + self.adopted,
        )

    def _spread(self) -> Metric:
        """Return how long agents have worked, as a histogram."""
        *counts, total, seconds = self._ask(SPREAD)[0]
        spread = HistogramMetricFamily("agent_runner_execution_seconds", "How long the agents of an execution worked.")
        limits = [f"{limit}.0" for limit in DURATION_BUCKETS]
        buckets = [(limit, float(count or 0)) for limit, count in zip(limits, counts, strict=True)]
        spread.add_metric([], [*buckets, ("+Inf", float(total))], float(seconds or 0.0))
        return spread

    def _queue(self) -> Iterator[Metric]:
        board = GaugeMetricFamily("agent_runner_board_tasks", "Tasks of the board.", labels=["status"])
        for status, count in self._ask(BOARD):
            board.add_metric([status], count)
        yield board
        oldest = [_age(rows[0][0]) for rows in (self._ask(OLDEST), self._ask(BOARD_OLDEST)) if rows and rows[0][0]]
        yield _gauge(
            "agent_runner_queue_age_seconds", "How long the oldest waiting task waits.", max(oldest, default=0)
        )

    def _spend(self) -> Iterator[Metric]:
        cost = CounterMetricFamily("agent_runner_cost_usd", "What runs have cost.", labels=["model"])
        tokens = CounterMetricFamily("agent_runner_tokens", "Tokens that runs have used.", labels=["model", "kind"])
        for model, usd, *counts in self._ask(MODELS):
            cost.add_metric([model], float(usd))
            for kind, count in zip(TOKENS, counts, strict=True):
                tokens.add_metric([model, kind], float(count))
        yield cost
        yield tokens

    def _ask(self, question: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._reader.rows((question, {}))]


def _gauge(name: str, meaning: str, value: float) -> Metric:
    found = GaugeMetricFamily(name, meaning)
    found.add_metric([], value)
    return found


def _counter(name: str, meaning: str, value: float) -> Metric:
    found = CounterMetricFamily(name, meaning)
    found.add_metric([], value)
    return found


def _age(moment: str) -> float:
    """Return how long ago a time (ISO 8601) was, in seconds; 0 where it cannot be read."""
    try:
        return max(0.0, time.time() - datetime.fromisoformat(moment).timestamp())
    except (ValueError, TypeError):
        return 0.0
