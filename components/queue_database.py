"""The database that the queue is kept in: a file for one machine, a PostgreSQL server for many."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from components import store_file, store_url
from components.config import Config
from components.errors import AgentIdInUse, ConfigError, RunnerError, StoreUnavailable

logger = logging.getLogger(__name__)

SCHEMA = "agent_queue"
"""The schema of PostgreSQL that holds the queue, beside the history's tables in the same database or in another."""
NAMES_LOCK = 0x41415203
"""Advisory lock of PostgreSQL: one worker at a time takes a name."""
CONNECT_SECONDS = 5
SILENCE_MS = 15_000
"""How long a server may leave a packet unanswered before the connection counts as lost: it may be cut off."""
TABLE = """CREATE TABLE IF NOT EXISTS {prefix}worker (
    life TEXT PRIMARY KEY, name TEXT NOT NULL, host TEXT NOT NULL, pid BIGINT NOT NULL, roles TEXT NOT NULL,
    concurrency INTEGER NOT NULL, version TEXT NOT NULL, started DOUBLE PRECISION NOT NULL,
    beat DOUBLE PRECISION NOT NULL)"""
CLOCKS = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch from clock_timestamp())::double precision",
}
"""The database's clock in seconds: the only one that workers of several machines are compared by."""


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """What one life of a worker tells of itself; `age` is how long ago it was heard, in seconds."""

    life: str
    name: str
    host: str
    pid: int
    roles: str
    concurrency: int
    version: str
    age: float = 0.0


def url_of(config: Config) -> str:
    """Return where the queue is: what `queue` says, else the history's PostgreSQL, else a file of the home."""
    if config.queue:
        return config.queue
    is_file = store_url.file_of(config.store) is not None
    return store_url.of_file(config.home / "engine.db") if is_file else config.store


class QueueDatabase:
    """The connection, and the workers' own table. Every method raises StoreUnavailable while the database is away."""

    def __init__(self, url: str, pool: int = 5) -> None:
        self.url = url
        self.shown = store_url.shown(url)
        self.is_file = store_url.file_of(url) is not None
        self.engine = _to_file(url) if self.is_file else _to_server(url, pool)
        self.prefix = "" if self.is_file else f"{SCHEMA}."
        self.now = CLOCKS[self.engine.dialect.name]

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction, committed at the end."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            raise self.by_name(error) from error

    def by_name(self, error: Exception) -> RunnerError:
        """Return what a database's error means here."""
        cause = getattr(error, "orig", None) or error
        if self.is_file:
            return store_file.by_name(cause, self.shown)
        words = " ".join(str(cause).split())[:300] or type(cause).__name__
        return StoreUnavailable(f"the queue's database {self.shown} does not answer ({words})")

    def rows(self, statement: str, **values: Any) -> list[Any]:
        """Return what a statement finds, or what it changed says; `{prefix}` and `{now}` are filled in."""
        text = sa.text(statement.replace("{prefix}", self.prefix).replace("{now}", self.now))
        for name, value in values.items():
            if isinstance(value, list | tuple):
                text = text.bindparams(sa.bindparam(name, expanding=True))
        with self.writing() as connection:
            found = connection.execute(text, values)
            return list(found) if found.returns_rows else [found.rowcount]

    def is_there(self) -> bool:
        """Does the database answer? Raises ConfigError where it answers that it will not have us."""
        try:
            self.rows("SELECT 1")
        except StoreUnavailable as error:
            if words := refusal(error):
                raise ConfigError(
                    f"the queue's database {self.shown} refuses the connection ({words}); correct `queue`"
                ) from error
            return False
        return True

    def make_table(self) -> None:
        """Make the table of workers where there is none."""
        with self.writing() as connection:
            if not self.is_file:
                connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({NAMES_LOCK})"))
            connection.execute(sa.text(TABLE.format(prefix=self.prefix)))

    def sign_in(self, row: WorkerRow, is_alive: Callable[[WorkerRow], bool]) -> None:
        """Enter a worker. Raises AgentIdInUse where another of its name is alive, as the caller judges."""
        with self.writing() as connection:
            if not self.is_file:
                connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({NAMES_LOCK})"))
            _enter(connection, self, row)
            for other in _workers(connection, self):
                if other.name == row.name and other.life != row.life and is_alive(other):
                    raise AgentIdInUse(
                        f"a worker named {row.name} is at work on {other.host} (process {other.pid}, heard"
                        f" {other.age:.0f} s ago); give this one a --name of its own"
                    )

    def beat(self, row: WorkerRow) -> None:
        """Tell that a worker lives."""
        with self.writing() as connection:
            _enter(connection, self, row)

    def sign_out(self, life: str) -> None:
        """Forget a worker that has nothing in hand any more."""
        self.rows("DELETE FROM {prefix}worker WHERE life = :life", life=life)

    def workers(self) -> list[WorkerRow]:
        """Return all workers that signed in and were not forgotten."""
        with self.writing() as connection:
            return _workers(connection, self)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _enter(connection: sa.Connection, database: QueueDatabase, row: WorkerRow) -> None:
    columns = ("life", "name", "host", "pid", "roles", "concurrency", "version")
    connection.execute(
        sa.text(
            f"INSERT INTO {database.prefix}worker ({', '.join(columns)}, started, beat)"  # noqa: S608
            f" VALUES ({', '.join(':' + name for name in columns)}, {database.now}, {database.now})"
            f" ON CONFLICT (life) DO UPDATE SET beat = excluded.beat"
        ),
        {name: getattr(row, name) for name in columns},
    )


def _workers(connection: sa.Connection, database: QueueDatabase) -> list[WorkerRow]:
    found = connection.execute(
        sa.text(
            f"SELECT life, name, host, pid, roles, concurrency, version, {database.now} - beat"  # noqa: S608
            f" FROM {database.prefix}worker ORDER BY started"
        )
    )
    return [WorkerRow(*row) for row in found]


def refusal(error: BaseException) -> str:
    """Return a server's words where it answered and would answer so again; "" where it is only away."""
    cause = error.__cause__
    words = " ".join(str(getattr(cause, "orig", None) or "").split())
    final = ("does not exist", "password authentication failed", "no pg_hba.conf entry", "permission denied")
    return words[:300] if any(word in words for word in final) else ""


def _to_file(url: str) -> sa.Engine:
    path = store_url.file_of(url)
    assert path is not None
    store_file.make(path)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": store_file.BUSY_SECONDS, "check_same_thread": False},
    )
    sa.event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.isolation_level = "IMMEDIATE"


def _to_server(url: str, pool: int) -> sa.Engine:
    return sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "agent-runner queue",
            "keepalives_idle": 5,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "tcp_user_timeout": SILENCE_MS,
        },
        pool_size=pool,
        max_overflow=2 * pool,
        pool_timeout=30,
        pool_pre_ping=True,
        hide_parameters=True,
    )
