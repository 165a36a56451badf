"""The history of executions: moved by compare-and-set, each move with its row on the event bus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from components import faults, store_rows
from components.errors import AlreadyLive, IllegalMove, NotFound
from components.execution import Execution, Spend, WorkspaceEntry
from components.states import FINAL, TRANSITIONS, ExecutionStatus
from components.store_reader import StoreReader

if TYPE_CHECKING:
    import sqlalchemy as sa

ENDED = FINAL | {ExecutionStatus.INTERRUPTED}


class Store(StoreReader):
    """The history behind an address, for reading and writing.

    Times are this machine's wall time in UTC; nothing is decided by them. Whoever writes imports SQLAlchemy with the
    first write, and the tables are made or brought up to date then.
    """

    def add(self, execution: Execution) -> bool:
        """Enter a new execution with its first move; False where this id is there already, which changes nothing.

        Raises AlreadyLive where the task has another one that is not over.
        """
        from components.store_tables import executions

        execution = replace(execution, created_at=execution.created_at or now_text())
        with self._writing(execution) as connection:
            insert = _insert(connection, executions).values(store_rows.columns(execution))
            entered = insert.on_conflict_do_nothing(index_elements=["id"]).returning(executions.c.id)
            if connection.execute(entered).first() is None:
                return False
            self._record(connection, _move(execution.id, None, execution.status, execution.reason, execution.attempt))
        return True

    def add_all(self, many: Sequence[Execution]) -> set[str]:
        """Enter new executions, each with its first move, all in one transaction; return the ids that were entered.

        One whose id is there, or whose task has another one that is not over, is left out.
        """
        from components.store_tables import executions

        if not many:
            return set()
        with self._writing() as connection:
            insert = _insert(connection, executions).on_conflict_do_nothing().returning(executions.c.id)
            rows = [store_rows.columns(replace(one, created_at=one.created_at or now_text())) for one in many]
            entered = {str(row[0]) for row in connection.execute(insert, rows)}
            moves = [_move(one.id, None, one.status, one.reason, one.attempt) for one in many if one.id in entered]
            self._record(connection, *moves)
        return entered

    def move(
        self,
        execution_id: str,
        before: ExecutionStatus,
        after: ExecutionStatus,
        **facts: object,
    ) -> bool:
        """Move an execution, named by its whole id, and enter what else is known of it; False where another was faster.

        `facts` are fields of Execution. When it starts to run and when it ends is entered by itself.
        Raises IllegalMove, NotFound, ValueError for no such fact, and AlreadyLive where an interrupted one may not go
        on because the task has another one that is not over.
        """
        if after not in TRANSITIONS[before]:
            legal = ", ".join(sorted(TRANSITIONS[before])) or "nothing: it is over"
            raise IllegalMove(f"execution {execution_id} cannot go from {before} to {after}; {before} leads to {legal}")
        from components.store_tables import executions

        values = {**store_rows.facts(facts), **_times(after, facts), "status": str(after)}
        mine = executions.c.id == execution_id
        with self._writing(execution_id) as connection:
            update = executions.update().where(mine, executions.c.status == str(before)).values(values)
            returned = connection.execute(update.returning(executions.c.attempt, executions.c.reason)).first()
            if returned is None:
                self._look_for(connection, execution_id)
                return False
            faults.reach("store.moved")
            self._record(connection, _move(execution_id, before, after, returned.reason, returned.attempt))
            faults.reach("store.recorded")
        return True

    def note(self, execution_id: str, **facts: object) -> None:
        """Enter what is known of an execution without moving it. Raises NotFound, and ValueError for no such fact."""
        from components.store_tables import executions

        values = store_rows.facts(facts)
        with self._writing(execution_id) as connection:
            if values:
                connection.execute(executions.update().where(executions.c.id == execution_id).values(values))
            self._look_for(connection, execution_id)

    def spend(self, entries: Sequence[Spend]) -> None:
        """Enter what runs have used, and with it the sums of their executions.

        A run that is there is entered anew, so that repeating it changes nothing.
        """
        from components import store_totals
        from components.store_tables import spend

        with self._writing() as connection:
            _put(connection, spend, ("run",), [asdict(entry) for entry in entries])
            for execution_id in {entry.execution_id for entry in entries}:
                connection.execute(store_totals.update(execution_id))

    def keep_workspace(self, entry: WorkspaceEntry) -> None:
        """Enter a workspace, or what is new of it."""
        from components.store_tables import workspaces

        now = now_text()
        values = {**asdict(entry), "created_at": entry.created_at or now, "updated_at": now}
        with self._writing() as connection:
            _put(connection, workspaces, ("host", "path"), [values], kept=("created_at",))

    def forget_workspace(self, host: str, path: str) -> bool:
        """Delete the entry of a workspace; False where there is none."""
        from components.store_tables import workspaces

        with self._writing() as connection:
            where = (workspaces.c.host == host, workspaces.c.path == path)
            return connection.execute(workspaces.delete().where(*where)).rowcount > 0

    def forget(self, execution_ids: Iterable[str]) -> int:
        """Delete executions that are over, with their moves, and return how many; what they have cost stays."""
        from components.store_tables import executions

        over = [str(status) for status in ENDED]
        with self._writing() as connection:
            return sum(
                connection.execute(
                    executions.delete().where(executions.c.id == execution_id, executions.c.status.in_(over))
                ).rowcount
                for execution_id in execution_ids
            )

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction for what is kept here besides executions. Raises StoreUnavailable and StateCorrupt."""
        return self._writing()

    @contextmanager
    def _writing(self, subject: Execution | str = "") -> Iterator[sa.Connection]:
        """A transaction. Raises AlreadyLive when it would give a task two executions that are not over."""
        engine = self._connected()
        from sqlalchemy.exc import IntegrityError

        from components import store_engine

        try:
            with store_engine.writing(engine, self.url) as connection:
                yield connection
        except IntegrityError as error:
            one = subject if isinstance(subject, Execution) else self.get(subject)
            raise AlreadyLive(self._rival_words(one)) from error

    def _rival_words(self, one: Execution) -> str:
        task = (one.task_id, one.task_digest)
        rivals = [other for other in self.live(one.project) if (other.task_id, other.task_digest) == task]
        rival = next((other for other in rivals if other.id != one.id), None)
        named = f"{rival.short_id} ({rival.status})" if rival else "another"
        return (
            f"task {one.task_id} of {one.project} has execution {named}, which is not over; cancel it, or wait for it"
        )

    def _look_for(self, connection: sa.Connection, execution_id: str) -> None:
        from components.store_tables import executions

        if connection.execute(executions.select().where(executions.c.id == execution_id)).first() is None:
            raise NotFound(f"there is no execution {execution_id!r}")

    def _record(self, connection: sa.Connection, *moves: Mapping[str, object]) -> None:
        """Put moves on the event bus, last in their transaction: ids rise in the order in which moves can be seen."""
        from components import store_engine
        from components.store_tables import transitions

        if moves:
            store_engine.take_turn(connection)
            connection.execute(transitions.insert(), moves)


