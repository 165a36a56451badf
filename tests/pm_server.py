"""A Headless PM server in a process of its own, for the length of a test.

with running_pm(tmp_path, "--real") as pm:
    task = pm.api.task("Fix it")
    assert pm.api.lock(task["id"], "dev_1").status_code == 200
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

KEY = "test-key-of-the-pm"
ROOT = Path(__file__).resolve().parent.parent
LISTENING = "Headless PM listening on "
STOP_SECONDS = 15.0
ANSWER_SECONDS = 30.0


class Api:
    """The PM's endpoints, unguarded: every call returns the response as it is, but for the few that say otherwise."""

    def __init__(self, url: str, key: str) -> None:
        self.base = f"{url}/api/v1"
        self.root = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["X-API-Key"] = key

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> requests.Response:
        """Ask for a path below /api/v1, or for one from the root when it starts with two slashes."""
        url = self.root + path[1:] if path.startswith("//") else self.base + path
        return self.session.request(method, url, json=body, params=query, timeout=ANSWER_SECONDS)

    def get(self, path: str, **query: Any) -> requests.Response:
        """Read."""
        return self.call("GET", path, **query)

    def register(self, agent_id: str, role: str = "backend_dev", level: str = "senior") -> requests.Response:
        """Sign an agent in."""
        return self.call("POST", "/register", {"agent_id": agent_id, "role": role, "level": level})

    def feature(self) -> int:
        """Return the id of a feature, made with its epic and the agent `pm_1` when there is none."""
        assert self.register("pm_1", "pm", "principal").status_code == 200
        epics = self.get("/epics").json()
        epic = (
            epics[0] if epics else self.call("POST", "/epics", {"name": "E", "description": ""}, agent_id="pm_1").json()
        )
        features = self.get(f"/features/{epic['id']}").json()
        if features:
            return int(features[0]["id"])
        body = {"epic_id": epic["id"], "name": "F", "description": ""}
        return int(self.call("POST", "/features", body, agent_id="pm_1").json()["id"])

    def task(self, title: str = "T", *, status: str = "created", **fields: Any) -> dict[str, Any]:
        """Make a task with whatever it needs, move it to `status`, and return it."""
        usual = {"description": "do it", "target_role": "backend_dev", "difficulty": "senior", "complexity": "minor"}
        body = {"feature_id": self.feature(), "title": title, "branch": "", **usual, **fields}
        answer = self.call("POST", "/tasks/create", body, agent_id="pm_1")
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        if made["status"].lower() != status:
            answer = self.status(made["id"], "pm_1", status)
            assert answer.status_code == 200, answer.text
            made = answer.json()["task"]
        return made

    def clear(self) -> None:
        """Delete all epics with their features and tasks."""
        for epic in self.get("/epics").json():
            assert self.register("pm_1", "pm", "principal").status_code == 200
            assert self.call("DELETE", f"/epics/{epic['id']}", agent_id="pm_1").status_code == 200

    def tasks(self, **query: Any) -> list[dict[str, Any]]:
        """Return the list of tasks."""
        listed: list[dict[str, Any]] = self.get("/tasks", **query).json()
        return listed

    def look(self, task_id: int) -> dict[str, Any]:
        """Return one task as the list shows it; works on every server."""
        return next(task for task in self.tasks() if task["id"] == task_id)

    def next(self, role: str = "backend_dev", level: str = "senior", timeout: float = 0) -> requests.Response:
        """Ask for the next task."""
        return self.get("/tasks/next", role=role, level=level, timeout=timeout)

    def lock(self, task_id: int, agent_id: str) -> requests.Response:
        """Lock a task."""
        return self.call("POST", f"/tasks/{task_id}/lock", agent_id=agent_id)

    def unlock(self, task_id: int, agent_id: str) -> requests.Response:
        """Unlock a task."""
        return self.call("POST", f"/tasks/{task_id}/unlock", agent_id=agent_id)

    def status(self, task_id: int, agent_id: str, status: Any, notes: str | None = None) -> requests.Response:
        """Move a task."""
        return self.call("PUT", f"/tasks/{task_id}/status", {"status": status, "notes": notes}, agent_id=agent_id)

    def comment(self, task_id: int, agent_id: str, text: str) -> requests.Response:
        """Comment on a task."""
        return self.call("POST", f"/tasks/{task_id}/comment", {"comment": text}, agent_id=agent_id)

    def fault(self, kind: str, **fields: Any) -> None:
        """Inject a fault (a server started with --faults)."""
        answer = self.call("POST", "//_faults", {"kind": kind, **fields})
        assert answer.status_code == 200, answer.text

    def forgive(self) -> None:
        """Take all injected faults back."""
        assert self.call("DELETE", "//_faults").status_code == 200


class PmServer:
    """A server process. `url`, `key`, `database` and `api` stay the same over `restart()`."""

    def __init__(self, directory: Path, *args: str) -> None:
        self.database = directory / "pm.db"
        self.key = KEY
        self.log = directory / "pm.log"
        self._args = args
        self._home = directory
        self.port = 0
        self._start()
        self.api = Api(self.url, self.key)

    @property
    def url(self) -> str:
        """Return the address, without /api/v1."""
        return f"http://127.0.0.1:{self.port}"

    def _start(self) -> None:
        environment = {**os.environ, "HEADLESS_PM_API_KEY": KEY, "HEADLESS_PM_HOME": str(self._home)}
        program = [sys.executable, "-m", "components.cli", "pm", "serve"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*program, "--port", str(self.port), "--db", str(self.database), *self._args],
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env=environment,
                text=True,
                start_new_session=True,
            )
        self.port = int(self._announced().rsplit(":", 1)[1])

    def _announced(self) -> str:
        """Wait for the line that tells the address; a server that ends or stays silent is an error with its log."""
        assert self.process.stdout is not None
        silent = threading.Timer(ANSWER_SECONDS, self.process.kill)
        silent.start()
        try:
            for line in self.process.stdout:
                if line.startswith(LISTENING):
                    return line[len(LISTENING) :].strip()
        finally:
            silent.cancel()
        self.kill()
        raise AssertionError(f"the PM server did not start: {self.log.read_text()}")

    def stop(self) -> int:
        """Ask the server to stop and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Kill the server, as a power cut would."""
        return self._end(signal.SIGKILL)

    def _end(self, signal_number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            code = self.process.wait(STOP_SECONDS)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()
        return code

    def restart(self, *args: str) -> None:
        """Kill the server and start it again on the same port and database, with new arguments if any are given."""
        self.kill()
        self._args = args or self._args
        self.start()

    def start(self) -> None:
        """Start a server that was stopped or killed."""
        self._start()


def at_once(pm: PmServer, callers: int, ask: Callable[[Api, int], requests.Response]) -> list[int]:
    """Let many callers, each with a connection of its own, ask at the same instant; return the status codes."""
    barrier = threading.Barrier(callers)

    def call(number: int) -> int:
        api = Api(pm.url, pm.key)
        with api.session:
            api.get("//health")
            barrier.wait(30)
            return ask(api, number).status_code

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(call, range(callers)))


@contextlib.contextmanager
def running_pm(directory: Path, *args: str) -> Iterator[PmServer]:
    """Run `pm serve` with its data in a directory of the test; `args` are further options."""
    server = PmServer(directory, *args)
    try:
        yield server
    finally:
        server.api.session.close()
        server.kill()
