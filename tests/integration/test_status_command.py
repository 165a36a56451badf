"""The `status` and `locks` commands: what a person sees of runners and agents that live, and of those that do not."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components import dead_letters, journal_format
from components.model import Held, Task, Verdict, Workspace
from components.states import Phase, Reason
from components.task_persistence import TaskPersistence, host_name, now_text
from tests.pm_server import PmServer, running_pm
from tests.runner import ROOT, Runner
from tests.waiting import until

BUDGET_SECONDS = 0.4


@pytest.fixture
def pm(tmp_path: Path) -> Iterator[PmServer]:
    (tmp_path / "pm").mkdir()
    with running_pm(tmp_path / "pm", "--real") as server:
        yield server


@pytest.fixture
def runner(tmp_path: Path, pm: PmServer) -> Iterator[Runner]:
    one = Runner(tmp_path, pm, "wait")
    yield one
    one.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any process."""
    monkeypatch.setenv("HEADLESS_PM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "components.cli", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=50, check=False)


def say(*words: str, **environ: str) -> str:
    ran = run(*words, **environ)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def told(home: Path, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(say(*words, "--json", HEADLESS_PM_HOME=str(home)))
    return answer


def at_work(runner: Runner, pm: PmServer) -> subprocess.Popen[bytes]:
    pm.api.task("Mend the \x1b[31mroof\x07 of the barn")
    daemon = runner.start()
    until(lambda: runner.starts() == 1 and runner.journal_is("RUNNING"), "the agent at work")
    return daemon


def agent_pid(runner: Runner) -> int:
    return int(runner.ledger()[0][3])


def held(agent_id: str = "dev_7", **changes: Any) -> Held:
    task = Task("12", "Mend the roof", status="created", created_at="2026-01-01T00:00:00")
    usual = Held(
        task, agent_id, Phase.EXITED, uuid.uuid4().hex, str(uuid.uuid4()), host=host_name(), locked_at=now_text()
    )
    return replace(usual, **changes)


def test_a_runner_with_its_agent_is_shown_and_programs_are_told_the_pids_of_both(runner: Runner, pm: PmServer) -> None:
    daemon = at_work(runner, pm)

    lines = say("status", HEADLESS_PM_HOME=str(runner.home)).splitlines()
    seen = told(runner.home, "status")["executions"][0]

    assert lines[0].split() == ["ID", "PROJECT", "STAGE", "STARTED", "TITLE"]
    shown = re.fullmatch(r"([0-9a-f]{8}) +repository +running +\d+ s +Mend the roof of the barn", lines[1])
    assert shown is not None, lines
    assert seen["id"].startswith(shown[1])
    assert (seen["pids"]["agent"], seen["pids"]["runner"]) == (agent_pid(runner), daemon.pid)
    assert len(lines) == 2


def test_an_agent_whose_runner_was_killed_is_shown_as_alive_and_without_a_runner(runner: Runner, pm: PmServer) -> None:
    runner.kill(at_work(runner, pm))

    seen = told(runner.home, "status")["agents"][0]

    assert seen["runner"] == {"alive": False, "pid": None}
    assert seen["run"]["state"] == "alive"
    assert seen["run"]["pids"]["agent"] == agent_pid(runner)
    assert seen["remark"] == "no runner: the agent works on; start it again to take it up"


def test_nothing_that_was_killed_is_shown_as_running(runner: Runner, pm: PmServer) -> None:
    runner.kill(at_work(runner, pm))
    shim = runner.runs()[0].pids()["shim"].pid
    os.kill(shim, signal.SIGKILL)
    os.kill(agent_pid(runner), signal.SIGKILL)

    lines = until(lambda: now_interrupted(runner.home), "the end of both").splitlines()

    assert re.fullmatch(r"[0-9a-f]{8} +repository +interrupted +\d+ s +Mend the roof of the barn", lines[1])
    assert lines[2].strip() == "no runner: start it again to go on"


def now_interrupted(home: Path) -> str:
    shown = say("status", HEADLESS_PM_HOME=str(home))
    return "" if " running " in shown else shown


def test_an_agent_killed_beside_its_shim_is_not_shown_by_its_old_pid(runner: Runner, pm: PmServer) -> None:
    daemon = at_work(runner, pm)
    daemon.send_signal(signal.SIGSTOP)
    shim = runner.runs()[0].pids()["shim"].pid
    os.kill(shim, signal.SIGSTOP)
    os.kill(agent_pid(runner), signal.SIGKILL)

    try:
        until(lambda: "agent" not in told(runner.home, "status")["agents"][0]["run"]["pids"], "the agent's end")
        seen = told(runner.home, "status")["agents"][0]["run"]
    finally:
        os.kill(shim, signal.SIGCONT)
        daemon.send_signal(signal.SIGCONT)

    assert seen["pids"] == {"shim": shim}


def test_an_agent_without_a_journal_is_shown_as_a_stray_with_its_task(runner: Runner, pm: PmServer) -> None:
    runner.kill(at_work(runner, pm))
    (runner.home / "locks" / "agent-dev_1.lock").unlink()

    shown = say("status", HEADLESS_PM_HOME=str(runner.home))

    assert "ALIVE WITHOUT A JOURNAL" in shown
    assert f"agent {agent_pid(runner)}" in shown
    assert "task 1 Mend the roof of the barn" in shown
    assert "start the runner of agent dev_1" in shown


def test_an_idle_runner_is_shown_and_one_that_left_only_with_all(runner: Runner) -> None:
    daemon = runner.start()
    until(lambda: runner.said("registered"), "the start")
    idle = say("status", HEADLESS_PM_HOME=str(runner.home))
    daemon.terminate()
    daemon.wait(20)

    assert re.search(rf"^dev_1 +idle, pid {daemon.pid}$", idle, re.MULTILINE)
    assert say("status", HEADLESS_PM_HOME=str(runner.home)).startswith("No agent is at work here")
    assert re.search(r"^dev_1 +none$", say("status", "--all", HEADLESS_PM_HOME=str(runner.home)), re.MULTILINE)


def test_looking_changes_nothing_even_where_a_journal_is_corrupt(home: Path) -> None:
    TaskPersistence("dev_7", home).save(held())
    journal = home / "locks" / "agent-dev_7.lock"
    journal.write_bytes(journal.read_bytes()[:200])
    (home / "locks" / "agent-dev_8.lock").mkdir()
    before = fingerprint(home)

    shown = say("status") + say("locks", "--repo", str(home)) + say("status", "--json") + say("locks", "--json")

    assert fingerprint(home) == before
    assert f"{journal}: it is not whole JSON" in shown
    assert f"{home}/locks/agent-dev_8.lock: cannot be read (is a directory)" in shown


def fingerprint(home: Path) -> dict[str, str]:
    files = {path: path.read_bytes() if path.is_file() else b"" for path in home.rglob("*")}
    return {
        str(path): f"{path.lstat().st_mtime_ns} {hashlib.sha256(content).hexdigest()}"
        for path, content in files.items()
    }


def test_a_home_that_is_not_there_is_not_made(home: Path) -> None:
    assert say("status") == f"No agent is at work here ({home}).\n"
    assert f"There are no locks of agents ({home}/locks)." in say("locks")
    assert not home.exists()


def test_a_refused_report_is_shown_with_what_to_do(home: Path) -> None:
    one = held(verdict=Verdict(Reason.SUCCEEDED, "done"), updated_at=now_text())
    path = dead_letters.keep(home, one, ("dev_done",), "refused (403): not allowed")
    (home / dead_letters.DIRECTORY / "torn.json").write_text("{")

    shown = say("status")

    assert "task 12 Mend the roof: wanted dev_done (succeeded); it said: refused (403): not allowed" in shown
    assert f"    move task 12 to dev_done at the server by hand, then:\n    rm {path}\n" in shown
    assert "torn.json: it is no report that the server refused" in shown


def test_a_journal_that_was_set_aside_is_shown(home: Path) -> None:
    journal = TaskPersistence("dev_7", home)
    journal.save(held())
    journal.lock_file.write_text("{")
    with pytest.raises(Exception, match="kept as"):
        journal.get_locked_task()

    again = journal.lock_file.with_name(f"{journal.lock_file.name}.bad-20260101T000000-0")
    again.write_text("{")

    assert "Set aside: 2 damaged journals; `doctor` names them." in say("status").splitlines()
    assert ".bad-" in told(home, "status")["set_aside"][0]


def test_a_journal_of_another_host_is_said_to_be_its_business(home: Path) -> None:
    TaskPersistence("dev_7", home).save(held(phase=Phase.RUNNING, host="another-machine"))

    seen = told(home, "status")["agents"][0]
    shown = say("status")

    assert (seen["is_elsewhere"], seen["host"]) == (True, "another-machine")
    assert "its runner is on another host (another-machine); look there" in shown
    assert " elsewhere " in shown


def test_a_time_is_told_in_its_largest_unit(home: Path) -> None:
    for number, (seconds, words) in enumerate({5: "5 s", 65: "1 min", 7300: "2 h", 200_000: "2 d"}.items()):
        then = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
        TaskPersistence(f"dev_{number}", home).save(held(f"dev_{number}", locked_at=then))
        assert re.search(rf"^[0-9a-f]{{8}} +interrupted +{words.replace('5 s', r'[0-9]+ s')} ", say("status"), re.M)


def test_an_earlier_runners_lock_file_is_shown_as_a_claim(home: Path) -> None:
    (home / "locks").mkdir(parents=True)
    legacy = {"task_id": 5, "task_title": "Old", "agent_id": "dev_5", "locked_at": "2026-01-01T10:00:00"}
    (home / "locks" / "agent-dev_5.lock").write_text(
        json.dumps({**legacy, "task_data": {"id": 5, "title": "Old", "status": "created", "skill_level": "senior"}})
    )

    seen = told(home, "status")["agents"][0]
    assert (seen["agent_id"], seen["task"]["id"], seen["phase"], seen["attempt"]) == ("dev_5", "5", "CLAIMING", 1)
    assert re.search(r"^[0-9a-f]{8} +interrupted ", say("status"), re.MULTILINE)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal(home: Path, width: int) -> None:
    long_title = "Mend the roof of the barn 谷仓的屋顶 before the rain comes and wets it" + " and all of it" * 3
    TaskPersistence("dev_7", home).save(held(task=replace(held().task, title=long_title)))

    shown = on_terminal("status", COLUMNS=str(width))

    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(len(line) + sum(ord(char) > 0x2E80 for char in line) for line in plain.splitlines()) <= width
    assert "..." in plain
    assert "\x1b" not in on_terminal("status", NO_COLOR="1")


def on_terminal(*words: str, **environ: str) -> str:
    parent, child = pty.openpty()
    argv = [sys.executable, "-m", "components.cli", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environ}
    process = subprocess.Popen(argv, env=env, stdout=child)
    os.close(child)
    shown = b""
    try:
        while block := os.read(parent, 65536):
            shown += block
    except OSError:  # a terminal whose other end is closed answers EIO
        pass
    finally:
        os.close(parent)
    assert process.wait(30) == 0
    return shown.decode().replace("\r\n", "\n")


def test_an_encoding_that_lacks_a_title_is_no_reason_to_fail(home: Path) -> None:
    TaskPersistence("dev_7", home).save(held(task=replace(held().task, title="谷仓")))

    assert "\\u8c37\\u4ed3" in say("status", PYTHONIOENCODING="ascii")


def test_a_thousand_runs_that_ended_cost_next_to_nothing(home: Path) -> None:
    copy = journal_format.dump(held())
    for number in range(1000):
        directory = home / "runs" / f"{number}-0123abcd-1"
        directory.mkdir(parents=True)
        for name, content in (("alive", b""), ("exit", b'{"state": "CLEAN", "exit_code": 0}'), ("journal.json", copy)):
            (directory / name).write_bytes(content)

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = say("status")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert shown.startswith("No agent is at work here")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < BUDGET_SECONDS


def test_a_run_directory_in_which_everything_is_wrong_is_survived(home: Path) -> None:
    for name in ("alive", "pids", "exit", "journal.json"):
        (home / "runs" / "1-0123abcd-1" / name).mkdir(parents=True)
    broken = home / "runs" / "2-0123abcd-1"
    broken.mkdir()
    for name in ("pids", "journal.json"):
        (broken / name).write_text('{"agent": ["x"]}')
    with (broken / "alive").open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)

        strays = told(home, "status")["strays"]

    assert [(Path(stray["path"]).name, stray["pids"]) for stray in strays] == [(broken.name, {})]


def test_locks_tells_who_holds_what(runner: Runner, pm: PmServer) -> None:
    daemon = at_work(runner, pm)
    words = ("locks", "--repo", str(runner.repository))

    lines = say(*words, HEADLESS_PM_HOME=str(runner.home)).splitlines()

    assert re.fullmatch(rf"dev_1 +1 +RUNNING +\d+ s +here +runner {daemon.pid}", lines[1])
    assert f"checkout                agent dev_1, task 1 (pid {agent_pid(runner)})" in lines
    assert "branches and worktrees  nobody" in lines
    runner.kill(daemon)
    assert re.fullmatch(
        r"dev_1 +1 +RUNNING +\d+ s +here +nobody", say(*words, HEADLESS_PM_HOME=str(runner.home)).splitlines()[1]
    )


def test_locks_of_the_repository_outlive_the_runner_and_end_with_the_agent(runner: Runner, pm: PmServer) -> None:
    runner.kill(at_work(runner, pm))
    words = ("locks", "--repo", str(runner.repository))
    by = {one["name"]: one["held_by"] for one in told(runner.home, *words)["repository"]}

    runner.open_gate()
    until(lambda: runner.runs()[0].state().name == "ENDED", "the agent's end")

    assert by["checkout"].startswith("agent dev_1, task 1")
    until(lambda: told(runner.home, *words)["repository"][0]["held_by"] == "", "the end of the lock")


def test_a_checkout_in_use_by_another_home_is_said_to_be(home: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path / "r"], check=True)
    commit = ["git", "-C", tmp_path / "r", "commit", "-q", "--allow-empty", "-m", "Begin"]
    subprocess.run(commit, check=True)
    workspace = Workspace(tmp_path / "r", tmp_path / "r")
    TaskPersistence("dev_7", home).save(held(workspace=workspace))
    with (tmp_path / "r" / ".git" / "agent-runner-checkout.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        seen = told(home, "locks", "--repo", str(tmp_path / "r"))

    assert seen["repository"][0]["held_by"] == "an agent of another home"
    assert seen["trouble"] == ""


def test_locks_outside_of_a_repository_still_shows_the_agents(home: Path) -> None:
    TaskPersistence("dev_7", home).save(held())

    shown = say("locks", "--repo", str(home))

    assert re.search(r"^dev_7 +12 +EXITED +\d+ s +here +nobody$", shown, re.MULTILINE)
    assert "is not in a git repository" in shown


def test_what_nothing_is_known_of_takes_no_room_from_the_title(home: Path) -> None:
    """Regression: at 80 columns a title had 12 letters beside four columns of `-`."""
    TaskPersistence("dev_7", home).save(held(phase=Phase.RUNNING))

    heading, line, *_ = say("status").splitlines()

    assert heading.split() == ["ID", "STAGE", "STARTED", "TITLE"]
    assert line.endswith("Mend the roof")


def test_a_mistyped_command_is_answered_with_the_one_that_is_meant() -> None:
    ran = run("statsu")

    assert ran.returncode == 2
    assert "Did you mean `status`?" in ran.stderr
