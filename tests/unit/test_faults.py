"""Fault points: inert when nothing is armed, exact when something is."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import faults
from components.errors import ConfigError


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    faults.arm("")


def failures(name: str, times: int) -> list[int]:
    found = []
    for _ in range(times):
        try:
            faults.reach(name)
            found.append(0)
        except OSError as error:
            found.append(error.errno or -1)
    return found


def test_a_point_does_nothing_unless_it_is_armed() -> None:
    faults.arm("another.point:raise")

    faults.reach("after.CLAIMED")


def test_terms_are_done_so_often_and_the_last_one_for_ever() -> None:
    faults.arm("disk:2*off->1*enospc->1*eio->off")

    assert failures("disk", 6) == [0, 0, errno.ENOSPC, errno.EIO, 0, 0]


def test_a_single_act_is_done_every_time() -> None:
    faults.arm("disk=enospc; other:raise")

    assert failures("disk", 3) == [errno.ENOSPC] * 3
    with pytest.raises(RuntimeError):
        faults.reach("other")


@pytest.mark.parametrize(("act", "number"), [("kill", signal.SIGKILL)])
def test_the_process_is_killed_at_the_point(act: str, number: int) -> None:
    code = f"from components import faults; faults.arm('here:1*off->{act}'); [faults.reach('here') for _ in range(3)]"

    ended = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False)

    assert ended.returncode == -number


@pytest.mark.parametrize("text", ["after.CLAIMED", "x:", "x:explode", "x:2*", "x:sleep", "x:kill->"])
def test_a_plan_that_cannot_be_read_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="AGENT_RUNNER_FAULT"):
        faults.arm(text)
