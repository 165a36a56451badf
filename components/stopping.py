"""Ends an execution from outside, with all that it started."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from components import background, cancelling, ending_here, overview, process, typed_task, waking
from components.execution_index import ExecutionFiles, Watch
from components.run_directory import RunState

LOOK_SECONDS = 0.05
KILL_SECONDS = 8.0
"""How long a shim may take to kill its agent's tree before we do it."""
QUIET_SECONDS = 3.0
"""After how long it is said what is waited for."""
END_SECONDS = 60.0
"""How long to wait for the runner's last steps: the report, the clean-up."""


def stop(
    home: Path,
    files: ExecutionFiles,
    grace: float,
    environ: Mapping[str, str],
    say: Callable[[str], object] = str,
) -> str:
    """End an execution and return in words how that went: `was over already`, `cancelled`, or what is left to do.

    Its agents are asked to end, and `grace` seconds later killed with all that they started. A typed task whose
    runner is gone gets one, which takes the last steps; so does one that nobody ever began. Where no runner can take
    them, because what was typed is gone, it is ended here.
    """
    watch = Watch(files)
    if watch.is_over():
        ending_here.forget_journal(home, files)
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

    def has_ended() -> bool:
        is_left = typed_task.has_runner(home, files.id) if is_typed else not watch.is_over()
        return not is_left and not alive(files)

    is_ended = waited(QUIET_SECONDS, has_ended)
    if not is_ended:
        wake_runner(home, files, say)
        is_ended = waited(END_SECONDS, has_ended)
    if is_ended and not watch.is_over():
        is_ended = ending_here.end(home, files)
    return "cancelled" if is_ended else f"still at its last steps; `logs {files.short_id} --runner` shows them"


def end_agents(files: ExecutionFiles, grace: float) -> None:
    """Ask all agents of an execution to end, and kill what is left after the grace.

    Their shims do that; where one does not, because it hangs, we do.
    """
    for deed, seconds in ((cancelling.stop, grace), (cancelling.kill, KILL_SECONDS), (cancelling.clear, 0.0)):
        for run in files.runs().values():
            deed(run)
        if waited(seconds, lambda: not alive(files)):
            return


def wake_runner(home: Path, files: ExecutionFiles, say: Callable[[str], object]) -> None:
    """Say what is waited for; have the runner of a typed task go on where somebody has stopped it."""
    pid = _runner(home, files)
    if files.directory.is_dir() and pid and waking.wake(pid):
        say(f"{files.short_id}: its runner (pid {pid}) was stopped; it goes on now, and ends the task")
    elif pid and waking.is_stopped(pid):
        say(f"{files.short_id}: waits for its runner (pid {pid}), which is stopped: `kill -CONT {pid}` has it go on")
    else:
        say(f"{files.short_id}: waits for its runner's last steps{f' (pid {pid})' if pid else ''}")


def _runner(home: Path, files: ExecutionFiles) -> int | None:
    """Return the process id of who looks after an execution, where that is known."""
    if files.directory.is_dir():
        return overview.agent(home, typed_task.agent_of(files.id)).runner
    agents = overview.look(home, with_strays=False).agents
    return next((one.runner for one in agents if one.held and one.held.claim == files.id), None)


def alive(files: ExecutionFiles) -> bool:
    """Does any agent of an execution live?"""
    return any(run.state() is RunState.ALIVE for run in files.runs().values() if (run.path / "pids").exists())


def has_agent(files: ExecutionFiles) -> bool:
    """Does an agent of an execution live, and not only what one has left behind that was killed?"""
    runs = (run for run in files.runs().values() if (run.path / "pids").exists())
    return any(run.state() is RunState.ALIVE and not process.has_left_others(run) for run in runs)


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
