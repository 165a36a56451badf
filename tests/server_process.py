"""The service in a process of its own, for the length of a test, with an agent that is a program of ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from components import process as processes
from components.run_directory import RunDirectory, RunState
from tests.runner import ROOT, git, make_repository
from tests.waiting import until

SERVING = "Serving at "
START_SECONDS = 60.0
AGENT = """
import os, sys, time, pathlib
prompt = sys.stdin.read()
here = pathlib.Path(sys.argv[1])
(here / "prompt").write_text(prompt)
exec((here / "play").read_text())
"""


class Server:
    """A `serve` process with a repository `shop`; what agents do is Python in the file `play`."""

    def __init__(self, directory: Path, *arguments: str, play: str = "print('done')", **env: str) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.repository = directory / "shop"
        if not self.repository.exists():
            make_repository(self.repository)
        self.play(play)
        (directory / "agent.py").write_text(AGENT)
        self.log = directory / "serve.log"
        self.env = {
            **os.environ,
            "HEADLESS_PM_HOME": str(self.home),
            "AGENT_COMMAND": f"{sys.executable} {directory / 'agent.py'} {directory}",
            "PYTHONPATH": str(ROOT),
            **env,
        }
        self.arguments = arguments
        self.port = 0
        self.start()

    def play(self, code: str) -> None:
        """Say what the next agents do."""
        (self.directory / "play").write_text(code)

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv("--port", str(self.port), "--repo", str(self.repository), *self.arguments),
                env=self.env,
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
                cwd=self.directory,
            )
        self.said = self._announced()
        self.url = self.said.removeprefix(SERVING)
        self.port = int(self.url.rsplit(":", 1)[1])

    def argv(self, *words: str) -> list[str]:
        """Return the command line of a service."""
        return [sys.executable, "-m", "components.cli", "serve", *words]

    def _announced(self) -> str:
        assert self.process.stdout is not None
        silent = threading.Timer(START_SECONDS, self.process.kill)
        silent.start()
        try:
            for line in self.process.stdout:
                if line.startswith(SERVING):
                    return line.strip()
        finally:
            silent.cancel()
        raise AssertionError(f"the service did not start: {self.log.read_text()}")

    def token(self, name: str = "serve.token") -> str:
        """Return a token."""
        return (self.home / name).read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        """What may do everything."""
        return {"Authorization": f"Bearer {self.token()}"}

    def client(self, **more: Any) -> httpx.Client:
        """Return a client that may do everything."""
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=30, trust_env=False, **more)

    def socket_url(self, path: str) -> str:
        """Return the address of a WebSocket."""
        return f"ws{self.url.removeprefix('http')}{path}"

    def runner_pid(self, execution: str) -> int:
        """Return the process id of an execution's runner, 0 where none lives."""
        return _runner_of(execution)

    def agent_pid(self) -> int:
        """Return the process id of the agent of the only run there is."""
        (run,) = (self.home / "runs").iterdir()
        return RunDirectory(run).pids()["agent"].pid

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()

    def close(self) -> None:
        """End it with all runners and agents that it has started."""
        self.stop(signal.SIGKILL)
        for path in (self.home / "tasks").glob("*/alive"):
            _end_holder(path)
        for path in (self.home / "runs").glob("*"):
            run = RunDirectory(path)
            processes.stop(run, now=True)
            until(lambda run=run: run.state() is not RunState.ALIVE, "the agent's end")  # type: ignore[misc]


def _end_holder(alive: Path) -> None:
    """Kill the runner that holds a lock."""
    while pid := _runner_of(alive.parent.name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _runner_of(claim: str) -> int:
    """Return the process id of an execution's runner, 0 where none lives: its command line names the execution."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if b"execute" in words and claim.encode() in words:
                return int(path.parent.name)
    return 0


@contextlib.contextmanager
def serving(directory: Path, *arguments: str, **more: Any) -> Iterator[Server]:
    """Run `serve` for the length of a test."""
    server = Server(directory, *arguments, **more)
    try:
        yield server
    finally:
        server.close()


__all__ = ["Server", "git", "serving"]
