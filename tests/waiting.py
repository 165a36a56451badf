"""Waiting on a condition with a deadline: what tests do instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, seconds: float = 20.0) -> T:
    """Return the condition's first true value; fail, saying what did not happen, after the deadline.

    The longer it takes, the longer are the rests between two looks: many tests wait at once, and looks cost time.
    """
    begun = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        waited = time.monotonic() - begun
        if waited > seconds:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(min(0.05, 0.01 + waited / 10))
