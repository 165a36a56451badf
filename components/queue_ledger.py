"""The entries of the queue as DBOS keeps them, for those who tell and those who look."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from components import queue_dbos
from components.ports import QueueEntry
from components.queue_database import SCHEMA, QueueDatabase

QUEUE = "agents"
APPLICATION = "agent-runner"
FORMAT = "agents-1"
"""The format of an entry. Workers take those they know; an older worker leaves a newer format alone."""
KNOWN_FORMATS = (FORMAT,)
CLOCK_SECONDS = 1.0
"""How much a machine's clock may differ from the database's before the order of entries is set right."""
PRIORITY_LIMIT = 2**31 - 1
BATCH = 500
PERFORM = "perform"
PREFIX = "schedule-"
"""What the names of our schedules begin with, so that no other one of the database is touched."""
ANY_ROLE = "-"
"""The partition of entries that name no role."""


@dataclass(frozen=True, slots=True)
class State:
    """What the queue says of an entry: `owner` is the life of the worker that has it, or had it."""

    status: str
    owner: str | None


class Ledger:
    """The entries in the database, for those who tell and those who take. Raises StoreUnavailable, as the database."""

    def __init__(self, database: QueueDatabase) -> None:
        self.database = database
        self._dbos = queue_dbos.prepared()
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
        """Make entries durable, some hundreds at a time; one whose key is there already changes nothing."""
        for start in range(0, len(entries), BATCH):
            with self._translated():
                statuses = [self._status(entry) for entry in entries[start : start + BATCH]]
                entered = self._client._sys_db.init_workflows(statuses)
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

    def schedules(self) -> dict[str, dict[str, str]]:
        """Return what recurs, by name, each as the worker that brought it had it."""
        with self._translated():
            found = self._client.list_schedules(schedule_name_prefix=PREFIX)
        return {str(one["schedule_name"]).removeprefix(PREFIX): dict(one["context"] or {}) for one in found}

    def withdraw(self, name: str) -> None:
        """Have a schedule fire no more."""
        with self._translated():
            self._client.delete_schedule(PREFIX + name)

    def owners(self) -> set[str]:
        """Return the lives that have something in hand, be it only to end it."""
        found = self.database.rows(
            "SELECT DISTINCT executor_id FROM {prefix}workflow_status WHERE status IN ('PENDING', 'CANCELLED')"
            " AND name = :perform AND executor_id IS NOT NULL",
            perform=PERFORM,
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
