"""The board in the store: tasks moved by compare-and-set, `todo` to `running` to `review` or back."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from components.board_task import MOVES, BoardStatus, BoardTask
from components.errors import IllegalMove, NotFound, StillRunning, TooManyTasks
from components.store import Store, now_text
from components.store_rows import Row

if TYPE_CHECKING:
    import sqlalchemy as sa

NAMES = tuple(field.name for field in fields(BoardTask))
_TASKS = f"SELECT {', '.join(NAMES)} FROM board_tasks"  # noqa: S608
TEXT_LIMIT = 1_000_000
"""Characters of a text of a task."""
IDS_AT_ONCE = 500
"""How many tasks are asked for in one question: databases take no more parameters than they like."""


READY = (BoardStatus.TODO,)
FOR_GOOD = frozenset({"id", "created_at", "updated_at"})


class ProjectBusy(TooManyTasks):
    """As many tasks of the project run as may at once; `running` is the id of one of them."""

    def __init__(self, message: str, running: str) -> None:
        super().__init__(message)
        self.running = running


class NotInTodo(IllegalMove):
    """Only a task in `todo` can be run."""


class Board:
    """The tasks of the board. Every method raises what the store raises."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, task: BoardTask) -> BoardTask:
        """Put a task on the board."""
        from components.store_tables import board_tasks

        now = now_text()
        entered = replace(task, created_at=now, updated_at=now)
        with self._writing() as connection:
            connection.execute(board_tasks.insert().values(_columns(entered)))
        return entered

    def get(self, task_id: str) -> BoardTask:
        """Return a task. Raises NotFound."""
        found = self._tasks("WHERE id = :id", {"id": task_id})
        if not found:
            raise NotFound(f"there is no task {task_id[:64]!r} on the board; GET /api/tasks lists them")
        return found[0]

    def select(self, project: str = "", status: str = "", before: str = "", limit: int = 100) -> list[BoardTask]:
        """Return a page of tasks, newest first; `before` is the id of the last one of the page before."""
        given = {"project": project, "status": status}
        where = [f"{name} = :{name}" for name, value in given.items() if value]
        if before:
            where.append("(created_at, id) < (SELECT created_at, id FROM board_tasks WHERE id = :before)")
            given["before"] = before
        text = f"WHERE {' AND '.join(where)}" if where else ""
        chosen: Mapping[str, object] = {name: value for name, value in given.items() if value}
        return self._tasks(f"{text} ORDER BY created_at DESC, id DESC LIMIT :limit", {**chosen, "limit": limit})

    def among(self, task_ids: Sequence[str]) -> dict[str, BoardTask]:
        """Return those of some tasks that are on the board, by id."""
        found = {}
        for at in range(0, len(task_ids), IDS_AT_ONCE):
            names = {f"id{number}": one for number, one in enumerate(task_ids[at : at + IDS_AT_ONCE])}
            asked = ", ".join(f":{name}" for name in names)
            found.update({task.id: task for task in self._tasks(f"WHERE id IN ({asked})", names)})
        return found

    def running(self, host: str) -> list[BoardTask]:
        """Return the tasks that count as running on a machine, the longest first."""
        return self._tasks(
            "WHERE status = :status AND host = :host ORDER BY started_at, id",
            {"status": str(BoardStatus.RUNNING), "host": host},
        )

    def changed_since(self, moment: str) -> list[BoardTask]:
        """Return the tasks that were changed at or after a moment, oldest change first, at most 500."""
        return self._tasks("WHERE updated_at >= :moment ORDER BY updated_at, id LIMIT 500", {"moment": moment})

    def counts(self, project: str = "") -> dict[BoardStatus, int]:
        """Return how many tasks there are of each status, of a project or of all."""
        where = "WHERE project = :project " if project else ""
        question = f"SELECT status, count(*) FROM board_tasks {where}GROUP BY status"  # noqa: S608
        rows = self._store.rows((question, {"project": project} if project else {}))
        return {BoardStatus(status): int(number) for status, number in rows}

    def take(
        self, task_id: str, execution_id: str, host: str, limit: int, among: Collection[BoardStatus] = READY
    ) -> BoardTask:
        """Move a task from `todo` to `running` for a run that begins now; counting and moving are one transaction.

        `among` are the statuses that it may be in. Raises NotFound, NotInTodo, and ProjectBusy where `limit` tasks of
        its repository run.
        """
        from components import store_engine
        from components.store_tables import board_tasks as table

        now = now_text()
        task = self.get(task_id)
        values = {**_fresh(), "execution_id": execution_id, "host": host, "started_at": now, "updated_at": now}
        with self._writing() as connection:
            store_engine.take_turn(connection)
            rivals = table.select().where(
                table.c.status == str(BoardStatus.RUNNING), table.c.repository == task.repository
            )
            running = [row.id for row in connection.execute(rivals.order_by(table.c.started_at))]
            if len(running) >= limit and task_id not in running:
                _require(connection, task_id, among)
                raise ProjectBusy(_busy_words(task, running, limit), running[0])
            update = table.update().where(table.c.id == task_id, table.c.status.in_([str(one) for one in among]))
            if connection.execute(update.values(values)).rowcount == 0:
                _require(connection, task_id, among)
        return self.get(task_id)

    def note(self, task_id: str, execution_id: str, **facts: object) -> None:
        """Enter what is known of a running task while it has this run."""
        self._change(task_id, execution_id, facts)

    def settle(self, task_id: str, execution_id: str, after: BoardStatus, **facts: object) -> bool:
        """Move a running task to where its run has brought it; False where it is not running this one any more."""
        if after not in MOVES[BoardStatus.RUNNING]:
            raise IllegalMove(f"a running task cannot go to {after}")
        now = now_text()
        return self._change(task_id, execution_id, {"pid": 0, "ended_at": now, **facts, "status": str(after)})

    def give_back(self, before: BoardTask, execution_id: str) -> None:
        """Put a task that was taken for a run which may not begin back to how it was `before`."""
        known = before.status in MOVES[BoardStatus.RUNNING]
        facts = {name: getattr(before, name) for name in NAMES if name not in FOR_GOOD}
        self._change(
            before.id, execution_id, {**facts, "pid": 0, "status": str(before.status if known else BoardStatus.TODO)}
        )

    def reopen(self, task_id: str) -> BoardTask:
        """Move a task from `review` back to `todo`. Raises NotFound and IllegalMove."""
        from components.store_tables import board_tasks as table

        with self._writing() as connection:
            update = table.update().where(table.c.id == task_id, table.c.status == str(BoardStatus.REVIEW))
            moved = connection.execute(update.values(status=str(BoardStatus.TODO), updated_at=now_text())).rowcount
        task = self.get(task_id)
        if not moved:
            raise IllegalMove(f"task {task_id[:8]} is in `{task.status}`; only one in `review` goes back to `todo`")
        return task

    def delete(self, task_id: str) -> None:
        """Take a task off the board. Raises NotFound, and StillRunning for one that runs."""
        from components.store_tables import board_tasks as table

        with self._writing() as connection:
            gone = table.delete().where(table.c.id == task_id, table.c.status != str(BoardStatus.RUNNING))
            count = connection.execute(gone).rowcount
        if not count:
            task = self.get(task_id)
            raise StillRunning(f"task {task.id[:8]} runs; POST /api/tasks/{task.id}/stop ends it")

    def _change(self, task_id: str, execution_id: str, facts: Mapping[str, object]) -> bool:
        from components.store_tables import board_tasks as table

        mine = (table.c.id == task_id, table.c.execution_id == execution_id)
        values = {name: _kept(value) for name, value in facts.items()}
        with self._writing() as connection:
            update = table.update().where(*mine, table.c.status == str(BoardStatus.RUNNING))
            return connection.execute(update.values({**values, "updated_at": now_text()})).rowcount > 0

    def _tasks(self, tail: str, parameters: Mapping[str, object]) -> list[BoardTask]:
        return [_task(row) for row in self._store.rows((f"{_TASKS} {tail}", parameters))]

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        return self._store.writing()


