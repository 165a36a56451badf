"""Requests to cancel an execution: each a file, in force until the execution has ended, whoever dies meanwhile."""

from __future__ import annotations

import json
import re
from pathlib import Path

from components import durable, process
from components.errors import NotFound
from components.run_directory import RunDirectory, RunState
from components.states import Reason

CLAIM = re.compile(r"[0-9a-f]{32}")
STOPPED_FOR = "stopped_for"
"""In a run directory: why the runner has its agent stopped; it is durable before the stop."""


def ask(home: Path, claim: str) -> None:
    """Have an execution end as cancelled, from whatever step it is at."""
    durable.make_directory(home / "cancelled")
    durable.write(_path(home, claim), b"")


def is_asked(home: Path, claim: str) -> bool:
    """Whether somebody asked for the end of an execution."""
    return _path(home, claim).exists()


def forget(home: Path, claim: str) -> None:
    """Drop the request: the execution has ended."""
    if is_asked(home, claim):
        durable.remove(_path(home, claim))


def stop(run: RunDirectory, *, now: bool = False) -> None:
    """Stop the agent of a run for good: its end will be judged as cancelled. It is no error when it has ended."""
    if run.state() is RunState.ALIVE:
        reason = {"reason": Reason.CANCELLED.value, "detail": "somebody asked for it"}
        if not (run.path / STOPPED_FOR).exists():
            durable.write(run.path / STOPPED_FOR, json.dumps(reason).encode())
        process.stop(run, now=now)


def _path(home: Path, claim: str) -> Path:
    if not CLAIM.fullmatch(claim):
        raise NotFound(f"execution {claim[:64]!r}: an id is 32 of the letters 0-9 a-f; `list` shows them")
    return home / "cancelled" / claim
