"""Reads the history: every question that the commands and the dashboard ask."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from components import nearest_ids, store_file, store_queries, store_rows, store_url
from components.errors import AmbiguousId, NotFound, StoreUnavailable
from components.execution import Cost, Execution, Selection, Transition, WorkspaceEntry
from components.nearest_ids import KnownId
from components.short_id import SHORT
from components.states import ExecutionStatus
from components.store_queries import Question
from components.store_rows import Row
from components.store_version import VERSION, refuse_newer

if TYPE_CHECKING:
    import sqlalchemy as sa

HEX = frozenset("0123456789abcdef")
ALL = Selection()
CANDIDATES = 10_000
"""Among how many of the newest ids the nearest ones are looked for."""


class StoreReader:
    """The history behind an address, for reading. A file that is not there has no history, which is no error.

    A file is read by the standard library alone; a server, and a file whose tables are of an older version, by
    SQLAlchemy. Every method raises StoreTooNew, StateForeign, StateCorrupt or StoreUnavailable. It may be used from
    many threads. A file that another process has locked is waited for, `patience` seconds at most.
    """

    def __init__(self, url: str, patience: float = store_file.BUSY_SECONDS) -> None:
        self.url = url
        self.patience = patience
        self.path = store_url.file_of(url)
        self._engine: sa.Engine | None = None
        self._file: tuple[int, int] | None = None
        self._opening = threading.Lock()

    def get(self, execution_id: str) -> Execution:
        """Return the execution whose id is, or begins with, what was typed.

        Raises NotFound with the nearest ids, AmbiguousId with those that it may be.
        """
        prefix = execution_id.strip().lower()
        found = self.beginning_with(prefix)
        if len(found) > 1:
            letters = max(SHORT, len(prefix) + 2)
            every = self._executions(store_queries.beginning_with(prefix, CANDIDATES))
            known = [_known(one.id[:letters], one.task_id, one.created_at) for one in every]
            raise AmbiguousId(nearest_ids.candidates(prefix, known))
        if not found:
            raise NotFound(self._unknown(prefix))
        return found[0]

    def beginning_with(self, prefix: str) -> list[Execution]:
        """Return the newest ten executions whose id begins so."""
        if not prefix or not HEX.issuperset(prefix):
            return []
        return self._executions(store_queries.beginning_with(prefix, 10))

    def projects(self) -> list[str]:
        """Return the projects that executions were of."""
        return [str(row[0]) for row in self.rows(store_queries.projects())]

    def newest_ids(self, limit: int) -> list[tuple[str, str]]:
        """Return the newest ids, each with its title."""
        return [(one.id, one.title) for one in self.select(Selection(limit=limit))]

    def live(self, project: str = "", host: str = "") -> list[Execution]:
        """Return the executions that are not over, oldest first."""
        return self._executions(store_queries.live(project, host))

    def select(self, wanted: Selection) -> list[Execution]:
        """Return a page of the executions that are wanted, newest first."""
        return self._executions(store_queries.selected(wanted))

    def counts(self, wanted: Selection = ALL) -> Mapping[ExecutionStatus, int]:
        """Return how many of the wanted executions there are of each status; one of which there is none is left out."""
        return {ExecutionStatus(status): number for status, number in self.rows(store_queries.counts(wanted))}

    def failures(self, project: str = "", limit: int = 10) -> list[Execution]:
        """Return the newest failures, newest first."""
        return self._executions(store_queries.failures(project, limit))

    def durations(self, project: str, role: str = "", limit: int = 50) -> list[float]:
        """Return how many seconds the newest successes of a project took from their start to their end."""
        return [
            (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
            for began, ended in self.rows(store_queries.durations(project, role, limit))
        ]

    def transitions_of(self, execution_id: str) -> list[Transition]:
        """Return the moves of one execution, named by its whole id, oldest first."""
        return [store_rows.transition(row) for row in self.rows(store_queries.moves_of(execution_id))]

    def transitions(self, after: int = 0, limit: int = 500) -> list[Transition]:
        """Return the moves of all executions that came after one, in their order: the event bus."""
        return [store_rows.transition(row) for row in self.rows(store_queries.moves_after(after, limit))]

    def last_transition(self) -> int:
        """Return the id of the newest move, 0 where there is none: where a new follower begins."""
        found = self.rows(store_queries.last_move())
        return int(found[0][0]) if found else 0

    def cost(self, by: str = "day", since: str = "", project: str = "") -> list[Cost]:
        """Return what runs have cost by `day`, `agent`, `model` or `project`; `since` is a day such as 2026-11-21."""
        return [store_rows.cost(row) for row in self.rows(store_queries.cost(by, since, project))]

    def workspaces(self, project: str = "", status: str = "") -> list[WorkspaceEntry]:
        """Return the workspaces that are known, newest first."""
        return [store_rows.workspace(row) for row in self.rows(store_queries.workspaces(project, status))]

    def rows(self, question: Question) -> list[Row]:
        """Return the answer to a question of `store_queries`."""
        if self.path is None:
            from components import store_engine

            return store_engine.rows(self._connected(), self.url, question)
        return store_file.rows(self.path, question, self.patience) if self._has_tables() else []

    def close(self) -> None:
        """Let go of all connections."""
        if self._engine is not None:
            self._engine.dispose()
        self._engine = self._file = None

    def _has_tables(self) -> bool:
        """Look whose file it is and of which version, once, and bring an older one up to date."""
        assert self.path is not None
        mark = self._mark()
        if mark is None or mark != self._file:
            found = store_file.version(self.path, self.patience)
            refuse_newer(found, self.url)
            if not found:
                return False
            if found != VERSION:
                self._connected()
            self._file = mark
        return True

    def _connected(self) -> sa.Engine:
        """Return the engine, with the tables up to date; a file that was set aside is not written to any more."""
        with self._opening, _named(self.url):
            if self._engine is not None and (self.path is None or self._mark() == self._file):
                return self._engine
            from components import store_engine, store_schema

            self.close()
            engine = store_engine.connect(self.url, self.patience)
            try:
                store_schema.migrate(engine, self.url)
            except BaseException:
                engine.dispose()
                raise
            self._file, self._engine = self._mark(), engine
            return engine

    def _mark(self) -> tuple[int, int] | None:
        """Return what tells the store's file from another one that took its place."""
        try:
            status = self.path.stat() if self.path else None
        except FileNotFoundError:
            return None
        return (status.st_dev, status.st_ino) if status and status.st_size else None

    def _executions(self, question: Question) -> list[Execution]:
        return [store_rows.execution(row) for row in self.rows(question)]

    def _unknown(self, word: str) -> str:
        """Return what to say of a word that means no execution."""
        known = {str(row[0])[:SHORT]: row[1:] for row in self.rows(store_queries.newest(CANDIDATES))}
        first = [*known][: nearest_ids.OFFERED]
        return nearest_ids.unknown(word, known, lambda short: _known(short, *known[short]), lambda: first)


def _known(short_id: str, task_id: object, at: object) -> KnownId:
    """Return an execution as it is offered to who named none, or several."""
    return KnownId(short_id, str(task_id), datetime.fromisoformat(str(at)).timestamp())


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Raise what a disk says by our name for it."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"the store {store_url.shown(url)} cannot be opened: {error}") from error
