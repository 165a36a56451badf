"""The connection to the store for those who write: SQLAlchemy's engine, set up for durability."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from components import store_file, store_url
from components.store_queries import Question
from components.store_rows import Row

CONNECT_SECONDS = 5
POOL = 8
MOVES_LOCK = 0x41415201
"""Advisory lock of PostgreSQL: moves get their ids in the order in which they become visible."""
MIGRATION_LOCK = 0x41415202
"""Advisory lock of PostgreSQL: one process at a time changes the tables."""


def connect(url: str, patience: float = store_file.BUSY_SECONDS) -> sa.Engine:
    """Return an engine; nothing is connected yet, but a file is made (0600) where there is none.

    A file that another process has locked is waited for, `patience` seconds at most.
    """
    path = store_url.file_of(url)
    return _to_server(url) if path is None else _to_file(path, patience)


@contextlib.contextmanager
def writing(engine: sa.Engine, url: str) -> Iterator[sa.Connection]:
    """A transaction, committed at the end. Raises StoreUnavailable and StateCorrupt; IntegrityError goes through."""
    try:
        with engine.begin() as connection:
            yield connection
    except sa.exc.IntegrityError:
        raise
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        raise store_file.by_name(getattr(error, "orig", None) or error, store_url.shown(url)) from error


def rows(engine: sa.Engine, url: str, question: Question) -> list[Row]:
    """Return the answer to a question; raises as `writing`."""
    with writing(engine, url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(question[0]), question[1])]


def _to_file(path: Path, patience: float) -> sa.Engine:
    store_file.make(path)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": patience, "check_same_thread": False},
        pool_size=POOL,
        max_overflow=4 * POOL,
        pool_timeout=store_file.BUSY_SECONDS,
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _to_server(url: str) -> sa.Engine:
    return sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "agent-runner"},
        pool_size=POOL,
        pool_pre_ping=True,
        hide_parameters=True,
    )


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    """Take the write lock at once: a read turned write fails instead of waiting."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def take_turn(connection: sa.Connection) -> None:
    """Wait until nobody else is about to commit a move; SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MOVES_LOCK)))
