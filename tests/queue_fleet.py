"""Workers as processes, their queue, and the ledger by which tests judge them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import config, queue_engine, store_url
from components.ports import QueueEntry
from components.queue_engine import DbosQueue
from tests.waiting import until

PROGRAM = Path(__file__).with_name("queue_program.py")


@dataclass(frozen=True)
class Line:
    """What one worker noted of one attempt."""

    event: str
    agent: str
    attempt: int
    worker: str
    pid: int
    at: float


class Fleet:
    """Starts workers, each at a home that is its machine, on one queue."""

    def __init__(self, directory: Path, url: str = "") -> None:
        self.directory = directory
        self.url = url.replace(":not-asked-for@", "@") or store_url.of_file(directory / "engine.db")
        self.ledger_file = directory / "ledger"
        self.env: dict[str, str] = {}
        self.processes: list[subprocess.Popen[bytes]] = []

    def settings(self, **more: Any) -> dict[str, Any]:
        return {"queue": self.url, "worker_ttl": 2.0, **more}

    def start(
        self, name: str = "one", *, machine: str = "m1", wait: bool = True, prefix: Sequence[str] = (), **more: Any
    ) -> subprocess.Popen[bytes]:
        """Start a worker, by default until it is at work."""
        words = [str(self.directory / machine), str(self.ledger_file)]
        log = self.log(name)
        before = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*prefix, sys.executable, str(PROGRAM), *words, json.dumps(self.settings(worker_name=name, **more))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **self.env},
            )
        self.processes.append(process)
        if wait:
            until(
                lambda: b"is working" in log.read_bytes()[before:] or process.poll() is not None, f"worker {name}", 30
            )
            assert process.poll() is None, self.said(name)
        return process

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def said(self, name: str) -> str:
        log = self.log(name)
        return log.read_text(errors="replace") if log.exists() else ""

    @contextmanager
    def queue(self, machine: str = "m1") -> Iterator[DbosQueue]:
        """The queue as one who only tells has it."""
        home = self.directory / machine
        loaded = config.load({"home": str(home), **self.settings()}, {"HOME": str(home)})
        with queue_engine.opened(loaded.config) as queue:
            yield queue

    def enqueue(self, entries: Collection[QueueEntry], machine: str = "m1") -> None:
        with self.queue(machine) as queue:
            queue.enqueue(entries)

    def lines(self, *events: str) -> list[Line]:
        """Return what was noted, in order."""
        if not self.ledger_file.exists():
            return []
        found = []
        for text in self.ledger_file.read_text().splitlines():
            event, agent, attempt, worker, pid, at = text.split()
            if not events or event in events:
                found.append(Line(event, agent, int(attempt), worker, int(pid), float(at)))
        return found

    def ended(self) -> list[str]:
        return [line.agent for line in self.lines("end")]

    def open_gate(self) -> None:
        self.ledger_file.with_name("gate").touch()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)
