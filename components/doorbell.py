"""The living workers of a home: for each a lock that the kernel frees, in a file that is also its bell.

Whoever puts something into the queue rings, so that a worker of this machine looks at once instead of at its next poll.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import uuid
from collections.abc import Iterator
from pathlib import Path

from components import durable

DIRECTORY = "queue"
ENDING = ".bell"
OUTSIDE, OWN = b".", b"+"
"""Who rings: somebody who put something into the queue, or the worker itself, which has room again."""
MACHINE_ID = Path("/etc/machine-id")


class Doorbell:
    """One worker's life: as long as it is open, or the process lives, others see it alive and can wake it."""

    def __init__(self, home: Path, life: str) -> None:
        """Make the bell. It gets its name when it is locked: a bell that can be seen free belongs to the dead."""
        directory = durable.make_directory(home / DIRECTORY)
        self._path = directory / f"{life}{ENDING}"
        unnamed = directory / f"{life}.new"
        os.mkfifo(unnamed, durable.FILE_MODE)
        self._fd = os.open(unnamed, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(self._path)
        self._poller = select.poll()
        self._poller.register(self._fd, select.POLLIN)

    def wait(self, seconds: float) -> bytes:
        """Rest for so long, or until somebody rings; return who did. All who rang before are answered with it."""
        if self._poller.poll(seconds * 1000):
            with contextlib.suppress(BlockingIOError):
                return os.read(self._fd, 65536)
        return b""

    def ring(self) -> None:
        """Wake the worker itself. One that was not answered yet has heard enough."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._fd, OWN)

    def close(self) -> None:
        """Be seen dead. Whoever still looks at the file finds its lock free."""
        self._path.unlink(missing_ok=True)
        os.close(self._fd)

    def fall_silent(self) -> None:
        """Free the lock and leave the file: what the worker had in hand is to be found by others, or its next start."""
        os.close(self._fd)


def ring(home: Path) -> None:
    """Wake every worker of a home; without one nobody is woken."""
    for life in lives(home):
        try:
            fd = os.open(_bell(home, life), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno not in (errno.ENXIO, errno.ENOENT):  # nobody listens any more
                raise
            continue
        with contextlib.suppress(OSError):
            os.write(fd, OUTSIDE)
        os.close(fd)


def lives(home: Path) -> list[str]:
    """Return the workers of a home that live, or died without being buried."""
    with contextlib.suppress(FileNotFoundError):
        return [path.name.removesuffix(ENDING) for path in (home / DIRECTORY).iterdir() if path.suffix == ENDING]
    return []


def is_alive(home: Path, life: str) -> bool:
    """Does a worker of this home live? The kernel knows."""
    return durable.is_held(_bell(home, life))


def dead(home: Path, place_id: str) -> Iterator[str]:
    """Yield the workers of a place that are dead for certain, and are not buried; of others the kernel cannot tell."""
    for life in lives(home):
        if place_of(life) == place_id and not is_alive(home, life):
            yield life


def bury(home: Path, life: str) -> None:
    """Forget a dead worker, whose name never comes again."""
    _bell(home, life).unlink(missing_ok=True)


def _bell(home: Path, life: str) -> Path:
    return home / DIRECTORY / f"{life}{ENDING}"


def place(home: Path) -> str:
    """Return the id of this home on this machine: those who share it can adopt each other's agents.

    A home that was copied to another machine, or a container's that came up anew, gets another id.
    """
    file = durable.make_directory(home / DIRECTORY) / "place"
    machine = f"{os.uname().nodename} {_machine_id()}"
    with durable.locked(file.with_name("place.lock")):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            known = json.loads(file.read_text(encoding="utf-8"))
            if known["machine"] == machine:
                return str(known["id"])
        own = uuid.uuid4().hex[:12]
        durable.write(file, json.dumps({"id": own, "machine": machine}).encode())
    return own


def new_life(home: Path) -> str:
    """Return a name for one life of a worker, unlike any other; it begins with the place."""
    return f"{place(home)}-{uuid.uuid4().hex[:8]}"


def place_of(life: str) -> str:
    """Return the place that a life belongs to."""
    return life.partition("-")[0]


def _machine_id() -> str:
    try:
        return MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def host() -> str:
    """Return this machine's name, for people."""
    return os.uname().nodename


def process() -> int:
    """Return the id of this process, for people."""
    return os.getpid()
