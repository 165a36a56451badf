"""Takes entries out of the queue and begins them, as the one DBOS of this process."""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from components import durable, store_url
from components.errors import StoreUnavailable
from components.ports import QueueEntry
from components.queue_database import SCHEMA, QueueDatabase
from components.queue_ledger import APPLICATION, FORMAT, KNOWN_FORMATS, PERFORM, QUEUE, Ledger

if TYPE_CHECKING:
    from dbos._sys_db import WorkflowStatusInternal

logger = logging.getLogger(__name__)

FIRE = "fire"
LISTENER_SECONDS = 1.0
"""How often DBOS looks for messages between workflows: we send none, but it ends no sooner than it looks."""


class LeftAlone(BaseException):
    """Ends a performance without an outcome: the entry stays as it is. No `Exception`: DBOS would record that."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Entries that are ours by a token, and not begun yet."""

    keys: tuple[str, ...]
    owner: str


class Claims(Ledger):
    """The ledger of a process that also takes entries. There is one in a process: DBOS allows no more.

    `perform` is told the key of an entry, and the entry as this attempt at it. `fire` is told the context of a
    schedule and the time that it fires for.
    """

    def __init__(
        self,
        database: QueueDatabase,
        life: str,
        perform: Callable[[str, QueueEntry], None],
        fire: Callable[[Mapping[str, str], str], None],
    ) -> None:
        super().__init__(database)
        self.life = life
        self._perform = perform
        self._fire = fire
        self._running: Any = None

    def launch(self) -> None:
        """Start DBOS, once more where the database went away meanwhile."""
        self._end()
        with self._translated():
            self._launch()

    def _launch(self) -> None:
        """The life is DBOS's executor id: new in each process, so that it takes nothing up by itself."""
        dbos = self._dbos
        self._running = dbos.DBOS(
            config={
                "name": APPLICATION,
                "system_database_engine": self.database.engine,
                "system_database_url": "sqlite:///engine.db" if self.database.is_file else "postgresql://server/queue",
                "dbos_system_schema": SCHEMA,
                "executor_id": self.life,
                "application_version": FORMAT,
                "serializer": dbos.DBOSPortableJSONSerializer(),
                "log_level": "WARNING",
                "use_listen_notify": False,
                "notification_listener_polling_interval_sec": LISTENER_SECONDS,
            }
        )
        dbos.DBOS.workflow(name=PERFORM, max_recovery_attempts=None)(self._body())
        self.firing = dbos.DBOS.workflow(name=FIRE, max_recovery_attempts=None)(self._firing_body())
        dbos.DBOS.listen_queues([])
        dbos.DBOS.launch()

    def _body(self) -> Callable[[str, int, str, int, int], None]:
        def perform(agent_id: str, attempt: int, role: str, priority: int, lost: int) -> None:
            entry = QueueEntry(agent_id, attempt + lost, role, priority, lost)
            self._perform(str(self._dbos.DBOS.workflow_id), entry)

        return perform

    def _firing_body(self) -> Callable[[str, Any], None]:
        def fire(scheduled_at: str, context: Any) -> None:
            self._fire(context, scheduled_at)

        return fire

    def claim(self, role: str, count: int, limit: int | None, role_limit: int | None) -> Claim:
        """Take up to so many of a role's entries, the next ones first.

        `limit` and `role_limit` are how many may be with all workers together. Others who claim under a limit at the
        same moment may leave us empty-handed; the next look will do.
        """
        from dbos import _queue

        queue = _queue.Queue(
            QUEUE,
            worker_concurrency=count,
            global_concurrency=limit,
            partition_concurrency=role_limit,
            token=_queue._INTERNAL_QUEUE_CONSTRUCTION,
        )
        owner = uuid.uuid4().hex
        keys: list[str] = []
        with self._alone(has_limit=limit is not None or role_limit is not None):
            for version in KNOWN_FORMATS:
                keys += self._claimed(queue, version, role, len(keys), owner)
        return Claim(tuple(keys), owner)

    def _alone(self, *, has_limit: bool) -> contextlib.AbstractContextManager[object]:
        """Have nobody else claim from a file under a limit: DBOS counts there before it has the file's lock."""
        file = store_url.file_of(self.database.url)
        if file is None or not has_limit:
            return contextlib.nullcontext()
        return durable.locked(file.with_name(f"{file.name}.claims"))

    def _claimed(self, queue: Any, version: str, role: str, taken: int, owner: str) -> list[str]:
        system = self._client._sys_db
        try:
            keys, _ = system.start_queued_workflows(queue, self.life, version, role, taken, owner_xid=owner)
        except sa.exc.DBAPIError as error:
            if system.is_lock_conflict(error) or system.is_serialization_conflict(error):
                return []
            raise self.database.by_name(error) from error
        return list(keys)

    def adopt(self, life: str) -> Claim:
        """Take all that a dead life of this place had in hand, as it is: the attempt goes on."""
        owner = uuid.uuid4().hex
        found = self.database.rows(
            "UPDATE {prefix}workflow_status SET executor_id = :own, owner_xid = :owner"
            " WHERE status = 'PENDING' AND executor_id = :life RETURNING workflow_uuid",
            own=self.life,
            owner=owner,
            life=life,
        )
        return Claim(tuple(key for (key,) in found), owner)

    def adopt_cancelled(self, life: str) -> dict[str, QueueEntry]:
        """Take the entries that a dead life had when somebody wanted their end, and return them by their keys.

        Each goes to one of those who ask.
        """
        had = "status = 'CANCELLED' AND name = :perform AND executor_id = :life"
        chosen = {"perform": PERFORM, "life": life}
        rows = self.database.rows(f"SELECT workflow_uuid FROM {{prefix}}workflow_status WHERE {had}", **chosen)  # noqa: S608
        with self._translated():
            statuses = self._client._sys_db.get_workflow_statuses([key for (key,) in rows])
        entries = {status["workflow_uuid"]: _entry_of(status) for status in statuses}
        ours = self.database.rows(
            f"UPDATE {{prefix}}workflow_status SET executor_id = :own WHERE {had} RETURNING workflow_uuid",  # noqa: S608
            own=self.life,
            **chosen,
        )
        return {key: entries[key] for (key,) in ours if key in entries}

    def let_go(self, key: str) -> None:
        """Have nobody look after a cancelled entry any more: its agent's end is recorded.

        Where the database is away, whoever takes it over finds that out.
        """
        with contextlib.suppress(StoreUnavailable):
            self.database.rows(
                "UPDATE {prefix}workflow_status SET executor_id = NULL"
                " WHERE workflow_uuid = :key AND status = 'CANCELLED' AND executor_id = :own",
                key=key,
                own=self.life,
            )

    def begin(self, claim: Claim) -> set[str]:
        """Have each entry of a claim performed, in a thread of its own, and return the keys for which that is so.

        Raises StoreUnavailable before the first.
        """
        from dbos import _core

        with self._translated():
            statuses = self._client._sys_db.get_workflow_statuses(list(claim.keys))
        begun = set()
        for status in statuses:
            try:
                _core.execute_dequeued_workflow(self._running, _with_losses(status), claim.owner)
            except Exception:
                logger.exception("%s is no entry of ours; it is marked as failed", status["workflow_uuid"])
                self._refuse(status["workflow_uuid"], claim.owner)
            else:
                begun.add(status["workflow_uuid"])
        return begun

    def _refuse(self, key: str, owner: str) -> None:
        reason = json.dumps({"name": "StateForeign", "message": "no entry of a runner"})
        with self._translated():
            self._client._sys_db.update_workflow_outcome(key, "ERROR", error=reason, owner_xid=owner)

    def schedule(self, schedules: Mapping[str, tuple[str, Mapping[str, str]]], prefix: str) -> None:
        """Have schedules fire, each by its cron expression with its context; others of the prefix end.

        A firing has an id made of its schedule and its time: it is entered once, however many workers there are.
        """
        dbos = self._dbos.DBOS
        wanted = [
            {"schedule_name": name, "workflow_fn": self.firing, "schedule": cron, "context": dict(context)}
            for name, (cron, context) in schedules.items()
        ]
        with self._translated():
            for known in dbos.list_schedules(schedule_name_prefix=prefix):
                if known["schedule_name"] not in schedules:
                    dbos.delete_schedule(known["schedule_name"])
            dbos.apply_schedules(wanted)

    def close(self) -> None:
        """Stop DBOS. What is still performed keeps its thread and its entry."""
        self._end()
        super().close()

    def _end(self) -> None:
        if self._running is not None:
            self._running = None
            self._dbos.DBOS.destroy(destroy_registry=True)


def _entry_of(status: WorkflowStatusInternal) -> QueueEntry:
    agent_id, attempt, role, priority, lost = json.loads(_with_losses(status)["inputs"] or "")["positionalArgs"]
    return QueueEntry(agent_id, attempt + lost, role, priority, lost)


def _with_losses(status: WorkflowStatusInternal) -> WorkflowStatusInternal:
    """Tell how many attempts were lost with their machines: the entry was handed out once more for each."""
    if status["name"] != PERFORM:
        return status
    stored = json.loads(status["inputs"] or "")
    stored["positionalArgs"].append(max(0, (status["recovery_attempts"] or 1) - 1))
    return {**status, "inputs": json.dumps(stored)}
