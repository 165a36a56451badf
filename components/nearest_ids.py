"""Words which executions a person may have meant by an id that names none, or several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

CANDIDATES = 10
OFFERED = 5


@dataclass(frozen=True, slots=True)
class KnownId:
    """An execution as it is offered: `when` is when something of it changed last, in seconds since 1970."""

    short_id: str
    task_id: str
    when: float


def candidates(word: str, known: Sequence[KnownId]) -> str:
    """Return what to say of an id that is the beginning of several."""
    newest = sorted(known, key=lambda one: -one.when)
    more = f"\n  and {len(newest) - CANDIDATES} more" if len(newest) > CANDIDATES else ""
    listed = "".join(map(_told, newest[:CANDIDATES]))
    return f"{word!r} is the beginning of {len(known)} ids; type more of the one that is meant:{listed}{more}"


def offer(word: str, known: Sequence[KnownId]) -> str:
    """Return the ids that are most like a word, or else the newest ones; "" where there are none."""
    least = max(1.0, min(len(word), 8) / 2)
    near = [one for one in known if _likeness(one.short_id, word) > least]
    if near:
        best = sorted(near, key=lambda one: (-_likeness(one.short_id, word), -one.when))
        return "Near it:" + "".join(map(_told, best[:OFFERED]))
    newest = sorted(known, key=lambda one: -one.when)
    return "The newest:" + "".join(map(_told, newest[:OFFERED])) if newest else ""


def _told(one: KnownId) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.when))
    return f"\n  {one.short_id}  task {one.task_id or '-'}  {when}"


def _likeness(one: str, word: str) -> float:
    """Return how many letters of two words are the same at the same place; those of the beginning count half more."""
    same = [a == b for a, b in zip(one, word, strict=False)]
    return sum(same) + [*same, False].index(False) / 2
