"""When a task that no list shows is believed to be gone."""

from __future__ import annotations

from components.model import Task
from components.pm_absence import PmAbsence

TASK = Task("7", "Do it", created_at="2026-11-21T08:41:02.651203")


class Clock:
    """A clock that a test turns."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_task_is_gone_when_it_was_missed_three_times_within_a_minute_or_more() -> None:
    clock = Clock()
    absence = PmAbsence(clock)

    believed = []
    for seconds in (0, 30, 59, 60):
        clock.now = 1000.0 + seconds
        believed.append(absence.is_believed(TASK))

    assert believed == [False, False, False, True]


def test_two_looks_prove_nothing_however_far_apart() -> None:
    clock = Clock()
    absence = PmAbsence(clock)

    assert not absence.is_believed(TASK)
    clock.now += 10_000.0
    assert not absence.is_believed(TASK)
    assert absence.is_believed(TASK)


def test_a_task_that_was_seen_again_was_not_gone() -> None:
    clock = Clock()
    absence = PmAbsence(clock)
    for _ in range(5):
        for _ in range(2):
            assert not absence.is_believed(TASK)
            clock.now += 100.0
        absence.end(TASK)


def test_each_task_is_missed_for_itself_also_one_that_has_the_id_of_another() -> None:
    clock = Clock()
    absence = PmAbsence(clock)
    for _ in range(3):
        absence.is_believed(TASK)
    clock.now += 100.0

    assert not absence.is_believed(Task("7", "Later", created_at="2026-12-01T00:00:00.000000"))
    assert absence.is_believed(TASK)


def test_a_task_that_nobody_has_seen_is_not_waited_for() -> None:
    assert PmAbsence(Clock()).is_believed(Task("7", ""))
