"""What `doctor` looks at: one file for each part of an installation, its checks in its `CHECKS`.

A check looks and changes nothing that lasts; it yields a Finding for each thing that it saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from components.config import Config


class Judgement(StrEnum):
    """How bad a finding is: a problem keeps the runner from its work, a warning may."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen, and what to do about it: a `remedy` is there unless all is well."""

    judgement: Judgement
    seen: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """What is examined: the configuration in force, our environment, and the user (id and home) that we run as.

    `has_server` says that somebody named a Headless PM server: typed tasks need none.
    """

    config: Config
    environ: Mapping[str, str]
    user_id: int
    user_home: Path
    has_server: bool = True


Look = Callable[[Installation], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check by its name."""

    name: str
    look: Look


def ok(seen: str) -> Finding:
    """All is well."""
    return Finding(Judgement.OK, seen)


def warning(seen: str, remedy: str) -> Finding:
    """Somebody should look."""
    return Finding(Judgement.WARNING, seen, remedy)


def problem(seen: str, remedy: str) -> Finding:
    """The runner cannot do its work so."""
    return Finding(Judgement.PROBLEM, seen, remedy)


def problem_of(error: Exception) -> Finding:
    """Return the finding that an error tells; our own messages end with what to do, after a full stop or semicolon."""
    message = str(error).strip()
    seen, _, remedy = message.partition(". ")
    if not remedy:
        seen, _, remedy = message.partition("; ")
    return problem(seen.rstrip("."), remedy or "correct what it names, then look again: advanced-agent-runner doctor")
