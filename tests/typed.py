"""Tasks as a person types them at a terminal, in a home of their own, with the stand-in agent of `runner`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components import background, process, typed_task
from components.run_directory import RunDirectory
from tests.runner import AGENT, ROOT, make_repository
from tests.waiting import until


class Terminal:
    """A person's shell: runs commands of ours, and looks at what they leave."""

    def __init__(self, directory: Path, *agent: str) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.repository = make_repository(directory / "repository")
        self.ledger = directory / "ledger"
        (directory / "agent.py").write_text(AGENT)
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HEADLESS_PM_HOME": str(self.home),
            "HEADLESS_PM_EVIDENCE": "none",
            "AGENT_COMMAND": " ".join([sys.executable, str(directory / "agent.py"), str(self.ledger), *agent]),
        }

    def argv(self, *words: str) -> list[str]:
        """Return a command line of ours."""
        return [sys.executable, "-m", "components.cli", *words]

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.argv(*words),
            env={**self.env, **env},
            cwd=self.repository,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def say(self, *words: str, **env: str) -> str:
        """Run a command that must go well, and return what it said."""
        ran = self.run(*words, **env)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def told(self, *words: str, **env: str) -> dict[str, Any]:
        """Return what a command tells programs."""
        answer: dict[str, Any] = json.loads(self.say(*words, "--json", **env))
        return answer

    def start(self, text: str = "Mend the roof") -> str:
        """Start a task in the background and return its id once its agent is at work."""
        claim = str(self.told("task", str(self.repository), text, "-b")["id"])
        until(lambda: "agent" in self.pids(claim), "the agent at work")
        return claim

    def at_work(self, claim: str) -> dict[str, Any]:
        """Return what `status` tells of an execution, empty where it does not know it."""
        return next((one for one in self.told("status")["executions"] if one["id"] == claim), {})

    def pids(self, claim: str) -> dict[str, int]:
        """Return who runner, shim and agent are."""
        pids: dict[str, int] = self.at_work(claim).get("pids", {})
        return pids

    def kill(self, claim: str, *who: str) -> None:
        """SIGKILL some of an execution's processes at once."""
        pids = self.pids(claim)
        for one in who:
            os.kill(pids[one], signal.SIGKILL)

    def ended(self, claim: str) -> dict[str, Any]:
        """Wait for the end of an execution, and return what the history tells of it."""
        until(lambda: self.told("show", claim)["is_over"] and not background.running(self.home), "the end")
        return self.told("show", claim)

    def starts(self) -> int:
        """Return how often an agent was started."""
        return self.ledger.read_text().count("start ") if self.ledger.exists() else 0

    def open_gate(self) -> None:
        """Let waiting agents go on."""
        (self.directory / "ledger.gate").touch()

    def close(self) -> None:
        """End every runner and every agent."""
        for claim in background.running(self.home):
            for pid in self._runners(claim):
                os.kill(pid, signal.SIGKILL)
        runs = self.home / "runs"
        for path in runs.iterdir() if runs.is_dir() else ():
            run = RunDirectory(path)
            process.stop(run, now=True)
            until(lambda run=run: run.state().name != "ALIVE", "the agent's end")  # type: ignore[misc]

    def _runners(self, claim: str) -> list[int]:
        """Return the processes that hold the lock of a typed task's runner."""
        alive = str(typed_task.directory_of(self.home, claim) / "alive")
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                try:
                    links = [os.readlink(f"/proc/{entry}/fd/{fd}") for fd in os.listdir(f"/proc/{entry}/fd")]
                except OSError:
                    continue
                if alive in links:
                    found.append(int(entry))
        return found


MakeTerminal = Callable[..., Terminal]
