"""Recurring tasks: each firing of a schedule is made once, however many workers there are."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from components.errors import ConfigError, StoreUnavailable
from components.ports import AgentQueue, Performer, QueueEntry
from components.queue_ledger import PREFIX
from components.schedule_kind import Schedule

if TYPE_CHECKING:
    from components.queue_claims import Claims

logger = logging.getLogger(__name__)


@runtime_checkable
class Recurring(Protocol):
    """A performer that can make what a schedule asks for."""

    def recur(self, schedule: Schedule, firing: str) -> Collection[QueueEntry]:
        """Record what a schedule asks for at the time `firing` (ISO 8601, UTC), and return what to enqueue.

        The same firing may be asked for again, after a crash: it returns the same entries.
        """
        ...


class Schedules:
    """The schedules of a worker's configuration, None for no word of them. The last worker's are in force."""

    def __init__(self, schedules: Mapping[str, Schedule] | None, performer: Performer, queue: AgentQueue) -> None:
        """Raises ConfigError for a cron expression that means nothing, and where the performer makes nothing recur."""
        if schedules and not isinstance(performer, Recurring):
            raise ConfigError("schedules: this worker performs nothing that recurs; take them out")
        for name, one in (schedules or {}).items():
            _check(name, one.cron)
        self._schedules = schedules
        self._performer = performer
        self._queue = queue

    def apply(self, claims: Claims) -> None:
        """Bring the database's schedules in line with ours; one who says nothing of them leaves all as they are."""
        if self._schedules is not None:
            claims.schedule({PREFIX + name: (one.cron, asdict(one)) for name, one in self._schedules.items()}, PREFIX)

    def fire(self, context: Mapping[str, str], firing: str) -> None:
        """Make what a schedule asks for now; it may be another worker's. An absent store is waited for, two minutes."""
        if not isinstance(self._performer, Recurring):
            raise ConfigError("this worker performs nothing that recurs")
        schedule = Schedule(**context)
        for attempt in Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait_fixed(5),
            stop=stop_after_delay(120),
            reraise=True,
        ):
            with attempt:
                entries = self._performer.recur(schedule, firing)
                self._queue.enqueue(entries)
        logger.info("schedule %s fired for %s: %d entries", schedule.name, firing, len(entries))


def next_firing(cron: str) -> str:
    """Return when a schedule fires next, in UTC."""
    from croniter import croniter  # type: ignore[import-untyped]

    found: datetime = croniter(cron, datetime.now(UTC), second_at_beginning=True).get_next(datetime)
    return found.isoformat(timespec="seconds")


def _check(name: str, cron: str) -> None:
    from croniter import croniter

    try:
        croniter(cron, second_at_beginning=True).get_next()
    except ValueError as error:
        remedy = "write one such as '30 2 * * 1-5'"
        raise ConfigError(f"schedules.{name}.cron = {cron!r}: it never fires ({error}); {remedy}") from error
