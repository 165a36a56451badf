"""The queue that agents wait in, on DBOS: one code path for one machine (a file) and for many (PostgreSQL).

Who only tells (the service, the command line) opens it without a performer, and needs no worker on its machine.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from components import __version__, doorbell
from components.config import Config
from components.errors import ConfigError, NotFound, StoreUnavailable
from components.ports import AgentQueue, Performer, QueueEntry
from components.queue_claims import Claims
from components.queue_database import QueueDatabase, WorkerRow, refusal, url_of
from components.queue_ledger import ANY_ROLE, Ledger
from components.queue_worker import QueueWorker, Terms
from components.schedules import Schedules

logger = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_SECONDS = 1.0
LEAVE_SECONDS = 5.0
"""How long those who perform have to let go."""


class DbosQueue:
    """An AgentQueue; `worker` is this process's own, if it has one. Closed by whoever opened it.

    Every method raises StoreUnavailable while the database is away.
    """

    def __init__(self, home: Path, ledger: Ledger) -> None:
        self._home = home
        self._ledger = ledger
        self.worker: QueueWorker | None = None

    def enqueue(self, entries: Collection[QueueEntry]) -> None:
        """Make entries durable, and wake workers on this machine; one that was told before changes nothing."""
        if entries:
            self._ledger.enter(list(entries))
            doorbell.ring(self._home)

    def cancel(self, key: str) -> None:
        """Have the worker that has an entry, wherever it is, stop it; one that waits is never begun."""
        self._ledger.cancel(key)
        doorbell.ring(self._home)

    def waiting(self) -> dict[str, int]:
        """Return how many entries wait, by role."""
        return self._count("ENQUEUED")

    def at_work(self) -> dict[str, int]:
        """Return how many entries are with workers, by role."""
        return self._count("PENDING")

    def workers(self) -> list[WorkerRow]:
        """Return the workers of all machines that were not forgotten, with when they were last heard."""
        return self._ledger.database.workers()

    def is_gone(self, worker: WorkerRow) -> bool:
        """Has a worker ended for certain? Only of those of this home on this machine the kernel tells."""
        if worker.host != doorbell.host() or doorbell.place_of(worker.life) != doorbell.place(self._home):
            return False
        return not doorbell.is_alive(self._home, worker.life)

    def schedules(self) -> dict[str, dict[str, str]]:
        """Return what recurs, by name: `cron` with `task` or `workflow`, and `role`."""
        return self._ledger.schedules()

    def withdraw(self, name: str) -> None:
        """Have a schedule fire no more. Raises NotFound."""
        known = self.schedules()
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise NotFound(f"there is no schedule {name[:80]!r}; in force are: {listed}")
        self._ledger.withdraw(name)

    def _count(self, status: str) -> dict[str, int]:
        return {
            "" if role == ANY_ROLE else role: count
            for (one, role), count in sorted(self._ledger.counts().items())
            if one == status
        }


def terms_of(config: Config) -> Terms:
    """Return what a worker of this configuration takes, and how often it looks."""
    on_server = not url_of(config).startswith("sqlite:")
    return Terms(
        name=config.worker_name or doorbell.host(),
        roles=config.worker_roles,
        concurrency=config.worker_concurrency,
        limit=config.queue_concurrency,
        role_limits={role: int(count) for role, count in config.role_concurrency.items()},
        poll=config.queue_poll_interval if on_server else config.poll_interval,
        ttl=config.worker_ttl,
    )


SHOWN = {"queue": "the queue's database", "store": "the store"}
"""The databases that a worker needs, by the setting that names each."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """How to wait for a database: `say` is told once, `rest` waits some seconds and tells whether to give up."""

    say: Callable[[str], None]
    rest: Callable[[float], bool]

    def until_there(self, database: QueueDatabase) -> None:
        is_told = False
        while not database.is_there():
            absent = f"the queue's database {database.shown} does not answer"
            if self.rest(0):
                raise StoreUnavailable(f"{absent}; start it, or correct `queue`")
            if not is_told:
                self.say(f"{absent}; waiting for it")
            is_told = True
            self.rest(RETRY_SECONDS)
        if is_told:
            self.say("the queue's database is there")

    def until_done(self, make: Callable[[], T], setting: str) -> T:
        """Return what is made, once the database of a setting lets it be; it may be begun several times."""
        is_told = False
        while True:
            try:
                made = make()
            except StoreUnavailable as error:
                if words := refusal(error):
                    refused = f"{SHOWN[setting]} refuses the connection ({words}); correct `{setting}`"
                    raise ConfigError(refused) from error
                if self.rest(0):
                    raise
                if not is_told:
                    self.say(f"{error}; waiting for it")
                is_told = True
                self.rest(RETRY_SECONDS)
            else:
                if is_told:
                    self.say(f"{SHOWN[setting]} is there")
                return made


@contextlib.contextmanager
def opened(
    config: Config,
    make_performer: Callable[[AgentQueue], Performer] | None = None,
    *,
    say: Callable[[str], None] = logger.warning,
    rest: Callable[[float], bool] | None = None,
) -> Iterator[DbosQueue]:
    """The queue, and with a performer a worker at it, as long as it is open.

    A worker waits for an absent database, the queue's and the one its performer needs, at whichever moment of its start
    they go away: `say` is told once of each wait, and `rest` waits some seconds and tells whether to give up. At the
    end the worker leaves, and what it has at work goes on for the next start, unless it was drained before.
    Raises ConfigError where DBOS is missing or a database refuses us, AgentIdInUse where the name is taken, and
    StoreUnavailable where nobody waits for them any more.
    """
    wait = _Wait(say, (rest or threading.Event().wait) if make_performer else lambda _: True)
    with contextlib.closing(QueueDatabase(url_of(config), 2 + config.worker_concurrency // 8)) as database:
        wait.until_there(database)
        with contextlib.closing(Ledger(database)) as ledger:
            wait.until_done(ledger.make_tables, "queue")
            queue = DbosQueue(config.home, ledger)
            if make_performer is None:
                yield queue
            else:
                performer = wait.until_done(lambda: make_performer(queue), "store")
                with _working(config, database, queue, performer, wait):
                    yield queue


@contextlib.contextmanager
def _working(
    config: Config, database: QueueDatabase, queue: DbosQueue, performer: Performer, wait: _Wait
) -> Iterator[None]:
    schedules = Schedules(config.schedules, performer, queue)
    queue.worker = worker = QueueWorker(config.home, database, performer, terms_of(config), __version__)
    wait.until_done(worker.sign_in, "queue")
    with contextlib.closing(Claims(database, worker.life, worker.perform, schedules.fire)) as claims:
        worker.claims = claims
        try:
            wait.until_done(claims.launch, "queue")
            wait.until_done(lambda: schedules.apply(claims), "queue")
            worker.start()
            yield
        finally:
            if not worker.is_idle:
                worker.leave()
                _let_go(worker)
            worker.close()


def _let_go(worker: QueueWorker) -> None:
    """Wait a moment for those who perform."""
    deadline = time.monotonic() + LEAVE_SECONDS
    while not worker.is_idle and time.monotonic() < deadline:
        threading.Event().wait(0.05)
