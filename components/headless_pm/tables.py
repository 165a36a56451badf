"""The server's tables, under the original's names, in one SQLite file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from components import durable
from components.errors import StateCorrupt, StateForeign

APPLICATION_ID = 0x48504D31  # "HPM1": tells our file from any other SQLite file
SCHEMA_VERSION = 1
BUSY_SECONDS = 30.0

metadata = sa.MetaData()


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True)


def _text(name: str, *, null: bool = False, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null, **options)


def _table(name: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    """Declare a table whose ids are never given out twice (AUTOINCREMENT)."""
    return sa.Table(name, metadata, _id(), *columns, sqlite_autoincrement=True)


agent = _table(
    "agent", _text("agent_id", unique=True), _text("role"), _text("level"), _text("connection_type"), _text("last_seen")
)
epic = _table("epic", _text("name"), _text("description"), _text("created_at"))
feature = _table(
    "feature",
    sa.Column("epic_id", sa.ForeignKey("epic.id", ondelete="CASCADE"), nullable=False, index=True),
    _text("name"),
    _text("description"),
)
task = _table(
    "task",
    sa.Column("feature_id", sa.ForeignKey("feature.id", ondelete="CASCADE"), nullable=False, index=True),
    _text("title"),
    _text("description"),
    _text("created_by"),
    _text("target_role"),
    _text("difficulty"),
    _text("complexity"),
    _text("branch"),
    _text("status"),
    _text("locked_by", null=True),
    _text("locked_at", null=True),
    _text("notes", null=True),
    _text("created_at"),
    _text("updated_at"),
    sa.Index("ix_task_status", "status", "created_at"),
    sa.Index("ix_task_locked_by", "locked_by", sqlite_where=sa.text("locked_by IS NOT NULL")),
)
changelog = _table(
    "changelog",
    sa.Column("task_id", sa.ForeignKey("task.id", ondelete="CASCADE"), nullable=False, index=True),
    _text("old_status"),
    _text("new_status"),
    _text("changed_by"),
    _text("notes", null=True),
    _text("changed_at", index=True),
)
document = _table(
    "document",
    _text("doc_type"),
    _text("author_id"),
    _text("title"),
    _text("content"),
    sa.Column("meta_data", sa.JSON(none_as_null=True)),
    _text("created_at"),
    _text("updated_at"),
    _text("expires_at", null=True),
)
mention = _table(
    "mention",
    sa.Column("document_id", sa.ForeignKey("document.id", ondelete="CASCADE"), nullable=True, index=True),
    sa.Column("task_id", sa.ForeignKey("task.id", ondelete="CASCADE"), nullable=True, index=True),
    _text("mentioned_agent_id", index=True),
    _text("created_by"),
    sa.Column("is_read", sa.Boolean, nullable=False, default=False),
    _text("created_at"),
)


def now(ago: float = 0.0) -> str:
    """Return the time (or `ago` seconds before it) as the API writes it: naive UTC, microseconds, sortable as text."""
    moment = datetime.now(UTC) - timedelta(seconds=ago)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")


def opened(path: Path) -> sa.Engine:
    """Open the database, making it (0600) when it is not there.

    Raises StateForeign when the file is another program's or a newer version's, StateCorrupt when it cannot be read.
    """
    durable.make_directory(path.parent)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, durable.FILE_MODE))
    path.chmod(durable.FILE_MODE)
    _check_owner(path)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        pool_size=8,
        max_overflow=40,
        pool_timeout=BUSY_SECONDS,
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    with engine.execution_options(writes=True).begin() as connection:
        metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return engine


def _check_owner(path: Path) -> None:
    """Look before anything is changed, the journal mode included."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
            owner, version, tables = (
                connection.execute(question).fetchone()[0]
                for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
            )
    except sqlite3.DatabaseError as error:
        raise StateCorrupt(f"{path} cannot be read ({error}); move it aside or restore a backup") from error
    if tables and owner != APPLICATION_ID:
        raise StateForeign(f"{path} is the database of another program; give --db a file of its own")
    if version > SCHEMA_VERSION:
        raise StateForeign(f"{path} is of a newer version ({version}); upgrade this program or give another --db")


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    """Take the write lock at once where something will be written: a read turned write fails instead of waiting."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
