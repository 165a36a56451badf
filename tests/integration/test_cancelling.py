"""`cancel`: the grace that was asked for is given, and nothing outlives it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import stopping, waking
from components.execution_index import ExecutionFiles
from tests.typed import Terminal
from tests.waiting import until

SAVES_ITS_WORK = """
import signal, sys, time
def end(*_):
    time.sleep(float(sys.argv[2]))
    open(sys.argv[1] + ".saved", "w").write("saved")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(sys.argv[1], "w").write("start ")
while True:
    time.sleep(0.05)
"""
FORKS = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write("start ")
for number in range(40):
    if os.fork() == 0:
        if number % 2:
            os.setsid()
        if number % 3 == 0 and os.fork():
            os._exit(0)
        with open(sys.argv[1] + ".pids", "a") as file:
            file.write(f"{os.getpid()}\\n")
        while True:
            time.sleep(1)
while True:
    time.sleep(1)
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    one = Terminal(tmp_path)
    yield one
    one.close()


def started(terminal: Terminal, program: str, *words: str, **env: str) -> str:
    """Start a task whose agent is this program, and return its id once it is at work."""
    (terminal.directory / "own.py").write_text(program)
    command = [sys.executable, str(terminal.directory / "own.py"), str(terminal.ledger), *words]
    terminal.env |= {"AGENT_COMMAND": " ".join(command), **env}
    claim = terminal.start()
    until(terminal.ledger.exists, "the agent's first step")
    return claim


def test_an_agent_gets_more_than_the_usual_grace_where_that_is_asked(terminal: Terminal) -> None:
    """Regression: the shim killed after `grace`, whatever `cancel --grace` had said."""
    claim = started(terminal, SAVES_ITS_WORK, "2.5", HEADLESS_PM_GRACE="0.2")

    said = terminal.say("cancel", claim, "--grace", "30")

    assert said.strip() == f"{claim[:8]}: cancelled"
    assert Path(f"{terminal.ledger}.saved").exists()


def test_an_agent_gets_less_than_the_usual_grace_where_that_is_asked(terminal: Terminal) -> None:
    claim = started(terminal, SAVES_ITS_WORK, "40", HEADLESS_PM_GRACE="50")
    began = time.monotonic()

    said = terminal.say("cancel", claim, "--grace", "0.2")

    assert said.strip() == f"{claim[:8]}: cancelled"
    assert time.monotonic() - began < 20
    assert not Path(f"{terminal.ledger}.saved").exists()


def test_nothing_is_left_alive_of_an_agent_that_forks_many(terminal: Terminal) -> None:
    claim = started(terminal, FORKS)
    noted = Path(f"{terminal.ledger}.pids")
    until(lambda: noted.exists() and len(noted.read_text().split()) >= 40, "all of its processes")

    said = terminal.say("cancel", claim, "--grace", "0.2")

    assert said.strip() == f"{claim[:8]}: cancelled"
    assert [pid for pid in noted.read_text().split() if is_alive(int(pid))] == []


@pytest.mark.parametrize("who", ["shim", "runner", "agent"])
def test_whoever_is_stopped_nothing_outlives_a_cancelling(terminal: Terminal, who: str) -> None:
    """Regression: a shim that was stopped never heard of it, and a stopped runner kept everybody waiting, mute."""
    claim = started(terminal, FORKS)
    noted = Path(f"{terminal.ledger}.pids")
    until(lambda: noted.exists() and len(noted.read_text().split()) >= 40, "all of its processes")
    pids = terminal.pids(claim)
    os.kill(pids[who], signal.SIGSTOP)
    until(lambda: waking.is_stopped(pids[who]), "that it is stopped")
    began = time.monotonic()

    ran = terminal.run("cancel", claim, "--grace", "0.2")

    assert ran.stdout.strip() == f"{claim[:8]}: cancelled"
    assert ("was stopped; it goes on now" in ran.stderr) is (who == "runner")
    assert time.monotonic() - began < 20
    assert [pid for pid in noted.read_text().split() if is_alive(int(pid))] == []


def test_a_cancelling_that_takes_longer_says_what_it_waits_for(terminal: Terminal) -> None:
    """Regression: it named the execution by the word ID, and said nothing for a minute."""
    said: list[str] = []
    files = ExecutionFiles(terminal.home, "0" * 32, "t00000000")
    files.directory.mkdir(parents=True)

    stopping.wake_runner(terminal.home, files, said.append)

    assert said == ["00000000: waits for its runner's last steps"]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
