"""The command `worker` with a trivial performer, for tests: what it does is a line in a file.

An agent whose id begins with `wait` waits until a file named `gate` lies beside the ledger; with `trouble` its machine
is in trouble; with `nap` it takes a moment.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
if "QUEUE_TEST_CLOCK" in os.environ:  # a machine whose clock is wrong by so many seconds
    right = time.time
    time.time = lambda: right() + float(os.environ["QUEUE_TEST_CLOCK"])

from components import config as configuration
from components.cli import exit_code
from components.cli.run import terminal
from components.cli.worker import work
from components.errors import Draining, RunnerError, StoreUnavailable, TaskTaken
from components.ports import QueueEntry
from components.schedule_kind import Schedule
from components.signals import Signals

RECORD = "QUEUE_TEST_RECORD"
"""The address of a database with a table `ends (agent text primary key, attempt integer)`."""


class LedgerPerformer:
    """Notes the beginning and the end of each entry; one whose end is noted is not performed again."""

    def __init__(self, ledger: Path, name: str) -> None:
        self.ledger = ledger
        self.gate = ledger.with_name("gate")
        self.name = name

    def note(self, event: str, agent_id: str, attempt: int) -> None:
        line = f"{event} {agent_id} {attempt} {self.name} {os.getpid()} {time.monotonic():.6f}\n"
        fd = os.open(self.ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, line.encode())
        os.close(fd)

    def perform(self, entry: QueueEntry, is_cancelled: Callable[[], bool]) -> None:
        marker = f"end {entry.agent_id} "
        if self.ledger.exists() and any(line.startswith(marker) for line in self.ledger.read_text().splitlines()):
            return
        self.note("start", entry.agent_id, entry.attempt)
        if entry.agent_id.startswith("trouble") and self.name == "sick":
            raise OSError("the disk of this machine is full")
        if self.works(entry, is_cancelled):
            self.note("end" if self.is_recorded(entry) else "late", entry.agent_id, entry.attempt)

    def works(self, entry: QueueEntry, is_cancelled: Callable[[], bool]) -> bool:
        """Do what the agent's name says; False where it was cancelled."""
        if entry.agent_id.startswith("nap"):
            time.sleep(0.03)
        if entry.agent_id.startswith("rest"):
            time.sleep(0.6)
            is_cancelled()
        try:
            while entry.agent_id.startswith("wait") and not self.gate.exists():
                if is_cancelled():
                    self.note("cancelled", entry.agent_id, entry.attempt)
                    return False
                time.sleep(0.02)
        except (Draining, TaskTaken) as error:
            self.note(type(error).__name__, entry.agent_id, entry.attempt)
            raise
        return True

    def is_recorded(self, entry: QueueEntry) -> bool:
        """Record the end where all machines see it, if the test gives such a place; False where it was there."""
        if RECORD not in os.environ:
            return True
        import psycopg

        try:
            with psycopg.connect(os.environ[RECORD], connect_timeout=2) as connection:
                done = connection.execute(
                    "INSERT INTO ends VALUES (%s, %s) ON CONFLICT DO NOTHING", (entry.agent_id, entry.attempt)
                )
                return done.rowcount == 1
        except psycopg.OperationalError as error:
            raise StoreUnavailable(str(error)) from error

    def recur(self, schedule: Schedule, firing: str) -> Collection[QueueEntry]:
        return [QueueEntry(f"{schedule.name}@{firing}", role=schedule.role)]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("settings", type=json.loads)
    words = parser.parse_args()
    settings = {"home": str(words.home), "verbosity": 1, **words.settings}
    config = configuration.load(settings, {"HOME": str(words.home)}).config
    signals = Signals(config.on_term)
    signals.install()
    try:
        return work(config, terminal(config), signals, lambda _: LedgerPerformer(words.ledger, config.worker_name))
    except RunnerError as error:
        print(error, flush=True)
        return exit_code(error)


if __name__ == "__main__":
    sys.exit(main())
