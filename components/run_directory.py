"""The files of one attempt: what the agent was given, what it printed, and how it ended.

```
runs/<task>-<claim>-<attempt>/   0700
  spec.json   argv, working directory, limits (no environment: secrets stay out of files)
  prompt      the agent's standard input
  out err     the agent's own output, written by it, read by everybody
  pids        who shim and agent are; there before the agent may exec
  alive       locked by shim and agent: the kernel frees it when both are gone
  watched     locked by the daemon that looks after the run
  exit        how it ended: 256 bytes, PENDING until then
  cgroup      the directory of the agent's cgroup, where it has one
  stopped_for why the runner had it stopped, where it did
  closed      there once its claim is over: nobody goes on with it
```
"""

from __future__ import annotations

import enum
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components import durable
from components.model import Command, ExitRecord, ProcessId
from components.short_id import SHORT

RECEIPT = "result.json"
"""What was done, and how that is known; there once the run was judged."""
JOURNAL = "journal.json"
"""The copy of the journal as it was when the run began."""
TRANSCRIPT_BEFORE = "transcript_before"
"""How many bytes the session's transcript had when the run began: what follows is of this run."""
CLOSED = "closed"
"""There once the run's claim is over, so that a later claim of the task never takes the run for its own."""
RECORD_BYTES = 256
PENDING = b"PENDING".ljust(RECORD_BYTES - 1) + b"\n"


class RunState(enum.Enum):
    """What a look at the files proves."""

    NEVER_RAN = enum.auto()
    ALIVE = enum.auto()
    ENDED = enum.auto()
    VANISHED = enum.auto()


@dataclass(frozen=True, slots=True)
class Limits:
    """What the shim holds the agent to. Times in seconds.

    `grace` lies between asking the agent to end and killing it; `leash` is how long it may go on with no daemon.
    """

    timeout: float
    grace: float = 10.0
    leash: float = 3600.0
    output_bytes: int = 1 << 30


class RunDirectory:
    """The run directory of one attempt. A look at it never changes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, runs: Path, task_id: str, claim: str, attempt: int) -> RunDirectory:
        """Return the directory of an attempt among all `runs`."""
        return cls(runs / f"{task_id}-{claim[:SHORT]}-{attempt}")

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def out(self) -> Path:
        return self.path / "out"

    @property
    def err(self) -> Path:
        return self.path / "err"

    @property
    def temporary(self) -> Path:
        """The agent's own TMPDIR."""
        return self.path / "tmp"

    def create(self, command: Command, directory: Path, limits: Limits) -> None:
        """Write all that the shim needs and make it durable. Repeating it before the agent ran is harmless."""
        durable.make_directory(self.temporary)
        spec = {
            "argv": list(command.argv),
            "cwd": str(directory),
            "limits": asdict(limits),
        }
        durable.create(self.path / "spec.json", json.dumps(spec, indent=2).encode())
        durable.create(self.path / "prompt", command.stdin.encode())
        for name in ("out", "err", "alive", "watched"):
            durable.create(self.path / name)
        durable.create(self.path / "exit", PENDING)
        durable.sync_directory(self.path)
        durable.sync_directory(self.path.parent)

    def shim_words(self, cgroup: Path | None) -> list[str]:
        """Return what the shim is told on its command line: limits, cgroup, directory and the agent's argv."""
        spec = json.loads((self.path / "spec.json").read_bytes())
        limits = spec["limits"]
        numbers = [limits[name] for name in ("timeout", "grace", "leash", "output_bytes")]
        return [*map(str, numbers), str(cgroup or ""), spec["cwd"], *spec["argv"]]

    def note_cgroup(self, leaf: Path | None) -> None:
        """Keep where the agent's cgroup is: a later daemon may be in another one, and would look in vain below that.

        The directory is synced with `pids`, before the agent may run.
        """
        if leaf is not None:
            durable.create(self.path / "cgroup", os.fsencode(leaf))

    @property
    def cgroup(self) -> Path | None:
        """The directory of the agent's cgroup, or None where it has none; it has the run's name in its own."""
        try:
            leaf = Path(os.fsdecode((self.path / "cgroup").read_bytes()))
        except (OSError, ValueError):
            return None
        return leaf if leaf.name.endswith(f"-{self.name}") else None

    def limits(self) -> Limits | None:
        """Return what the shim holds the agent to, or None where that cannot be read any more."""
        try:
            return Limits(**json.loads((self.path / "spec.json").read_bytes())["limits"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def state(self) -> RunState:
        """Tell where the run stands, from its locks and records only: no process id is trusted here."""
        if self._is_locked("alive"):
            record = self._record()
            return RunState.ENDED if record.get("state") in ("CLEAN", "DIRTY") else RunState.ALIVE
        if "exit_code" in self._record():
            return RunState.ENDED
        return RunState.VANISHED if (self.path / "pids").exists() else RunState.NEVER_RAN

    def exit_record(self) -> ExitRecord | None:
        """Return how the agent ended, or None where no shim lived to see it."""
        record = self._record()
        if "exit_code" not in record:
            return None
        return ExitRecord(
            exit_code=record["exit_code"],
            signal=record["signal"],
            why=record["why"],
            cpu_seconds=record.get("cpu_seconds", 0.0),
            rss_kilobytes=record.get("rss_kilobytes", 0),
            seconds=record.get("seconds", 0.0),
            clean=record.get("state") == "CLEAN",
        )

    def pids(self) -> dict[str, ProcessId]:
        """Return who `shim` and `agent` are; empty before they are known."""
        try:
            data = json.loads((self.path / "pids").read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return {
            who: ProcessId(data[who][0], data[who][1], data["boot_id"], data["pid_namespace"])
            for who in ("shim", "agent")
        }

    def first_words(self, limit: int = 400) -> str:
        """Return the beginning of what the agent wrote to its error output, for people."""
        try:
            with self.err.open("rb") as file:
                return file.read(limit).decode(errors="replace").strip()
        except FileNotFoundError:
            return ""

    def last_words(self, limit: int = 4000) -> str:
        """Return the end of what the agent wrote to its error output, for people."""
        try:
            with self.err.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
                return file.read(limit).decode(errors="replace").strip()
        except FileNotFoundError:
            return ""

    def _record(self) -> dict[str, Any]:
        try:
            record = json.loads((self.path / "exit").read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _is_locked(self, name: str) -> bool:
        return durable.is_held(self.path / name)
