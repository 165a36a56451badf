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

from components import entry
from components.signals import Intent, Signals
from tests.runner import ROOT, make_repository
from tests.waiting import until

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
        cwd=ROOT,
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


SLOW = """
import importlib, os, sys, time
open(os.environ["LOADING"], "w").close()
while not os.path.exists(os.environ["LOADING"] + ".enough"):
    time.sleep(0.01)
sys.path.remove(os.path.dirname(__file__))
del sys.modules["click"]
importlib.import_module("click")
"""
"""A module `click` that is the real one after a while."""


@pytest.fixture
def loading(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A daemon that is busy loading its first library; it is to find nothing in hand and a server that is away."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "click.py").write_text(SLOW)
    make_repository(tmp_path / "repository")
    env = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "slow"),
        "LOADING": str(tmp_path / "loading"),
        "HEADLESS_PM_HOME": str(tmp_path / "home"),
        "HEADLESS_PM_API_KEY": "key",
        "HEADLESS_PM_API_URL": "http://127.0.0.1:9",
        "AGENT_COMMAND": "true",
    }
    words = ["advanced_agent_runner.py", "--role", "backend_dev", "--repo", str(tmp_path / "repository")]
    with subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        until((tmp_path / "loading").exists, "the first library")
        yield child
        child.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_that_comes_while_the_program_is_loaded_ends_it_in_order(
    loading: subprocess.Popen[str], tmp_path: Path, number: int
) -> None:
    """Defect: SIGTERM ended it with -15, and SIGINT with a traceback."""
    loading.send_signal(number)
    (tmp_path / "loading.enough").touch()

    said, _ = loading.communicate(timeout=30)

    assert loading.returncode == 0, said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_that_asks_for_something_does_not_end_a_program_that_is_being_loaded(
    loading: subprocess.Popen[str], tmp_path: Path, number: int
) -> None:
    loading.send_signal(number)
    (tmp_path / "loading.enough").touch()
    assert loading.stdout is not None
    until(lambda: "Trying again" in loading.stdout.readline(), "the daemon to go on")  # type: ignore[union-attr]

    loading.terminate()

    assert loading.wait(20) == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run"], True),
        (["--role", "qa"], True),
        (["execute", "1", "3"], True),
        (["--help"], False),
        (["status"], False),
        ([], False),
    ],
)
def test_only_runners_have_signals_wait(words: list[str], expected: bool) -> None:
    assert entry.is_lasting(words) is expected


def test_the_module_of_the_signals_is_loaded_fast() -> None:
    """What it loads is loaded before any signal can wait."""
    code = "import sys, components.signals; print(sum(name.startswith('components.') for name in sys.modules))"

    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert ended.stdout == "1\n"


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
