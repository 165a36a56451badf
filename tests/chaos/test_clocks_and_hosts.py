"""Time that jumps, a daemon that sleeps, and journals of another host or another boot."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components import journal_format
from tests.chaos.judge import Drill, resume
from tests.waiting import until

MakeDrill = Callable[..., Drill]
LIBRARY = "libfaketime.so.1"


def at_work(one: Drill) -> None:
    until(lambda: one.starts() and one.journal_is("RUNNING"), "the agent at work")


def test_a_daemon_that_slept_through_many_heartbeats_goes_on_with_its_agent(drill: MakeDrill) -> None:
    one = drill(HEADLESS_PM_HEARTBEAT_INTERVAL="0.2")
    daemon = one.daemon()
    at_work(one)
    daemon.send_signal(signal.SIGSTOP)
    one.open_gate()
    until(lambda: one.ledger()[-1][0] == "end", "the end of the agent, unseen")
    before = last_seen(one)
    with pytest.raises(subprocess.TimeoutExpired):
        daemon.wait(3)
    assert last_seen(one) == before, "it slept: no heartbeat came"

    resume(daemon)

    assert daemon.wait(20) == 0
    one.judge()


@pytest.mark.parametrize("step", ["+3650d", "-3650d"])
def test_a_clock_that_is_set_ten_years_off_during_the_work_changes_nothing(
    drill: MakeDrill, tmp_path: Path, step: str
) -> None:
    library = next(Path("/usr/lib").glob(f"*/faketime/{LIBRARY}"), None)
    if library is None:
        pytest.skip(f"needs {LIBRARY} (the package faketime)")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    one = drill(HEADLESS_PM_HEARTBEAT_INTERVAL="0.2")
    preload = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock)}
    # Without the last one libfaketime hangs every Python program that has two threads.
    daemon = one.daemon(**preload, FAKETIME_NO_CACHE="1", DONT_FAKE_MONOTONIC="1", FAKETIME_FORCE_MONOTONIC_FIX="0")
    at_work(one)

    clock.write_text(step)
    for _ in range(3):
        before = last_seen(one)
        until(lambda before=before: last_seen(one) != before, "a heartbeat in the new time")  # type: ignore[misc]
    one.open_gate()

    assert daemon.wait(20) == 0
    one.judge()


def last_seen(one: Drill) -> str:
    """Return when the server last heard of the agent."""
    return next(
        str(agent["last_seen"]) for agent in one.pm.api.get("/agents").json() if agent["agent_id"] == one.agent_id
    )


def test_the_journal_of_another_host_is_refused_and_left_as_it_is(drill: MakeDrill) -> None:
    one = drill()
    one.open_gate()
    assert one.daemon("after.CLAIMED:kill").wait(20) == -signal.SIGKILL
    edit(one, host="another-host")
    journal = (one.home / "locks" / f"agent-{one.agent_id}.lock").read_bytes()
    task = one.now()

    ended = one.run("--single-task")

    assert ended.returncode == 75, ended.stderr
    assert "another-host" in ended.stderr
    assert (one.home / "locks" / f"agent-{one.agent_id}.lock").read_bytes() == journal
    assert one.now() == task
    assert one.starts() == 0


@pytest.mark.parametrize("boot", ["another-boot", "this boot"])
def test_process_ids_that_belong_to_others_by_now_are_not_believed(drill: MakeDrill, boot: str) -> None:
    one = drill()
    one.kill_all(one.daemon_stopped_at("after.RUNNING"))
    bystander = subprocess.Popen(["sleep", "60"], env={})
    try:
        file = one.runs()[-1].path / "pids"
        pids: dict[str, Any] = json.loads(file.read_bytes())
        for who in ("shim", "agent"):
            pids[who] = [bystander.pid, 1]
        if boot == "another-boot":
            edit(one, boot_id=boot)
            pids["boot_id"] = boot
        file.write_text(json.dumps(pids))

        one.finish()

        one.judge(2)
        assert bystander.poll() is None, "it was not taken for the agent"
    finally:
        bystander.kill()
        bystander.wait()


def edit(one: Drill, **fields: str) -> None:
    """Change fields of the journal as if another machine had written it, with a checksum that fits."""
    file = one.home / "locks" / f"agent-{one.agent_id}.lock"
    data = json.loads(file.read_bytes()) | fields
    del data["checksum"]
    data["checksum"] = journal_format.checksum(data)
    file.write_text(json.dumps(data, indent=2))
