"""Brings the store's tables to the version of this runner, by one process at a time."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from components import durable, faults, store_engine, store_file, store_url
from components.errors import StateForeign
from components.store_version import VERSION, refuse_newer

MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(engine: sa.Engine, url: str) -> None:
    """Run the migrations that the store has not seen, all or none of them.

    Raises StoreTooNew and StateForeign before anything is changed, StoreUnavailable and StateCorrupt.
    """
    path = store_url.file_of(url)
    if path is None:
        with store_engine.writing(engine, url) as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(store_engine.MIGRATION_LOCK)))
            _upgrade(connection, url)
        return
    with durable.locked(store_file.lock_of(path)):
        if store_file.version(path) == VERSION:
            return
        with store_engine.writing(engine, url) as connection:
            if sa.inspect(connection).get_table_names():
                _upgrade(connection, url)
            else:
                _make(connection)
            connection.exec_driver_sql(f"PRAGMA application_id = {store_file.APPLICATION_ID}")


def _make(connection: sa.Connection) -> None:
    """Make the tables of an empty file as they are now: reading in Alembic costs more than all the rest."""
    from components.store_tables import metadata

    metadata.create_all(connection)
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.execute(sa.text("INSERT INTO alembic_version VALUES (:version)"), {"version": VERSION})
    faults.reach("store.migrated")


def version_at(engine: sa.Engine, url: str) -> str:
    """Return the version of a server's tables, "" where there are none. Raises StateForeign for another program's."""
    with store_engine.writing(engine, url) as connection:
        return _version(connection, url)


def _upgrade(connection: sa.Connection, url: str) -> None:
    found = _version(connection, url)
    refuse_newer(found, url)
    if found == VERSION:
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    faults.reach("store.migrated")


def _version(connection: sa.Connection, url: str) -> str:
    tables = set(sa.inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        if "executions" in tables:
            shown = store_url.shown(url)
            raise StateForeign(
                f"{shown} has tables of another program; name a database of its own by HEADLESS_PM_STORE"
            )
        return ""
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return str(found or "")
