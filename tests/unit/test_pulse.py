"""What is due every so often."""

from __future__ import annotations

import logging

import pytest

from components.errors import Draining, SourceRefused
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


def test_what_fails_is_told_once_is_done_again_and_keeps_nothing_else_from_being_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Defect: a heartbeat that met a full disk, or a refusal, ended the daemon."""
    pulse, beats = Pulse(), list[str]()
    troubles: list[Exception | None] = [OSError(28, "No space left on device"), OSError(28, "No space"), None]
    troubles += [SourceRefused("refused (403)"), ValueError("a defect")]

    def fail() -> None:
        trouble = troubles.pop(0)
        if trouble is not None:
            raise trouble

    pulse.every(0, fail)
    pulse.every(0, lambda: beats.append("health"))

    with caplog.at_level(logging.WARNING):
        while troubles:
            pulse.beat()

    assert len(beats) == 5
    told = [record.getMessage() for record in caplog.records]
    assert [next(word for word in ("space", "403", "defect") if word in line) for line in told] == [
        "space",
        "403",
        "defect",
    ]


def test_who_wants_to_leave_is_not_held_back() -> None:
    pulse = Pulse()

    def leave() -> None:
        raise Draining

    pulse.every(0, leave)

    with pytest.raises(Draining):
        pulse.beat()
