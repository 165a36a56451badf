"""Words which executions a person may have meant by an id that names none, or several."""

from __future__ import annotations

import heapq
import operator
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

CANDIDATES = 10
OFFERED = 5


@dataclass(frozen=True, slots=True)
class KnownId:
    """An execution as it is offered: `when` is when something of it changed last, in seconds since 1970."""

    short_id: str
    task_id: str
    when: float


def unknown(word: str, ids: Collection[str], told_of: Callable[[str], KnownId], newest: Callable[[], list[str]]) -> str:
    """Return what to say of an id that names none of these: those that are like it, or else the `newest`, best first.

    `told_of` tells more of an id; only those that are offered are asked for.
    """
    nobody = f"there is no execution {word[:80]!r}"
    if not ids:
        return f"{nobody}: there is none yet; `status` shows what is at work, and in which home (HEADLESS_PM_HOME)"
    alike = near(word, ids)
    which, offered = ("Near it", alike) if alike else ("The newest", newest())
    return f"{nobody}; type one that `list` shows. {which}:{told(map(told_of, offered))}"


def candidates(word: str, known: Sequence[KnownId]) -> str:
    """Return what to say of an id that is the beginning of several."""
    newest = sorted(known, key=lambda one: -one.when)
    more = f"\n  and {len(newest) - CANDIDATES} more" if len(newest) > CANDIDATES else ""
    listed = told(newest[:CANDIDATES])
    return f"{word!r} is the beginning of {len(known)} ids; type more of the one that is meant:{listed}{more}"


def near(word: str, short_ids: Iterable[str]) -> list[str]:
    """Return the ids that are most like a word, best first; none where none is like it."""
    least = max(1.0, min(len(word), 8) / 2)
    alike = [(-likeness, one) for one in short_ids if (likeness := _likeness(one, word)) > least]
    return [one for _, one in heapq.nsmallest(OFFERED, alike)]


def told(known: Iterable[KnownId]) -> str:
    """Return executions as lines, each with a newline before it."""
    return "".join(map(_told, known))


def _told(one: KnownId) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.when))
    return f"\n  {one.short_id}  task {one.task_id or '-'}  {when}"


def _likeness(one: str, word: str) -> float:
    """Return how many letters of two words are the same at the same place; those of the beginning count half more."""
    same: list[bool] = [*map(operator.eq, one, word), False]
    return sum(same) + same.index(False) / 2
