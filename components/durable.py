"""Writes that survive a power cut, locks that the kernel frees, and a place for state that cannot be trusted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from components import faults

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


def make_directory(path: Path) -> Path:
    """Make a private directory (0700) with its parents, as private and for good; one that exists is left as it is."""
    for directory in (*reversed(path.parents), path):
        if not directory.exists():
            directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            sync_directory(directory.parent)
    return path


def sync_directory(path: Path) -> None:
    """Commit renames and unlinks in a directory: without this they may be undone by a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_filesystem(path: Path) -> None:
    """Commit everything that anybody, git for instance, has written to the file system that a path is on."""
    import ctypes

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(fd)


def write(path: Path, content: bytes) -> None:
    """Replace a file so that after any crash it is wholly old or wholly new, and new once this returns."""
    temporary = path.with_name(path.name + ".tmp")
    create(temporary, content)
    faults.reach("durable.written")
    os.rename(temporary, path)
    faults.reach("durable.renamed")
    sync_directory(path.parent)


def create(path: Path, content: bytes = b"") -> None:
    """Write a private file (0600) and sync it; the directory is the caller's to sync."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, FILE_MODE)
    try:
        os.fchmod(fd, FILE_MODE)
        view = memoryview(content)
        while view:
            faults.reach("durable.write")
            view = view[os.write(fd, view) :]
        faults.reach("durable.sync")
        os.fsync(fd)
    finally:
        os.close(fd)


def remove(path: Path) -> None:
    """Unlink a file for good; one that is not there is no error."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def quarantine(path: Path) -> Path:
    """Set a file aside under a name that is free, and return it. Nothing is overwritten."""
    number = 0
    while True:
        aside = path.with_name(f"{path.name}.bad-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{number}")
        if not aside.exists():
            os.rename(path, aside)
            sync_directory(path.parent)
            return aside
        number += 1


def try_lock(path: Path) -> int | None:
    """Take an exclusive lock on a file and return its descriptor, or None when somebody holds it.

    The kernel frees it when the last copy of the descriptor is closed. The file is never unlinked: an unlinked lock
    file gives two holders.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_held(path: Path | str) -> bool:
    """Does somebody hold the lock of this file? One that is not there is held by nobody. Raises OSError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold an exclusive lock on a file, waiting for it; yields the descriptor, which a child may inherit."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)
