"""Agents, fifty in full (CHAOS=full), each with descendants of every kind: when a run has ended none of them lives.

Once as the runner starts them, in a cgroup where this machine lets us make one, and once where the shim is alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest

from components import cgroup, process
from components.model import Command
from components.run_directory import Limits, RunDirectory, RunState
from tests import bare_shim
from tests.descendants import EIGHT_KINDS, HYDRA, LEAVE, STAY, end_all, living, nobody_lives
from tests.waiting import until

ROUNDS = 50 if os.environ.get("CHAOS") == "full" else 16
WAYS = ("leaves", "asked", "killed", "out of time")
KINDS = 8
SECONDS_ALIVE = 1.0
"""How long after the end of a run something of it may still be found: the last exit record is written when none is."""


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[list[RunDirectory]]:
    made: list[RunDirectory] = []
    yield made
    for run in made:
        process.stop(run, now=True)
        until(lambda run=run: run.state() is not RunState.ALIVE, "the agent's end")  # type: ignore[misc]
        process.clear(run)
        process.collect(run)
    end_all(tmp_path)


def prepared(number: int, way: str, place: Path) -> RunDirectory:
    """Prepare a run whose agent has all of the descendants, in a directory of its own."""
    work = place / f"work-{number}"
    work.mkdir()
    run = RunDirectory(place / "runs" / f"{number}-{os.urandom(4).hex()}-1")
    program = EIGHT_KINDS + HYDRA + (LEAVE if way == "leaves" else STAY)
    limits = Limits(timeout=1.0 if way == "out of time" else 60.0, grace=0.1)
    run.path.parent.mkdir(exist_ok=True)
    run.create(Command(argv=(sys.executable, "-I", "-S", "-c", program)), work, limits)
    return run


def end(run: RunDirectory, way: str, work: Path) -> None:
    """Have the run end in its way, once all of its descendants are there."""
    until((work / "ready").exists, "the agent's children")
    if way in ("asked", "killed"):
        until(lambda: len(living(work)) >= KINDS, "all of the descendants to be there")
        process.stop(run, now=way == "killed")
    until(lambda: run.state() is RunState.ENDED, f"the end of a run that {way}")


def judge(run: RunDirectory, what: str, work: Path) -> None:
    """Fail unless the run's record says that all is clean, and all is."""
    record = run.exit_record()
    assert record is not None
    assert record.clean, what
    until(lambda: nobody_lives(work), what, SECONDS_ALIVE)


@pytest.mark.timeout(180)
def test_of_agents_and_their_descendants_none_is_alive_after_the_end(tmp_path: Path, runs: list[RunDirectory]) -> None:
    probe = cgroup.make("probe")
    if probe is None:
        pytest.skip("needs a writable cgroup version 2; without one the next test says it all")
    cgroup.remove(probe)
    for number, way in enumerate(islice(cycle(WAYS), ROUNDS)):
        runs.append(prepared(number, way, tmp_path))
        assert process.start(runs[-1], {"PATH": os.environ["PATH"]})

        end(runs[-1], way, tmp_path / f"work-{number}")

        judge(runs[-1], f"round {number}, {way}", tmp_path / f"work-{number}")
        process.collect(runs.pop())
    assert nobody_lives(tmp_path)


@pytest.mark.timeout(180)
def test_where_there_is_no_cgroup_the_shim_alone_ends_them_all(tmp_path: Path, runs: list[RunDirectory]) -> None:
    for number, way in enumerate(islice(cycle(WAYS), ROUNDS)):
        runs.append(prepared(number, way, tmp_path))
        shim = bare_shim.start(runs[-1], {"PATH": os.environ["PATH"]})

        end(runs[-1], way, tmp_path / f"work-{number}")

        shim.wait(10)
        judge(runs.pop(), f"round {number}, {way}", tmp_path / f"work-{number}")
    assert nobody_lives(tmp_path)
