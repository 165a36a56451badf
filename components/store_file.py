"""The file of an embedded store: whose it is, of which version, and reading it without the heavy library."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from components import durable
from components.errors import StateCorrupt, StateForeign, StoreUnavailable
from components.store_queries import Question
from components.store_rows import Row

APPLICATION_ID = 0x41415231
"""`AAR1`: tells our file from any other SQLite file."""
BUSY_SECONDS = 30.0
"""How long whoever writes waits for a file that another process has locked."""
LOOK_SECONDS = 2.0
"""... and who only looks: a person who asked sees what is known without it, rather than nothing."""
HAVE_IT_ANSWER = "have it answer, or name another by HEADLESS_PM_STORE; tasks are done meanwhile, and told to it later"
COMPANIONS = ("-wal", "-shm", "-journal")
BROKEN = ("malformed", "not a database", "file is encrypted", "disk image")
"""What SQLite says of a file that is damaged; whatever else it says may pass."""

_making = threading.Lock()


def make(path: Path) -> None:
    """Make sure that the file is there and private; what SQLite puts beside it gets the same mode.

    One that is there is not opened: to close it would let go of the locks that SQLite has on it in this process, and
    the next process to end would take the log away under us. Raises OSError for a symbolic link.
    """
    durable.make_directory(path.parent)
    with _making:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, durable.FILE_MODE))
        except FileExistsError:
            if path.is_symlink():
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from None
    for one in (path, *(path.with_name(path.name + end) for end in COMPANIONS)):
        with contextlib.suppress(FileNotFoundError):
            one.chmod(durable.FILE_MODE)


def rows(path: Path, question: Question, patience: float = BUSY_SECONDS) -> list[Row]:
    """Return the answer to a question; a file that is not there, or is still empty, has none.

    A locked one is waited for, `patience` seconds at most.
    Raises StateCorrupt for a damaged file and StoreUnavailable for one that cannot be read now.
    """
    if not path.exists() or not path.stat().st_size:
        return []
    with translated(path), contextlib.closing(_connected(path, patience)) as connection:
        return connection.execute(*question).fetchall()


def identity(path: Path | None) -> tuple[int, int] | None:
    """Return what tells a store's file from another one that took its place, None where there is none.

    A full disk, or a power cut, leaves an empty file.
    """
    with contextlib.suppress(OSError):
        if path is not None and (status := path.stat()).st_size:
            return status.st_dev, status.st_ino
    return None


def lock_of(path: Path) -> Path:
    """Return the file whose lock is held by whoever makes the tables of a store's file, or changes them."""
    return path.with_name(path.name + ".lock")


def version(path: Path, patience: float = BUSY_SECONDS) -> str:
    """Return the version of the tables in a file, "" where there are none yet.

    Raises StateForeign for another program's database, StateCorrupt and StoreUnavailable as `rows`.
    """
    try:
        named = rows(path, ("SELECT name FROM sqlite_master WHERE type = 'table'", {}), patience)
        owner = rows(path, ("PRAGMA application_id", {}), patience)  # second: both come at once, and perhaps just now
        tables = [name for (name,) in named]
        if tables and owner[0][0] != APPLICATION_ID:
            raise StateForeign(
                f"{path} is the database of another program; name a file of its own by HEADLESS_PM_STORE"
            )
        asked: Question = ("SELECT version_num FROM alembic_version", {})
        found = rows(path, asked, patience) if "alembic_version" in tables else []
    except OSError as error:
        raise StoreUnavailable(f"the store {path} cannot be read: {error}") from error
    return str(found[0][0]) if found else ""


def examine(path: Path, patience: float = BUSY_SECONDS) -> None:
    """Read the whole file. Raises StateCorrupt where any of it is damaged."""
    (found,), *_ = rows(path, ("PRAGMA quick_check(1)", {}), patience) or [("ok",)]
    if found != "ok":
        raise StateCorrupt(f"the store {path} is damaged ({' '.join(str(found).split())[:200]})")


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise SQLite's errors by our names."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise by_name(error, str(path)) from error


def by_name(error: BaseException, store: str) -> StateCorrupt | StoreUnavailable:
    """Return what a database's error means here."""
    words = str(error).splitlines()[0] if str(error) else type(error).__name__
    if any(word in words.lower() for word in BROKEN):
        return StateCorrupt(f"the store {store} is damaged ({words})")
    return StoreUnavailable(f"the store {store} does not answer ({words})")


def set_aside(path: Path) -> Path:
    """Keep a damaged file, with what SQLite has beside it, under another name, and return that."""
    aside = durable.quarantine(path)
    for end in COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(aside.with_name(aside.name + end))
    durable.sync_directory(path.parent)
    return aside


def _connected(path: Path, patience: float) -> sqlite3.Connection:
    """Open the file for reading. It is opened as for writing where that is allowed: to read a log that a killed writer
    left, SQLite must take it over."""
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=patience)
    connection.execute("PRAGMA query_only = ON")
    return connection
