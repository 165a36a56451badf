"""The disk of the runner's home takes nothing for a while: full, without inodes, read-only, failing.

While it lasts the server is told no success that is not on the disk, and the operator is told once; when it is over
the runner goes on by itself, within ten seconds.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.judge import AFTERWARDS, AT_WORK, BOUNDARIES, FULL, Drill, cells, mounted, resume
from tests.waiting import until

MakeDrill = Callable[..., Drill]
MakeHome = Callable[..., Path]
TOLD = "Trying again until it works"
HEALING_SECONDS = 10.0
"""The promise of docs: how soon the runner goes on when the trouble is over."""
SOME = ("after.CLAIMING", "after.SPAWNING", "after.RUNNING", "acted.RUNNING", "report.moved")
POINTS = ("durable.write", "durable.sync", "durable.written", "durable.renamed")
WRITES_NOTHING_MORE = ("after.CLEANING", "acted.CLEANING", "after.DONE")
"""Boundaries after which the journal is only removed, which a full disk allows."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[MakeHome]:
    """Make a place whose home is a small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root and mounts of tmpfs")
    with contextlib.ExitStack() as mounts:

        def make(options: str) -> Path:
            path = tmp_path / "place"
            path.mkdir()
            try:
                mounts.enter_context(mounted(path / "home", "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs"))
            except subprocess.CalledProcessError as error:
                pytest.skip(f"needs root and mounts of tmpfs: {error.stderr.decode(errors='replace').strip()}")
            return path

        yield make


def fill(home: Path) -> Path:
    """Leave not a byte on a file system, and return the file to be removed again."""
    filler = home / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 16, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return filler


def take_inodes(home: Path) -> list[Path]:
    """Leave not an inode on a file system, and return the files to be removed again."""
    made: list[Path] = []
    with contextlib.suppress(OSError):
        while True:
            file = home / f"filler-{len(made)}"
            file.touch()
            made.append(file)
    return made


def heals(one: Drill, daemon: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a task whose disk is well again, and judge it."""
    started = time.monotonic()
    until(lambda: one.now()["status"] == "dev_done", "the report", HEALING_SECONDS + 5)
    assert time.monotonic() - started < HEALING_SECONDS
    assert daemon.wait(30) == 0
    one.judge()


@pytest.mark.parametrize(("boundary", "kind"), cells(BOUNDARIES if FULL else SOME))
def test_a_full_disk_delays_a_task_and_loses_nothing(
    drill: MakeDrill, place: MakeHome, boundary: str, kind: str
) -> None:
    one = drill(kind, place=place("size=1m"))
    if boundary not in AT_WORK:
        one.open_gate()
    daemon = one.daemon_stopped_at(boundary)
    filler = fill(one.home)
    one.open_gate()
    resume(daemon)

    if boundary in WRITES_NOTHING_MORE:
        assert daemon.wait(10) == 0
    else:
        until(lambda: one.said(TOLD), "the warning")
        if boundary in AT_WORK:
            until(lambda: one.ledger()[-1][0] == "end", "the end of the agent")
        is_durable = boundary in AFTERWARDS and boundary != "acted.RUNNING"
        assert is_durable or one.now()["status"] != "dev_done"
    filler.unlink()

    heals(one, daemon)
    assert one.log.read_text().count(TOLD) == (boundary not in WRITES_NOTHING_MORE)


def test_a_home_without_inodes_delays_a_task_and_loses_nothing(drill: MakeDrill, place: MakeHome) -> None:
    one = drill(place=place("size=1m,nr_inodes=80"))
    one.open_gate()
    daemon = one.daemon_stopped_at("after.PREPARING")
    fillers = take_inodes(one.home)
    resume(daemon)

    until(lambda: one.said(TOLD), "the warning")
    assert one.starts() == 0
    for filler in fillers:
        filler.unlink()

    heals(one, daemon)
    assert one.log.read_text().count(TOLD) == 1


@pytest.mark.parametrize("boundary", ["after.CLAIMED", "after.RUNNING", "after.EXITED"] if FULL else ["after.EXITED"])
def test_a_home_that_is_read_only_for_a_while_delays_a_task_and_loses_nothing(
    drill: MakeDrill, place: MakeHome, boundary: str
) -> None:
    one = drill(place=place("size=1m"))
    if boundary not in AT_WORK:
        one.open_gate()
    daemon = one.daemon_stopped_at(boundary)
    with mounted(one.home, "--bind", str(one.home)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(one.home)], check=True)
        one.open_gate()
        resume(daemon)

        until(lambda: one.said(TOLD), "the warning")

    heals(one, daemon)
    assert one.log.read_text().count(TOLD) == 1


@pytest.mark.parametrize("point", POINTS if FULL else ["durable.sync"])
@pytest.mark.parametrize("error", ["eio", "enospc"] if FULL else ["eio"])
def test_a_write_that_fails_once_is_done_again(drill: MakeDrill, point: str, error: str) -> None:
    one = drill("minor")
    one.open_gate()
    daemon = one.daemon(f"{point}:4*off->1*{error}->off")

    until(lambda: one.said(TOLD), "the warning")
    heals(one, daemon)
    assert one.log.read_text().count(TOLD) == 1
