"""Tells in a line how an execution, or an attempt of it, ended."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from components import history_entry, typed_task
from components.errors import NotFound
from components.execution_index import ExecutionFiles, verdict
from components.log_line import duration
from components.log_view import Kind, Line
from components.model import Held, Verdict
from components.redact import shorten
from components.run_directory import RunDirectory

SHOWN_LETTERS = 200
"""How much is shown of what an agent said that did well."""


def of_execution(files: ExecutionFiles, last: Held | None) -> Line:
    """Return how an execution ended; `last` is its journal as it was seen last.

    What is kept of a typed task comes first, then what the journal said last, then what was said of the last attempt.
    """
    runs = files.runs()
    told = [one for one in map(verdict, runs.values()) if one is not None]
    kept = _kept(files) or (last.verdict if last is not None else None)
    attempts = f"{len(runs)} attempt{'' if len(runs) == 1 else 's'}"
    return _line(f"execution {files.short_id}", kept or (told[-1] if told else None), told, attempts)


def of_attempt(number: int, run: RunDirectory | None) -> Line:
    """Return how an attempt ended."""
    told = verdict(run) if run is not None else None
    return _line(f"attempt {number}", told, [told] if told is not None else [])


def _line(what: str, final: Verdict | None, told: Sequence[Verdict], attempts: str = "") -> Line:
    if final is None:
        return Line(Kind.OVER, f"{what} is over; no verdict on it is known")
    seconds, cost = sum(one.seconds for one in told), sum(one.cost_usd for one in told)
    figures = [attempts, duration(seconds) if told else "", f"${cost:.4f}" if cost else ""]
    shown = ", ".join(filter(None, figures))
    return Line(Kind.OVER, f"{what} {final.reason}{f' ({shown})' if shown else ''}: {_words(final)}".rstrip(": "))


def _words(final: Verdict) -> str:
    """Return what an end means; of one that is well the beginning is enough: all that was said stands above it."""
    is_well = final.reason in history_entry.DONE_WELL
    return shorten(final.detail, SHOWN_LETTERS) if is_well else final.detail


def _kept(files: ExecutionFiles) -> Verdict | None:
    with contextlib.suppress(NotFound):
        return typed_task.verdict_of(files.home, files.id)
    return None
