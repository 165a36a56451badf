"""The queue of what is still to be told."""

from __future__ import annotations

import threading

import pytest

from components.outbox import Outbox
from tests.waiting import until


def test_of_a_full_queue_the_oldest_are_dropped_and_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    told, is_in_hand, may_go_on = list[int](), threading.Event(), threading.Event()

    def deliver(entry: int) -> None:
        is_in_hand.set()
        may_go_on.wait(30)
        told.append(entry)

    outbox = Outbox("numbers", 2, deliver)
    outbox.put(1)
    assert is_in_hand.wait(30)
    outbox.put(2, 3)
    outbox.put(4)
    may_go_on.set()
    outbox.close(30)

    assert told == [1, 3, 4]
    assert "the queue of numbers is full: the oldest (1) are dropped" in caplog.text


def test_no_thread_stays_where_nothing_is_left_and_none_begins_after_the_end(caplog: pytest.LogCaptureFixture) -> None:
    told = list[int]()
    outbox = Outbox("numbers", 9, told.append)

    for number in (1, 2):
        outbox.put(number)
        until(lambda: "numbers" not in {one.name for one in threading.enumerate()}, "the thread's end")
    outbox.close()
    outbox.put(3)
    outbox.close()

    assert told == [1, 2]
    assert "1 numbers were not told before the end" in caplog.text
