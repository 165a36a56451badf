"""Signals sent to a real process: what they ask for, and that they end a wait at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.signals import Intent, Signals

PROGRAM = """
import sys
from components.signals import Intent, Signals
signals = Signals(sys.argv[1])
signals.install()
seen = signals.intent
print("ready", flush=True)
while True:
    signals.wait(600)
    if signals.intent is not seen:
        seen = signals.intent
        print(seen.name, flush=True)
"""


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, getattr(request, "param", "leave")],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    yield child
    child.kill()
    child.communicate()


def says(process: subprocess.Popen[str], number: int) -> str:
    process.send_signal(number)
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("process", "intent"), [("leave", "LEAVE"), ("wait", "FINISH"), ("stop", "STOP")], indirect=["process"]
)
def test_the_first_sigterm_does_what_on_term_says(process: subprocess.Popen[str], intent: str) -> None:
    assert says(process, signal.SIGTERM) == intent


@pytest.mark.parametrize("process", ["leave", "wait"], indirect=True)
def test_the_second_sigterm_stops_the_agent(process: subprocess.Popen[str]) -> None:
    says(process, signal.SIGTERM)

    assert says(process, signal.SIGTERM) == "STOP"


def test_three_interrupts_finish_then_stop_then_leave(process: subprocess.Popen[str]) -> None:
    assert [says(process, signal.SIGINT) for _ in range(3)] == ["FINISH", "STOP", "LEAVE"]


def test_a_wait_ends_when_its_descriptor_is_readable() -> None:
    signals = Signals()
    read, write = os.pipe()
    os.write(write, b"x")

    assert signals.wait(600, read) is True

    os.close(read)
    os.close(write)


def test_a_request_made_before_the_wait_is_not_missed() -> None:
    signals, started = Signals(), time.monotonic()
    signals.request(Intent.FINISH)

    assert signals.wait(600) is False
    assert signals.is_draining
    assert time.monotonic() - started < 300
