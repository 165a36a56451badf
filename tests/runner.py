"""The runner as its users start it: a process of its own, a repository, a home, and a stand-in agent where wanted.

The stand-in is a program; each of its lives leaves a line in a ledger, so that tests judge from outside.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from components import TaskPersistence
from components.model import Held
from components.run_directory import RunDirectory
from tests.pm_server import PmServer
from tests.waiting import until

ROOT = Path(__file__).parent.parent
AGENT = """
import os, sys, time
ledger, mode = sys.argv[1], sys.argv[2:]
prompt = sys.stdin.read()
def note(event):
    line = f"{event} {os.environ['AGENT_RUNNER_TASK_ID']} {os.environ['AGENT_RUNNER_ATTEMPT']} {os.getpid()}\\n"
    fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, line.encode())
    os.close(fd)
note("start")
print("working", flush=True)
if "scribble" in mode:
    open("scribble.txt", "w").write("not committed\\n")
gate = ledger + ".gate"
if "wait" in mode:
    while not os.path.exists(gate):
        time.sleep(0.02)
if "fail" in mode:
    sys.exit(1)
if "crash-once" in mode and os.environ["AGENT_RUNNER_ATTEMPT"] == "1":
    os.kill(os.getpid(), 9)
if "write" in mode:
    open("work.txt", "a").write("work of attempt " + os.environ["AGENT_RUNNER_ATTEMPT"] + "\\n")
if "commit" in mode:
    os.system("git add -A && git commit -qm 'Do the work'")
if "fail-after" in mode:
    sys.exit(1)
print("finished", flush=True)
note("end")
"""


def make_repository(path: Path) -> Path:
    """Make a git repository with one commit on `main`."""
    path.mkdir(parents=True)
    (path / "README").write_text("A repository\n")
    for argv in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "Begin"]):
        subprocess.run(["git", *argv], cwd=path, check=True)
    return path


def git(path: Path, *argv: str) -> str:
    """Run git and return what it says."""
    return subprocess.run(["git", *argv], cwd=path, check=True, capture_output=True, text=True).stdout.strip()


def ended(pm: PmServer, task: dict[str, Any]) -> tuple[str, str]:
    """Return where a task stands at the server, and its notes with the comments."""
    now = pm.api.look(task["id"])
    return now["status"], now["notes"]


def begun_at(run: Path) -> float:
    """Return when a run directory was made: files that come into it later do not count."""
    spec = run / "spec.json"
    return spec.stat().st_mtime if spec.exists() else run.stat().st_ctime


class Runner:
    """Starts runner processes of one agent against one server, and looks at what they leave."""

    def __init__(self, directory: Path, pm: PmServer, *agent: str, agent_id: str = "dev_1") -> None:
        self.directory = directory
        self.pm = pm
        self.agent_id = agent_id
        self.home = directory / "home"
        self.repository = directory / "repository"
        if not self.repository.exists():
            make_repository(self.repository)
        self.ledger_file = directory / "ledger"
        script = directory / "agent.py"
        script.write_text(AGENT)
        no_hooks = directory / "no-hooks"
        no_hooks.mkdir(exist_ok=True)
        self.env = {
            **os.environ,
            "HEADLESS_PM_HOME": str(self.home),
            "HEADLESS_PM_API_URL": pm.url,
            "HEADLESS_PM_API_KEY": pm.key,
            "HEADLESS_PM_SETTLE": "0.5",
            "HEADLESS_PM_POLL_INTERVAL": "0.2",
            "HEADLESS_PM_HOOKS_DIRECTORY": str(no_hooks),  # they are for test_default_hooks, and for make demo
            "HEADLESS_PM_EVIDENCE": "none",  # the stand-in's word is taken; what is done with it is for test_proof
        }
        if agent:
            words = [sys.executable, str(script), str(self.ledger_file), *agent]
            self.env["AGENT_COMMAND"] = " ".join(words)
        self.log = directory / f"{agent_id}.log"
        self.processes: list[subprocess.Popen[bytes]] = []

    def argv(self, *arguments: str, role: str = "backend_dev") -> list[str]:
        """Return the command line of a daemon."""
        fixed = ["--role", role, "--agent-id", self.agent_id, "--repo", str(self.repository)]
        return [sys.executable, str(ROOT / "advanced_agent_runner.py"), *fixed, *arguments]

    def run(self, *arguments: str, role: str = "backend_dev", **env: str) -> subprocess.CompletedProcess[str]:
        """Run a runner to its end, within a minute."""
        return subprocess.run(
            self.argv(*arguments, role=role),
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def start(self, *arguments: str, role: str = "backend_dev", **env: str) -> subprocess.Popen[bytes]:
        """Start a daemon; its output goes to the log."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.argv(*arguments, role=role),
                env={**self.env, **env},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def said(self, words: str) -> bool:
        """Whether a daemon's log has these words."""
        return words in self.log.read_text(errors="replace")

    def ledger(self) -> list[list[str]]:
        """Return what the agents noted: event, task, attempt, pid."""
        if not self.ledger_file.exists():
            return []
        return [line.split() for line in self.ledger_file.read_text().splitlines()]

    def starts(self) -> int:
        """Return how often an agent was started."""
        return sum(line[0] == "start" for line in self.ledger())

    def open_gate(self) -> None:
        """Let waiting agents go on."""
        self.ledger_file.with_name("ledger.gate").touch()

    def journal(self) -> Held | None:
        """Return the journal as a restart would find it."""
        return TaskPersistence(self.agent_id, self.home).get_locked_task()

    def journal_is(self, phase: str) -> bool:
        """Whether the journal is in a phase; for waiting."""
        try:
            data: dict[str, Any] = json.loads((self.home / "locks" / f"agent-{self.agent_id}.lock").read_text())
        except FileNotFoundError:
            return False
        return bool(data["phase"] == phase)

    def runs(self) -> list[RunDirectory]:
        """Return all run directories, the oldest first."""
        if not (self.home / "runs").exists():
            return []
        return [RunDirectory(path) for path in sorted((self.home / "runs").iterdir(), key=begun_at)]

    def close(self) -> None:
        """End every daemon and every agent."""
        from components import process as processes

        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for run in self.runs():
            processes.stop(run, now=True)
            until(lambda run=run: run.state().name != "ALIVE", "the agent's end")  # type: ignore[misc]

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL a daemon, and only it."""
        process.send_signal(signal.SIGKILL)
        process.wait()