def _require(connection: sa.Connection, task_id: str, among: Collection[BoardStatus]) -> None:
    from components.store_tables import board_tasks as table

    row = connection.execute(table.select().where(table.c.id == task_id)).first()
    if row is None:
        raise NotFound(f"there is no task {task_id[:64]!r} on the board any more")
    if row.status not in among:
        raise NotInTodo(f"task {task_id[:8]} is in `{row.status}`; only one in `todo` can be run")


def _busy_words(task: BoardTask, running: list[str], limit: int) -> str:
    return (
        f"{len(running)} of {limit} tasks of project {task.project!r} run (tasks_per_project): "
        f"{', '.join(running[:5])}; stop one, or wait for it"
    )


def _fresh() -> dict[str, object]:
    """Return what a new run has not got yet."""
    return {"status": str(BoardStatus.RUNNING), "pid": 0, "exit_code": None, "error": "", "output": "", "ended_at": ""}


def _task(row: Row) -> BoardTask:
    values = dict(zip(NAMES, row, strict=True))
    lines = json.loads(values["output"]) if values["output"] else []
    return BoardTask(**{**values, "status": BoardStatus(values["status"]), "output": tuple(lines)})


def _columns(task: BoardTask) -> dict[str, Any]:
    return {name: _kept(value) for name, value in asdict(task).items()}


def _kept(value: object) -> object:
    """Return a value as its column takes it; no database takes NUL and half characters alike."""
    if isinstance(value, tuple | list):
        return json.dumps([_kept(one) for one in value])
    if isinstance(value, str):
        return str(value).replace("\0", "").encode(errors="replace").decode()[:TEXT_LIMIT]
    return value
