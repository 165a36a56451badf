"""Every boundary between two steps, and what may happen there: killed, stopped, and started again."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.chaos.judge import AT_WORK, BEFORE, BOUNDARIES, FULL, Drill, cells, resume
from tests.waiting import until

MakeDrill = Callable[..., Drill]
SOME = ("claim.locked", "acted.PREPARING", "spawn.started", "after.RUNNING", "report.moved")
CHOSEN = BOUNDARIES if FULL else SOME


@pytest.mark.parametrize(("boundary", "kind"), cells(BOUNDARIES))
def test_a_daemon_that_is_killed_loses_nothing_and_does_nothing_twice(
    drill: MakeDrill, boundary: str, kind: str
) -> None:
    one = drill(kind)
    if boundary not in AT_WORK:
        one.open_gate()
    assert one.daemon(f"{boundary}:kill").wait(30) == -signal.SIGKILL
    if boundary in AT_WORK:
        until(one.starts, "the agent at work")

    one.finish()

    one.judge()


@pytest.mark.parametrize("boundary", AT_WORK)
def test_an_agent_that_is_killed_is_followed_by_one_more_attempt(drill: MakeDrill, boundary: str) -> None:
    one = drill()
    daemon = one.daemon_stopped_at(boundary)
    one.kill_agent()
    resume(daemon)

    until(lambda: one.starts() == 2, "the second attempt")
    one.open_gate()

    assert daemon.wait(30) == 0
    one.judge(2)


@pytest.mark.parametrize("boundary", CHOSEN)
def test_when_daemon_shim_and_agent_are_killed_at_once_the_task_is_still_done_once(
    drill: MakeDrill, boundary: str
) -> None:
    one = drill()
    if boundary not in AT_WORK:
        one.open_gate()
    one.kill_all(one.daemon_stopped_at(boundary))

    one.finish()

    one.judge(2 if boundary in AT_WORK else 1)


@pytest.mark.parametrize("boundary", CHOSEN)
def test_a_daemon_that_is_asked_to_end_leaves_at_once_and_the_next_one_goes_on(drill: MakeDrill, boundary: str) -> None:
    one = drill()
    if boundary not in AT_WORK:
        one.open_gate()
    daemon = one.daemon_stopped_at(boundary)
    daemon.terminate()
    resume(daemon)
    assert daemon.wait(10) == 0
    assert one.starts() == (boundary not in BEFORE)

    one.finish()

    one.judge()