def _move(
    execution_id: str, before: ExecutionStatus | None, after: ExecutionStatus, reason: str, attempt: int
) -> Mapping[str, object]:
    """Return a move as its columns take it."""
    return {
        "execution_id": execution_id,
        "before": str(before or ""),
        "after": str(after),
        "reason": reason,
        "attempt": attempt,
        "at": now_text(),
    }


def now_text() -> str:
    """Return the wall time as the history keeps it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _times(after: ExecutionStatus, facts: Mapping[str, object]) -> dict[str, object]:
    """Return when it started and ended, where the facts do not tell."""
    import sqlalchemy as sa

    from components.store_tables import executions

    times: dict[str, object] = {}
    if after is ExecutionStatus.RUNNING and "started_at" not in facts:
        times["started_at"] = sa.func.coalesce(sa.func.nullif(executions.c.started_at, ""), now_text())
    if "completed_at" not in facts:
        times["completed_at"] = now_text() if after in ENDED else ""
    return times


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an insert that knows what to do with a row that is there."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def _put(
    connection: sa.Connection,
    table: sa.Table,
    keys: tuple[str, ...],
    entries: list[dict[str, Any]],
    kept: tuple[str, ...] = (),
) -> None:
    """Insert rows, or update those of the same key but for the columns in `kept`."""
    if entries:
        insert = _insert(connection, table)
        new = {column.name: insert.excluded[column.name] for column in table.c if column.name not in (*keys, *kept)}
        connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=new), entries)
