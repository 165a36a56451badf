"""Ends an execution from outside, with all that it started."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from components import background, cancelling, execution_index, overview, typed_task
from components.execution_index import ExecutionFiles
from components.run_directory import RunState

LOOK_SECONDS = 0.05
END_SECONDS = 60.0
"""How long to wait for the runner's last steps: the report, the clean-up."""


def stop(home: Path, files: ExecutionFiles, grace: float, environ: Mapping[str, str]) -> str:
    """End an execution and return in words how that went: `was over already`, `cancelled`, or what is left to do.

    Its agents are asked to end, and `grace` seconds later killed with all that they started. A typed task whose
    runner is gone gets one, which takes the last steps.
    """
    watch = execution_index.Watch(files)
    if watch.is_over():
        return "was over already"
    for run in files.runs().values():
        cancelling.grant(run, grace)  # first: the runner, too, asks the agent to end as soon as it is asked for it
    cancelling.ask(home, files.id)
    end_agents(files, grace)
    is_typed = files.directory.is_dir()
    if is_typed and not typed_task.has_runner(home, files.id):
        background.start(home, files.id, sys.maxsize, environ)
    if not is_typed and not has_daemon(home, files):
        return "its agent is stopped; its runner is not running: the next start ends the task as cancelled"
    is_over = waited(END_SECONDS, lambda: watch.is_over() and not alive(files))
    return "cancelled" if is_over else "still at its last steps; `logs ID --runner` shows them"


def end_agents(files: ExecutionFiles, grace: float) -> None:
    """Ask all agents of an execution to end, and kill what is left after the grace."""
    for run in files.runs().values():
        cancelling.stop(run)
    if not waited(grace, lambda: not alive(files)):
        for run in files.runs().values():
            cancelling.kill(run)


def alive(files: ExecutionFiles) -> bool:
    """Does any agent of an execution live?"""
    return any(run.state() is RunState.ALIVE for run in files.runs().values() if (run.path / "pids").exists())


def has_daemon(home: Path, files: ExecutionFiles) -> bool:
    """Does a daemon look after an execution?"""
    agents = overview.look(home, with_strays=False).agents
    return any(one.runner is not None for one in agents if one.held and one.held.claim == files.id)


def waited(seconds: float, is_so: Callable[[], bool]) -> bool:
    """Wait until something is so; False when it took too long."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True
