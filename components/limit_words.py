"""Reads in an agent's words when a limit of the account ends: "resets 2pm (UTC)", "try again in 5 minutes"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo

EPOCH = re.compile(r"limit reached\s*\|\s*(\d{10}|\d{13})\b", re.IGNORECASE)
RESETS = re.compile(
    r"\b(?:resets?(?: at)?|try again at)\s+"
    r"(?:(?P<month>[A-Z][a-z]{2})[a-z]*\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?(?:,? (?P<year>20\d\d))?(?:,| at)*\s+)?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?\s*(?P<half>[ap]m)?\b"
    r"(?:\s*\((?P<zone>[\w+/-]{1,64})\))?",
    re.IGNORECASE,
)
WITHIN = re.compile(
    r"\b(?:try again|retry|resets?) (?:in|after):?((?: *,?(?: and)? *\d+(?:\.\d+)? *[a-z]+)+)", re.IGNORECASE
)
PART = re.compile(r"(\d+(?:\.\d+)?) *([a-z]+)", re.IGNORECASE)
SECONDS: Mapping[str, float] = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("m", "min", "minute"), 60.0),
    **dict.fromkeys(("h", "hr", "hour"), 3600.0),
    **dict.fromkeys(("d", "day"), 86400.0),
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
HALF_A_YEAR = timedelta(days=183)


def ends_at(said: str, said_at: float) -> float:
    """Return when the limit ends that a text tells of, in seconds since 1970; 0 where it does not say.

    `said_at` is when it was said, in seconds since 1970: a time of day is the next one after it. A time without a zone
    is of this machine's, as the agent's is.
    """
    if epoch := EPOCH.search(said):
        told = float(epoch[1])
        return told / 1000 if told > 1e11 else told
    if within := WITHIN.search(said):
        return _after(within[1], said_at)
    if resets := RESETS.search(said):
        return _clock(resets, said_at)
    return 0.0


def _after(parts: str, said_at: float) -> float:
    lengths = [(float(amount), unit.lower().removesuffix("s") or "s") for amount, unit in PART.findall(parts)]
    if not lengths or any(unit not in SECONDS for _, unit in lengths):
        return 0.0
    return said_at + sum(amount * SECONDS[unit] for amount, unit in lengths)


def _clock(told: re.Match[str], said_at: float) -> float:
    """Return the moment that a time of day means, or a day with a time."""
    try:
        now = datetime.fromtimestamp(said_at, _zone(told["zone"]))
        at = now.replace(hour=_hour(told), minute=int(told["minute"] or 0), second=0, microsecond=0)
        at = _on_day(at, told, now) if told["month"] else at
        if not told["month"] and at <= now:
            at += timedelta(days=1)
        return at.timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _hour(told: re.Match[str]) -> int:
    hour, half = int(told["hour"]), (told["half"] or "").lower()
    if not half:
        if told["minute"] is None:
            raise ValueError("a bare number is no time of day")
        return hour
    if not 1 <= hour <= 12:
        raise ValueError("no such hour")
    return hour % 12 + (12 if half == "pm" else 0)


def _on_day(at: datetime, told: re.Match[str], now: datetime) -> datetime:
    """Return the time on the day that is named; one without a year is the one that lies nearest to now."""
    month = MONTHS.index(told["month"].lower()) + 1
    if told["year"]:
        return at.replace(year=int(told["year"]), month=month, day=int(told["day"]))
    at = at.replace(month=month, day=int(told["day"]))
    if at - now < -HALF_A_YEAR:
        return at.replace(year=at.year + 1)
    return at


def _zone(name: str | None) -> tzinfo | None:
    """Return a zone by its name; None is this machine's. Raises ValueError for one that is not known."""
    if name is None:
        return None
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name}") from error
