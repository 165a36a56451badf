"""Progress, and moments of the past: what is guessed from durations, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from components import progress, since
from components.progress import Estimate

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def test_too_few_durations_tell_nothing() -> None:
    assert progress.estimate(10.0, [20.0, 30.0]) == Estimate()


def test_the_middle_one_of_those_that_took_longer_is_what_it_will_take() -> None:
    assert progress.estimate(50.0, [10.0, 20.0, 100.0, 200.0, 300.0]) == Estimate(0.25, 150.0)


def test_what_takes_longer_than_ever_is_late_and_has_no_figures() -> None:
    assert progress.estimate(301.0, [100.0, 200.0, 300.0]) == Estimate(is_late=True)


def test_what_runs_is_never_wholly_done() -> None:
    assert progress.estimate(99.99999, [100.0] * 5).fraction == progress.MOST


def test_an_unknown_beginning_tells_nothing() -> None:
    assert progress.estimate(-1.0, [100.0] * 5) == Estimate()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90min", "2026-11-21T10:30:00.000+00:00"),
        ("12h", "2026-11-21T00:00:00.000+00:00"),
        ("7d", "2026-11-14T12:00:00.000+00:00"),
        ("2026-11-20T10:00:00+02:00", "2026-11-20T08:00:00.000+00:00"),
    ],
)
def test_a_moment_is_a_span_back_or_a_time(text: str, moment: str) -> None:
    assert since.parse(text, NOW) == moment


@pytest.mark.parametrize("text", ["soon", "", "7", "2026-13-01", "999999w"])
def test_what_is_no_time_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write 2026-11-21"):
        since.parse(text, NOW)
