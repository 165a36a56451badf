"""Moments of the past as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

SPAN = re.compile(r"(\d{1,6})\s*(s|min|m|h|d|w)")
UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def parse(text: str, now: datetime | None = None) -> str:
    """Return a moment as the history keeps times: UTC, ISO 8601, milliseconds.

    It is a span back from `now`, or a day or time in ISO 8601, of this machine's zone where it names none.
    Raises ValueError saying what to write.
    """
    text = text.strip()
    now = now or datetime.now(UTC)
    try:
        if found := SPAN.fullmatch(text.lower()):
            moment = now - timedelta(seconds=int(found[1]) * UNITS[found[2]])
        else:
            moment = datetime.fromisoformat(text).astimezone(UTC)
        return moment.astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text[:40]!r} is no time; write 2026-11-21, 2026-11-21T14:30, 90min, 12h, 7d or 2w"
        ) from None


def seconds_between(first: str, last: str) -> float:
    """Return the seconds between two moments of the history, never below 0; 0 for what is no time."""
    try:
        return max(0.0, (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
