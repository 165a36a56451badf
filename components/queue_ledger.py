"""The entries of the queue as DBOS keeps them: JSON only, quiet, for those who tell and those who look.

Why insides at all: DBOS looks for work by a timer of its own that nothing can wake, hands what a dead worker had to
nobody (without its vendor's service), and knows no limit over several queues. Its statements for claiming, handing back
and recording are used as they are; when to claim is ours. `check_insides` tells a release that differs.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from components.errors import ConfigError
from components.ports import QueueEntry
from components.queue_database import SCHEMA, QueueDatabase

logger = logging.getLogger(__name__)

QUEUE = "agents"
APPLICATION = "agent-runner"
FORMAT = "agents-1"
"""The format of an entry. Workers take those they know; an older worker leaves a newer format alone."""
KNOWN_FORMATS = (FORMAT,)
QUIET_SECONDS = 60.0
CLOCK_SECONDS = 1.0
"""How much a machine's clock may differ from the database's before the order of entries is set right."""
PRIORITY_LIMIT = 2**31 - 1
PERFORM = "perform"
FIRE = "fire"
ANY_ROLE = "-"
"""The partition of entries that name no role."""
INSIDES = (
    "init_workflows",
    "start_queued_workflows",
    "get_workflow_statuses",
    "update_workflow_outcome",
    "reenqueue_for_recovery",
    "run_migrations",
)


@dataclass(frozen=True, slots=True)
class State:
    """What the queue says of an entry: `owner` is the life of the worker that has it, or had it."""

    status: str
    owner: str | None


class Quiet(logging.Handler):
    """Passes on what DBOS says: a warning a minute. In an outage it says the same a hundred times a second."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, unless another was shown within the minute."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + QUIET_SECONDS
            logger.info("the queue: %s", " ".join(record.getMessage().split())[:300])


def prepared() -> Any:
    """Return the module `dbos`, quiet, and unable to unpickle. Raises ConfigError where it is missing or differs."""
    try:
        import dbos
    except ModuleNotFoundError as error:
        remedy = "pip install 'advanced-agent-runner[queue]'"
        raise ConfigError(f"{error.name} is not installed; run: {remedy}") from error
    _check_insides()
    dbos_logger = logging.getLogger("dbos")
    if not any(isinstance(one, Quiet) for one in dbos_logger.handlers):
        dbos_logger.handlers = [Quiet()]
        dbos_logger.propagate = False
    dbos_logger.setLevel(logging.WARNING)
    _refuse_pickle()
    return dbos


def _check_insides() -> None:
    from importlib.metadata import version

    from dbos import _core, _queue, _sys_db

    wanted: list[tuple[object, str]] = [(_sys_db.SystemDatabase, name) for name in INSIDES]
    wanted += [(_core, "execute_dequeued_workflow"), (_queue, "_INTERNAL_QUEUE_CONSTRUCTION")]
    missing = [name for owner, name in wanted if not hasattr(owner, name)]
    if missing:
        raise ConfigError(f"dbos {version('dbos')} has no {', '.join(missing)}; run: pip install 'dbos>=3.4,<3.5'")


def _refuse_pickle() -> None:
    """Whatever a row says of itself: nothing in the database may run as code here."""
    from dbos._serialization import DefaultSerializer

    def refuse(_: object, _text: str) -> Any:
        raise ValueError("the queue holds no pickles; this row was not made by a runner")

    setattr(DefaultSerializer, "deserialize", refuse)  # noqa: B010


