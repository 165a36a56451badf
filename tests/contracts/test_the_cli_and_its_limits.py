"""The real Claude CLI, stopped at a limit: nothing of what it started is left."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from components import process, stop_order, vital_signs
from components.model import Command
from components.run_directory import Limits, RunDirectory, RunState
from components.states import Reason
from components.stop_order import StopOrder
from tests.descendants import nobody_lives
from tests.scripted_model import claude_argv, claude_env, scripted
from tests.waiting import until

FOREVER = "while :; do sleep 0.2; done"
COMMAND = f"(setsid nohup bash -c '{FOREVER}' >/dev/null 2>&1 &); touch begun; {FOREVER}"


def test_shell_commands_in_sessions_of_their_own_end_with_the_cli(tmp_path: Path) -> None:
    """No group of processes reaches them."""
    work = tmp_path / "work"
    work.mkdir()
    run = RunDirectory(tmp_path / "runs" / f"1-{uuid.uuid4().hex[:8]}-1")
    with scripted({"Bash": COMMAND}) as model:
        argv = claude_argv("--session-id", str(uuid.uuid4()))
        run.create(Command(tuple(argv), "Work."), work, Limits(60, grace=3))
        process.start(run, claude_env(model.url, tmp_path))
        until((work / "begun").exists, "the command", 40)
        agent = run.pids()["agent"].pid
        sessions = {seen.session for seen in vital_signs.tree(run)}
        seen = vital_signs.signs(run, None, 0)

        stop_order.give(run, StopOrder(Reason.STALLED, "a test"))
        until(lambda: run.state() is RunState.ENDED and process.end_of(run) is None, "the end")
    process.collect(run)

    assert len(sessions) >= 3
    assert agent in sessions
    assert seen.background >= 2
    assert nobody_lives(work)
    assert os.getsid(0) not in sessions
    record = run.exit_record()
    assert record is not None
    assert record.why == "stop"
