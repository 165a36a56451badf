"""Cancelling an execution: the request is a file, in force until the execution has ended, whoever dies meanwhile."""

from __future__ import annotations

from pathlib import Path

from components import durable, journal_format, process, stop_order
from components.errors import NotFound
from components.run_directory import RunDirectory, RunState
from components.states import Reason
from components.stop_order import StopOrder

ORDER = StopOrder(Reason.CANCELLED, "somebody asked for it")


def ask(home: Path, claim: str) -> None:
    """Have an execution end as cancelled, from whatever step it is at."""
    directory = durable.make_directory(home / "cancelled")
    durable.create(_path(home, claim))  # several may ask at once: there is no file of another name to be renamed
    durable.sync_directory(directory)


def is_asked(home: Path, claim: str) -> bool:
    """Whether somebody asked for the end of an execution."""
    return _path(home, claim).exists()


def forget(home: Path, claim: str) -> None:
    """Drop the request: the execution has ended."""
    if is_asked(home, claim):
        durable.remove(_path(home, claim))


def grant(run: RunDirectory, grace: float) -> None:
    """Have the agent of a run get so many seconds of grace, before anybody asks it to end."""
    if run.state() is RunState.ALIVE:
        stop_order.grant(run, grace)


def stop(run: RunDirectory) -> None:
    """Ask the agent of a run to end; its end will be judged as cancelled. It is no error when it has ended."""
    if run.state() is RunState.ALIVE:
        stop_order.give(run, ORDER)


def kill(run: RunDirectory) -> None:
    """Kill the agent of a run with all that it started."""
    if run.state() is RunState.ALIVE:
        process.stop(run, now=True)


def clear(run: RunDirectory) -> None:
    """Kill the agent of a run with all that it started, ourselves: its shim did not."""
    if run.state() is RunState.ALIVE:
        process.clear(run)


def _path(home: Path, claim: str) -> Path:
    if not journal_format.CLAIM.fullmatch(claim):
        raise NotFound(f"execution {claim[:64]!r}: an id is 32 of the letters 0-9 a-f; `list` shows them")
    return home / "cancelled" / claim
