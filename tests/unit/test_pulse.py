"""What is due every so often."""

from __future__ import annotations

from components.pulse import Pulse
from tests.waiting import until


def test_nothing_is_due_before_its_interval() -> None:
    pulse, beats = Pulse(), list[str]()
    pulse.every(60, lambda: beats.append("heartbeat"))

    pulse.beat()

    assert beats == []
    assert 59 < pulse.due_in() <= 60


def test_what_is_due_is_done_once_however_often_it_was_missed() -> None:
    pulse, beats = Pulse(), list[str]()
    pulse.every(0.01, lambda: beats.append("heartbeat"))
    pulse.every(60, lambda: beats.append("health"))
    until(lambda: pulse.due_in() == 0, "the heartbeat to be due")

    pulse.beat()
    pulse.beat()

    assert beats == ["heartbeat"]
