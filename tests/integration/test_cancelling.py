"""`cancel`: the grace that was asked for is given, and nothing outlives it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
