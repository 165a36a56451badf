"""The command `worker` as its users start it, with the performer of agents and a stand-in agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("dbos")

from tests.runner import AGENT, ROOT, make_repository
from tests.waiting import until

COMMAND = [sys.executable, str(ROOT / "advanced_agent_runner.py")]


class Place:
    """A home, a repository, and a stand-in agent."""

    def __init__(self, directory: Path) -> None:
        self.repository = make_repository(directory / "repository")
        self.log = directory / "worker.log"
        (directory / "agent.py").write_text(AGENT)
        self.ledger = directory / "ledger"
        self.env = {
            **os.environ,
            "HEADLESS_PM_HOME": str(directory / "home"),
            "HEADLESS_PM_EVIDENCE": "none",
            "AGENT_COMMAND": f"{sys.executable} {directory / 'agent.py'} {self.ledger} wait commit",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words],
            cwd=self.repository,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*COMMAND, "worker", *words],
                cwd=self.repository,
                env=self.env,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def states(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def open_gate(self) -> None:
        self.ledger.with_name("ledger.gate").touch()

    def starts(self) -> int:
        return self.ledger.read_text().count("start ") if self.ledger.exists() else 0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.open_gate()
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_a_worker_that_is_stopped_leaves_its_agent_at_work_for_others_of_the_machine_to_adopt(place: Place) -> None:
    first = place.start("--json", "--name", "first")
    until(lambda: place.log.exists() and place.states(), "the worker at work", 30)
    spawned = place.run("agent", "spawn", "--role", "qa", "Look at it")
    assert spawned.returncode == 0, spawned.stderr
    until(lambda: place.starts() == 1, "the agent at work", 30)

    first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0
    shown = json.loads(place.run("worker", "--show", "--json").stdout)
    assert shown["at_work"] == {"qa": 1}
    place.start("--json", "--name", "second")
    until(lambda: any(one["worker"] == "second" for one in place.states()), "the second worker", 30)
    place.open_gate()

    until(lambda: "completed" in place.run("agent", "list").stdout, "the end of the agent", 30)
    until(lambda: json.loads(place.run("worker", "--show", "--json").stdout)["at_work"] == {}, "an empty queue")
    assert place.starts() == 1


def test_mistakes_are_told_with_what_to_do(place: Place) -> None:
    calls = {
        ("--queue", "mysql://db/x"): "not the address of a store",
        ("--queue", "postgresql://me:secret@db/x"): "every user here sees arguments",
        ("--concurrency", "0"): "write a whole number from 1 to 1000",
        ("--name", "a b"): "letter or a digit first",
    }
    for words, told in calls.items():
        done = place.run("worker", *words)
        assert (done.returncode, told in done.stderr) == (2, True), done.stderr

    (place.repository.parent / "config.yaml").write_text("schedules: {never: {cron: '0 0 31 2 *', task: Do it}}\n")
    done = place.run("worker", "--config", str(place.repository.parent / "config.yaml"))
    assert done.returncode == 2
    assert "schedules.never.cron" in done.stderr


def test_a_look_at_a_queue_that_nobody_works_at_tells_how_to_begin(place: Place) -> None:
    done = place.run("worker", "--show")

    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "No worker is at this queue; start one with `advanced-agent-runner worker`."


def test_a_worker_that_was_killed_here_is_shown_as_one_that_has_ended(place: Place) -> None:
    """Regression: it was shown as heard some seconds ago, though its lock was free; and one agent "are at work"."""
    worker = place.start("--json", "--name", "first")
    until(lambda: place.log.exists() and place.states(), "the worker at work", 30)
    place.run("agent", "spawn", "--role", "qa", "Look at it", "--no-worker")
    until(lambda: place.starts() == 1, "the agent at work", 30)
    assert "heard " in place.run("worker", "--show").stdout.splitlines()[0]
    worker.kill()
    worker.wait()

    shown = place.run("worker", "--show").stdout.splitlines()

    assert shown[0].endswith("4 at once; it has ended; what it had is for the next worker here"), shown
    assert shown[1:] == ["0 wait", "1 is at work (qa: 1)"]
    assert json.loads(place.run("worker", "--show", "--json").stdout)["workers"][0]["is_gone"]


def test_what_recurs_is_shown_with_its_next_time_and_withdrawn_by_name(place: Place) -> None:
    file = place.repository.parent / "config.yaml"
    file.write_text("schedules: {nightly: {cron: '0 3 * * *', task: Sweep}}\n")
    worker = place.start("--json", "--config", str(file))
    until(lambda: place.log.exists() and place.states(), "the worker at work", 30)
    shown = place.run("worker", "--show").stdout.splitlines()[-1]
    assert (shown[:38], shown[-22:]) == ("nightly: 0 3 * * *, next at " + shown[28:38], "T03:00:00+00:00: Sweep")

    withdrawn = place.run("worker", "--withdraw", "nightly")

    assert (withdrawn.returncode, "nightly fires no more" in withdrawn.stdout) == (0, True), withdrawn.stderr
    again = place.run("worker", "--withdraw", "nightly")
    assert (again.returncode, "in force are: none" in again.stderr) == (4, True)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0


def test_a_worker_whose_store_is_away_says_so_once_and_waits(place: Place) -> None:
    """Regression: it exited with 1, where the queue was another database than the store."""
    place.env["HEADLESS_PM_STORE"] = "postgresql://runner@127.0.0.1:1/runs"
    assert place.run("worker", "--show").returncode == place.run("workflow", "list").returncode == 69
    place.env["HEADLESS_PM_QUEUE"] = f"sqlite:///{place.log.parent / 'queue.db'}"
    worker = place.start()
    until(lambda: "waiting for it" in (place.log.read_text() if place.log.exists() else ""), "the wait", 30)

    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(2.5)
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(30) == 0
    assert place.log.read_text().count("127.0.0.1:1/runs does not answer") == 1
