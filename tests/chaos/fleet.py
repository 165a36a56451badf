"""Some daemons on one machine and one queue, to be killed and started again."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from tests.chaos.ledger_judge import Ledger
from tests.pm_server import PmServer
from tests.runner import Runner, make_repository
from tests.waiting import until


class Fleet:
    """N agents that share a home; one repository for all, or one each."""

    def __init__(
        self, directory: Path, pm: PmServer, url: str, ledger: Ledger, *mode: str, size: int, shared: bool, **env: str
    ) -> None:
        self.home = directory / "home"
        self.members: list[Runner] = []
        self.now: list[subprocess.Popen[bytes] | None] = [None] * size
        for number in range(1, size + 1):
            member = Runner(directory, pm, agent_id=f"dev_{number}")
            if not shared:
                member.repository = make_repository(directory / f"repository-{number}")
            member.env |= {"HEADLESS_PM_API_URL": url, "AGENT_COMMAND": ledger.command(*mode), **env}
            self.members.append(member)

    def start(self, number: int) -> None:
        """Start a daemon."""
        self.now[number] = self.members[number].start()

    def kill(self, number: int) -> None:
        """SIGKILL a daemon."""
        process = self.now[number]
        if process is not None:
            self.members[number].kill(process)
        self.now[number] = None

    def left(self) -> list[str]:
        """Return the daemons that went by themselves, with the end of their logs."""
        return [
            f"{member.agent_id} left by itself with exit code {process.returncode}: {member.log.read_text()[-1500:]}"
            for member, process in zip(self.members, self.now, strict=True)
            if process is not None and process.poll() is not None
        ]

    def term(self, number: int) -> None:
        """Send SIGTERM to a daemon, once it has got so far as to listen."""
        process = self.now[number]
        assert process is not None
        until(lambda: _catches_term(process.pid), "the daemon to listen to SIGTERM")
        process.terminate()

    def stop(self) -> None:
        """Ask every daemon to leave, and see that it does."""
        for number, process in enumerate(self.now):
            if process is not None:
                self.term(number)
        for number, process in enumerate(self.now):
            if process is not None:
                assert process.wait(30) == 0, self.members[number].log.read_text()[-1500:]
        self.now = [None] * len(self.now)

    def close(self) -> None:
        """End everything, whatever happened."""
        for member in self.members:
            member.close()


def _catches_term(pid: int) -> bool:
    """Tell by /proc whether a process has a handler for SIGTERM; until then the signal just ends it."""
    lines = Path("/proc", str(pid), "status").read_text().splitlines()
    caught = int(next(line for line in lines if line.startswith("SigCgt:")).split()[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)
