"""A real PostgreSQL server for a test run: made in a directory of its own, on a loopback port, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

UNPRIVILEGED = ("postgres", "nobody")
FAST = ("fsync=off", "full_page_writes=off", "max_connections=60", "shared_buffers=16MB", "wal_level=minimal")


class PostgreSql:
    """A running server. It refuses to run as root, so it runs as another user there."""

    def __init__(self, directory: Path, programs: Path) -> None:
        self.directory = directory
        self.programs = programs
        self.data = directory / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.user = next((name for name in UNPRIVILEGED if _exists(name)), None) if os.getuid() == 0 else None
        if self.user:
            shutil.chown(directory, self.user)

    def create(self) -> None:
        self._call("initdb", "-D", str(self.data), "-U", "runner", "-A", "trust", "--no-sync", "-E", "UTF8")

    def start(self) -> None:
        options = " ".join(f"-c {option}" for option in (*FAST, "max_wal_senders=0", "listen_addresses=127.0.0.1"))
        options += f" -p {self.port} -k {self.directory}"
        self._call(
            "pg_ctl", "-D", str(self.data), "-w", "-t", "60", "-l", str(self.directory / "log"), "-o", options, "start"
        )

    def stop(self) -> None:
        self._call("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop")

    def database(self) -> str:
        """Return the address of a new, empty database."""
        name = f"d{uuid.uuid4().hex[:12]}"
        self._call("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "runner", name)
        return f"postgresql://runner:not-asked-for@127.0.0.1:{self.port}/{name}"

    def _call(self, program: str, *words: str) -> None:
        argv = [str(self.programs / program), *words]
        done = subprocess.run(
            argv,
            check=False,
            user=self.user,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"


@contextlib.contextmanager
def running() -> Iterator[PostgreSql]:
    """A server for a session of tests; where none can be started, its tests are skipped and say so."""
    initdb = shutil.which("initdb") or next(
        iter(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))), None
    )
    if initdb is None:
        pytest.skip("no PostgreSQL server is installed here (apt-get install postgresql): not tested against one")
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    server = PostgreSql(directory, Path(initdb).resolve().parent)
    if os.getuid() == 0 and server.user is None:
        pytest.skip("PostgreSQL does not run as root, and there is no other user: not tested against one")
    try:
        server.create()
        server.start()
        yield server
    finally:
        with contextlib.suppress(AssertionError):
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _exists(name: str) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return False
