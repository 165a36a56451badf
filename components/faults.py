"""Fault points: places in the real program where a drill may kill, stop, delay or fail it.

Armed by `AGENT_RUNNER_FAULT`, inert without it. The text is `name:plan`, several separated by `;`. A plan is one or
more terms joined by `->`; a term is `[n*]act`, done n times (the last one for ever); an act is `off`, `kill`, `stop`,
`sleep(seconds)`, `enospc`, `eio` or `raise`. `after.CLAIMED:2*off->kill` kills the process the third time that the
phase CLAIMED became durable. docs/failure-drills.md lists the points.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from components.errors import ConfigError

VARIABLE = "AGENT_RUNNER_FAULT"
TERM = re.compile(r"(?:(\d+)\*)?(off|kill|stop|enospc|eio|raise|sleep\((\d+(?:\.\d+)?)\))")


@dataclass(slots=True)
class _Term:
    """One act and how often it is still to be done; None is for ever."""

    left: int | None
    act: Callable[[], None]


_PLANS: dict[str, list[_Term]] = {}


def arm(text: str) -> None:
    """Set the plans of this process. Raises ConfigError for a text that is no plan."""
    _PLANS.clear()
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, found, plan = entry.replace("=", ":", 1).partition(":")
        terms = [_term(entry, word.strip()) for word in plan.split("->")] if found else []
        if not terms:
            raise ConfigError(f"{VARIABLE}: {entry!r} has no plan; write it like after.CLAIMED:kill")
        terms[-1].left = None
        _PLANS[name.strip()] = terms


def reach(name: str) -> None:
    """Pass a fault point: nothing happens, unless a drill planned something for it."""
    if _PLANS and name in _PLANS:
        terms = _PLANS[name]
        while terms[0].left == 0:
            terms.pop(0)
        if terms[0].left is not None:
            terms[0].left -= 1
        terms[0].act()


def _term(entry: str, word: str) -> _Term:
    match = TERM.fullmatch(word)
    if match is None:
        raise ConfigError(f"{VARIABLE}: {entry!r}: {word!r} is no [n*]off|kill|stop|sleep(s)|enospc|eio|raise")
    times, act, seconds = match.groups()
    acts: dict[str, Callable[[], None]] = {
        "off": lambda: None,
        "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
        "enospc": lambda: _fail(errno.ENOSPC),
        "eio": lambda: _fail(errno.EIO),
        "raise": _raise,
    }
    chosen = acts.get(act, lambda: time.sleep(float(seconds or 0)))
    return _Term(int(times) if times else 1, chosen)


def _fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


def _raise() -> None:
    raise RuntimeError("a fault drill raised this")