class Ledger:
    """The entries in the database, for those who tell and those who take. Raises StoreUnavailable, as the database."""

    def __init__(self, database: QueueDatabase) -> None:
        self.database = database
        self._dbos = prepared()
        self._client = self._dbos.DBOSClient(
            system_database_engine=database.engine,
            dbos_system_schema=SCHEMA,
            serializer=self._dbos.DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    def make_tables(self) -> None:
        """Make or move on the tables; one process at a time does it, which the migrations see to themselves."""
        with self._translated():
            self._client._sys_db.run_migrations()
        self.database.make_table()

    def enter(self, entries: Sequence[QueueEntry]) -> None:
        """Make entries durable, all or none; one whose key is there already changes nothing."""
        with self._translated():
            entered = self._client._sys_db.init_workflows([self._status(entry) for entry in entries])
        self._set_right(entered)

    def _status(self, entry: QueueEntry) -> dict[str, Any]:
        """Return an entry as DBOS stores it. Its own check of priorities refuses 0; the column takes any number."""
        _, status = self._client._build_enqueue_status(_options(entry), *arguments(entry))
        return {**status, "priority": max(-PRIORITY_LIMIT, min(entry.priority, PRIORITY_LIMIT))}

    def _set_right(self, keys: Collection[str]) -> None:
        """Give new entries their turn by the database's clock, where ours differs: DBOS takes ours."""
        ((now,),) = self.database.rows("SELECT {now}")
        ahead = time.time() - float(now)
        if keys and abs(ahead) > CLOCK_SECONDS:
            self.database.rows(
                "UPDATE {prefix}workflow_status SET created_at = created_at - :ahead WHERE workflow_uuid IN :keys",
                ahead=int(1000 * ahead),
                keys=list(keys),
            )

    def cancel(self, key: str) -> None:
        """Mark an attempt cancelled, unless it has ended; it may have been entered as an earlier one of its agent."""
        agent_id, _, attempt = key.rpartition(":")
        with self._translated():
            self._client.cancel_workflows([f"{agent_id}:{number}" for number in range(1, int(attempt) + 1)])

    def states(self, keys: Sequence[str]) -> dict[str, State]:
        """Return what the queue says of some entries; one that is not there is missing."""
        found = self.database.rows(
            "SELECT workflow_uuid, status, executor_id FROM {prefix}workflow_status WHERE workflow_uuid IN :keys",
            keys=list(keys),
        )
        return {key: State(status, owner) for key, status, owner in found}

    def waiting(self, limit: int, roles: Sequence[str], without: Sequence[str] = ()) -> list[str]:
        """Return the roles of the entries whose turn is next, in their order; no `roles` are all of them."""
        chosen = "AND queue_partition_key IN :roles" if roles else ""
        refused = "AND queue_partition_key NOT IN :without" if without else ""
        found = self.database.rows(
            "SELECT queue_partition_key FROM {prefix}workflow_status WHERE queue_name = :queue"  # noqa: S608
            " AND status = 'ENQUEUED' AND status IN ('ENQUEUED', 'PENDING') AND application_version IN :formats"
            f" {chosen} {refused} ORDER BY priority, created_at LIMIT :limit",
            queue=QUEUE,
            formats=list(KNOWN_FORMATS),
            limit=limit,
            **({"roles": list(roles)} if roles else {}),
            **({"without": list(without)} if without else {}),
        )
        return [role for (role,) in found]

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many entries wait (`ENQUEUED`) and are with workers (`PENDING`), by status and role."""
        found = self.database.rows(
            "SELECT status, queue_partition_key, count(*) FROM {prefix}workflow_status WHERE queue_name = :queue"
            " AND status IN ('ENQUEUED', 'PENDING') GROUP BY status, queue_partition_key",
            queue=QUEUE,
        )
        return {(status, role): count for status, role, count in found}

    def owners(self) -> set[str]:
        """Return the lives that have something in hand."""
        found = self.database.rows(
            "SELECT DISTINCT executor_id FROM {prefix}workflow_status WHERE status = 'PENDING'"
            " AND executor_id IS NOT NULL"
        )
        return {owner for (owner,) in found}

    def in_hand(self, life: str) -> list[str]:
        """Return the keys of what a life has in hand."""
        found = self.database.rows(
            "SELECT workflow_uuid FROM {prefix}workflow_status WHERE status = 'PENDING' AND executor_id = :life",
            life=life,
        )
        return [key for (key,) in found]

    def give_back(self, life: str, keys: Sequence[str]) -> int:
        """Let entries wait again, each as the next attempt, if the life still has them; return how many had it so.

        The statement's own condition makes it safe: of several who judge the same life dead, one is obeyed.
        """
        with self._translated():
            return sum(self._client._sys_db.reenqueue_for_recovery(key, [life], QUEUE) for key in keys)

    def forget(self, older_than: float) -> int:
        """Delete what ended so many seconds ago, a thousand at a time, and return how many that were."""
        found = self.database.rows(
            "SELECT workflow_uuid FROM {prefix}workflow_status WHERE completed_at IS NOT NULL"
            " AND completed_at < 1000 * ({now} - :age) ORDER BY completed_at LIMIT 1000",
            age=older_than,
        )
        with self._translated():
            self._client.delete_workflows([key for (key,) in found])
        return len(found)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            raise self.database.by_name(error) from error

    def close(self) -> None:
        """Let go of the client; the database's connections are its owner's."""
        self._client.destroy()


def arguments(entry: QueueEntry) -> tuple[str, int, str, int]:
    """Return an entry as it is stored. Another form needs another FORMAT."""
    return (entry.agent_id, entry.attempt, entry.role, entry.priority)


def _options(entry: QueueEntry) -> dict[str, Any]:
    return {
        "workflow_name": PERFORM,
        "queue_name": QUEUE,
        "workflow_id": entry.key,
        "app_version": FORMAT,
        "queue_partition_key": entry.role or ANY_ROLE,
    }
