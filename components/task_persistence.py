"""The journal of one agent: the task in hand, as a file that a person can read and a crash cannot tear."""

from __future__ import annotations

import dataclasses
import os
import stat
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components import durable, journal_format, pm_wire
from components.errors import AgentIdInUse, StateCorrupt, StateForeign, UnsafeName
from components.model import Held, Task, Workspace
from components.process import boot_id
from components.states import Phase

LOCK_ATTEMPTS = 5
LARGEST_BYTES = 64 << 20


class TaskPersistence:
    """The lock file `locks/agent-<id>.lock`, and the flock beside it that keeps other daemons out."""

    def __init__(self, agent_id: str, home: Path | None = None, host: str | None = None) -> None:
        if not journal_format.AGENT_ID.fullmatch(agent_id):
            raise UnsafeName(f"agent id {agent_id!r}: use letters, digits and . _ @ - (64 at most)")
        self.agent_id = agent_id
        self.host = host or host_name()
        self.directory = (home or Path.home() / ".headless-pm") / "locks"
        self.lock_file = self.directory / f"agent-{agent_id}.lock"
        self.last: Held | None = None
        self._flock: int | None = None

    def hold(self) -> None:
        """Keep every other daemon of this agent id out until we die. Raises AgentIdInUse naming the first one's pid."""
        durable.make_directory(self.directory)
        path = self.directory / f"agent-{self.agent_id}.flock"
        for _ in range(LOCK_ATTEMPTS):
            self._flock = durable.try_lock(path)
            if self._flock is not None:
                os.ftruncate(self._flock, 0)
                os.pwrite(self._flock, f"{os.getpid()}\n".encode(), 0)
                return
            time.sleep(0.02)
        pid = path.read_text(encoding="ascii", errors="replace").strip() or "unknown"
        raise AgentIdInUse(
            f"agent id {self.agent_id} is in use by process {pid} on this machine;"
            f" stop it (kill {pid}) or choose another --agent-id"
        )

    def lock_task(
        self,
        task: Task | Mapping[str, Any],
        worktree_path: Path | None = None,
        branch_name: str | None = None,
    ) -> Held:
        """Write down the intent to do a task, before its lock is asked for at the source."""
        task = task if isinstance(task, Task) else pm_wire.parse_task(task, strict=False)
        workspace = None
        if worktree_path is not None:
            workspace = Workspace(worktree_path, worktree_path, branch_name or "", is_worktree=True)
        return self.save(
            Held(
                task=task,
                agent_id=self.agent_id,
                phase=Phase.CLAIMING,
                claim=uuid.uuid4().hex,
                session_id=str(uuid.uuid4()),
                taken_from=task.status,
                locked_at=now_text(),
                host=self.host,
                boot_id=boot_id(),
                workspace=workspace,
            )
        )

    def save(self, held: Held) -> Held:
        """Make a phase durable; what is returned is what a restart would find."""
        held = dataclasses.replace(held, updated_at=now_text(), boot_id=boot_id(), recovered=False)
        durable.make_directory(self.directory)
        durable.write(self.lock_file, journal_format.dump(held))
        self.last = held
        return held

    def get_locked_task(self) -> Held | None:
        """Return the task in hand, marked as recovered, or None.

        A file that cannot be trusted is set aside and named in StateCorrupt; one of another host is left alone and
        named in StateForeign. Nothing is ever overwritten.
        """
        try:
            held = journal_format.parse(self._content())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise StateCorrupt(self._set_aside(str(error))) from error
        if held.agent_id != self.agent_id:
            raise StateCorrupt(self._set_aside(f"it belongs to agent {held.agent_id!r}"))
        if held.host not in ("", self.host):
            raise StateForeign(
                f"{self.lock_file} was written on host {held.host}, and this is {self.host}: its agent may be at work"
                " there. Start the runner there, or move the file away if that host is gone for good"
            )
        return dataclasses.replace(held, recovered=True)

    def _content(self) -> bytes:
        """Read the lock file. Raises ValueError for what is no file of a size that we write."""
        fd = os.open(self.lock_file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_BYTES:
                raise ValueError("it is no plain file of a usual size")
            return self.lock_file.read_bytes()
        finally:
            os.close(fd)

    def release_lock(self) -> None:
        """Forget the task in hand, for good."""
        if self.lock_file.exists():
            durable.remove(self.lock_file)
        self.last = None

    def is_locked(self) -> bool:
        """Whether a task is in hand."""
        return self.lock_file.exists()

    def _set_aside(self, why: str) -> str:
        aside = durable.quarantine(self.lock_file)
        return f"the lock file {self.lock_file} cannot be used ({why}); it was kept as {aside.name}, look at it there"


def age(held: Held) -> float:
    """Return how long ago the task was locked, in seconds of wall time (for people only)."""
    try:
        then = datetime.fromisoformat(held.locked_at)
    except ValueError:
        return 0.0
    return max(0.0, (datetime.now(UTC) - then.astimezone(UTC)).total_seconds())


def now_text() -> str:
    """Return the wall time as people read it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def host_name() -> str:
    """Return a name for this machine that survives a reboot: its machine id, or its host name where there is none."""
    try:
        text = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    return text or os.uname().nodename
