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

from tests.chaos.judge import AFTERWARDS, AT_WORK, BOUNDARIES, FULL, ONCE, Drill, cells, mounted, resume
from tests.runner import ROOT, git
from tests.waiting import until

MakeDrill = Callable[..., Drill]
MakeHome = Callable[..., Path]
TOLD = "Trying again until it works"
HEALING_SECONDS = 10.0
"""The promise of docs: how soon the runner goes on when the trouble is over."""
DEFECT = "This should not have happened"
KNOCKS_SECONDS = 6.0
"""Over one rest of the defect's time, in which the server was asked whether it was there."""
SOME = ("after.CLAIMING", "after.SPAWNING", "after.RUNNING", "acted.RUNNING", "report.moved")
POINTS = ("durable.write", "durable.sync", "durable.written", "durable.renamed")
WRITES_NOTHING_MORE = ("after.CLEANING", "acted.CLEANING", "after.DONE")
"""Boundaries after which the journal is only removed, which a full disk allows."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[MakeHome]:
    """Make a place whose home (or repository) is a small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root and mounts of tmpfs")
    with contextlib.ExitStack() as mounts:

        def make(options: str, what: str = "home") -> Path:
            path = tmp_path / "place"
            path.mkdir(exist_ok=True)
            try:
                mounts.enter_context(mounted(path / what, "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs"))
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


def test_a_full_home_does_not_end_an_idle_daemon(drill: MakeDrill, place: MakeHome) -> None:
    """Defect: the next heartbeat could not note when it was sent, and the daemon ended with exit code 74."""
    one = drill(place=place("size=1m"))
    one.pm.api.status(one.task["id"], "pm_1", "committed")
    daemon = one.start(HEADLESS_PM_HEARTBEAT_INTERVAL="0.5")
    until(lambda: one.said("No tasks available"), "the rest")
    filler = fill(one.home)
    one.task = one.pm.api.task("Drill", complexity="major")
    one.open_gate()

    until(lambda: one.said("takes no file (No space left on device)") or daemon.poll() is not None, "the warning")
    heartbeat = seen_last(one)
    until(lambda: seen_last(one) != heartbeat, "another heartbeat")
    assert daemon.poll() is None, one.log.read_text()
    assert one.now()["status"] == "created"
    filler.unlink()

    is_done_soon(one)
    assert one.changes() == ONCE
    leaves(daemon)


def test_a_full_repository_keeps_a_task_from_being_claimed_until_there_is_room(
    drill: MakeDrill, place: MakeHome
) -> None:
    """Defect: it was claimed, given back and claimed again, and left alone for minutes after the room was there."""
    one = drill(place=with_repository(place))
    one.open_gate()
    filler = fill(one.repository)
    daemon = one.start(HEADLESS_PM_HEARTBEAT_INTERVAL="1")

    until(lambda: one.said("takes no file (No space left on device)"), "the warning")
    for _ in range(4):
        heartbeat = seen_last(one)
        until(lambda: seen_last(one) != heartbeat, "another heartbeat")  # noqa: B023
    assert (one.changes(), one.now()["locked_by"], one.now()["notes"]) == ((), None, None)
    filler.unlink()

    is_done_soon(one)
    assert one.changes() == ONCE
    assert one.log.read_text().count("takes no file") == 1
    leaves(daemon)


def test_a_repository_that_is_read_only_for_a_while_is_waited_for(drill: MakeDrill, place: MakeHome) -> None:
    one = drill(place=with_repository(place))
    one.open_gate()
    with mounted(one.repository, "--bind", str(one.repository)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(one.repository)], check=True)
        daemon = one.start()
        until(lambda: one.said("takes no file (Read-only file system)"), "the warning")
        assert one.changes() == ()

    is_done_soon(one)
    assert one.changes() == ONCE
    leaves(daemon)


def test_a_disk_with_too_little_room_for_a_hook_is_waited_for(drill: MakeDrill, place: MakeHome) -> None:
    """Defect: nothing was taken for up to 15 min after the room was there."""
    one = drill(place=place("size=12m"), HEADLESS_PM_MIN_DISK_MB="8", HEADLESS_PM_HOOKS_DIRECTORY=str(ROOT / "hooks"))
    one.open_gate()
    filler = one.home / "filler"
    filler.write_bytes(bytes(6 << 20))
    daemon = one.start()

    until(lambda: one.said("Taking nothing new for 30 s"), "the pause")
    filler.unlink()

    is_done_soon(one)
    leaves(daemon)


def test_a_home_that_is_full_while_the_agent_works_heals_within_seconds(drill: MakeDrill, place: MakeHome) -> None:
    """Defect: a knock at the server during the rest could not be noted; that ended the rest, for one of 30 s."""
    one = drill(place=place("size=1m"))
    daemon = one.daemon(HEADLESS_PM_HEARTBEAT_INTERVAL="1")
    until(one.starts, "the agent at work")
    until(lambda: one.journal_is("RUNNING"), "the phase")
    filler = fill(one.home)
    one.open_gate()
    until(lambda: one.said(TOLD), "the warning")
    knocked = time.monotonic() + KNOCKS_SECONDS
    until(lambda: one.said(DEFECT) or time.monotonic() > knocked, "the defect, or its time to be over")
    filler.unlink()

    heals(one, daemon)
    assert not one.said(DEFECT)


def leaves(daemon: subprocess.Popen[bytes]) -> None:
    """End a daemon as an operator does; one that ended by itself before has failed."""
    assert daemon.poll() is None
    daemon.terminate()
    assert daemon.wait(10) == 0


def seen_last(one: Drill) -> str:
    """Return when the server heard of the runner last."""
    agents = one.pm.api.get("/agents").json()
    return next(str(agent["last_seen"]) for agent in agents if agent["agent_id"] == one.agent_id)


def with_repository(place: MakeHome) -> Path:
    """Make a place with a repository on a small file system of its own."""
    where = place("size=4m", "repository")
    for words in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "Begin"]):
        git(where / "repository", *words)
    return where


def is_done_soon(one: Drill) -> None:
    """Wait for the report of a task, for as long as healing may take."""
    started = time.monotonic()
    until(lambda: one.now()["status"] == "dev_done", "the report", HEALING_SECONDS + 5)
    assert time.monotonic() - started < HEALING_SECONDS, one.log.read_text()
