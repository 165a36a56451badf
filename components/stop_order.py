"""Why the runner had an agent stopped: durable before the stop, so that a restart in between judges it the same."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass

from components import durable, process
from components.run_directory import RunDirectory
from components.states import Reason

NAME = "stopped_for"
"""The file in the run directory: JSON with `reason` and `detail`."""
GRACE = "grace"
"""The file in the run directory that tells the shim how many seconds lie between asking and killing."""


@dataclass(frozen=True, slots=True)
class StopOrder:
    """`detail` is for people; `reason` is None where the agent is to be judged by the result that it told before."""

    reason: Reason | None
    detail: str


def give(run: RunDirectory, order: StopOrder) -> None:
    """Stop the agent of a run for a reason; the first reason stands."""
    if of(run) is None:
        data = {"reason": order.reason or "", "detail": order.detail}
        with contextlib.suppress(FileNotFoundError):  # another who gives one at this moment was faster: theirs stands
            durable.write(run.path / NAME, json.dumps(data).encode(errors="replace"))
    process.stop(run)


def grant(run: RunDirectory, grace: float) -> None:
    """Have the agent of a run get so many seconds between being asked to end and being killed, whoever asks it."""
    with contextlib.suppress(FileNotFoundError):  # as above: of several at once, one is as good as another
        durable.write(run.path / GRACE, f"{grace:.3f}".encode())


def of(run: RunDirectory) -> StopOrder | None:
    """Return why the run's agent was stopped, or None where nobody had it stopped."""
    try:
        data = json.loads((run.path / NAME).read_bytes())
        reason = Reason(data["reason"]) if data["reason"] else None
        return StopOrder(reason, str(data["detail"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
