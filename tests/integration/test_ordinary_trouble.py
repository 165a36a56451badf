"""Ordinary trouble of a day: a proxy's error page, a git that is killed. No daemon ends of it, and no task is lost."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.judge import is_stopped, resume
from tests.pm_server import PmServer, running_pm
from tests.runner import Runner
from tests.waiting import until

MakeRunner = Callable[..., Runner]
PAGE = "<!DOCTYPE html><html><body><h1>Not Found</h1></body></html>"
GIT = """#!/bin/sh
if [ -e {place}/armed ]; then
  n=$(cat {place}/armed)
  echo $((n - 1)) > {place}/armed.new && mv {place}/armed.new {place}/armed
  [ "$n" -gt {last} ] || {{ [ "$n" -gt 0 ] && kill -9 $$; }}
fi
exec {git} "$@"
"""
"""A git that is killed: not the first calls after `armed` was written with a number over `last`, but those after."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PmServer]:
    with running_pm(tmp_path_factory.mktemp("pm"), "--real", "--faults") as pm:
        yield pm


@pytest.fixture
def proxy(pm: PmServer) -> Iterator[Callable[[str, int], None]]:
    """Have a proxy's page instead of the server's answers at an endpoint, until the test ends or `forgive`."""

    def show(endpoint: str, status: int) -> None:
        pm.api.fault("reply", on=endpoint, status=status, times=100_000, body=PAGE, content_type="text/html")

    yield show
    pm.api.forgive()


def struck(pm: PmServer) -> int:
    """Return how many requests met a fault."""
    return int(pm.api.get("//_faults").json()["struck"])


@pytest.mark.parametrize(
    ("endpoint", "status"), [("next", 404), ("next", 400), ("register", 403), ("agents", 404), ("any", 404)]
)
def test_an_idle_daemon_outlives_a_proxy_s_error_page(
    runner: MakeRunner, pm: PmServer, proxy: Callable[[str, int], None], endpoint: str, status: int
) -> None:
    """Defect: any refusal but 401 and 409 on a read or a heartbeat ended the daemon with exit code 1."""
    one = runner("write", "commit")
    daemon = one.start(HEADLESS_PM_HEARTBEAT_INTERVAL="1")
    until(lambda: one.said("No tasks available"), "the rest")
    before = struck(pm)
    proxy(endpoint, status)

    until(lambda: struck(pm) >= before + 3 or daemon.poll() is not None, "three refusals")

    assert daemon.poll() is None, one.log.read_text()
    pm.api.forgive()
    task = pm.api.task("After the trouble")
    until(lambda: pm.api.look(task["id"])["status"] == "dev_done", "the task")
    assert "Traceback" not in one.log.read_text()


@pytest.mark.parametrize(("endpoint", "status"), [("list", 404), ("register", 403), ("any", 400)])
def test_a_daemon_with_an_agent_at_work_outlives_a_proxy_s_error_page(
    runner: MakeRunner, pm: PmServer, proxy: Callable[[str, int], None], endpoint: str, status: int
) -> None:
    task = pm.api.task("In the middle of it")
    one = runner("wait", "write", "commit")
    daemon = one.start("--single-task", HEADLESS_PM_HEARTBEAT_INTERVAL="1")
    until(one.starts, "the agent at work")
    before = struck(pm)
    proxy(endpoint, status)

    until(lambda: struck(pm) >= before + 2 or daemon.poll() is not None, "two refusals")
    assert daemon.poll() is None, one.log.read_text()
    one.open_gate()
    pm.api.forgive()

    assert daemon.wait(30) == 0, one.log.read_text()
    assert pm.api.look(task["id"])["status"] == "dev_done"
    assert one.starts() == 1


def test_a_refused_report_is_told_when_the_server_takes_it_again(
    runner: MakeRunner, pm: PmServer, proxy: Callable[[str, int], None]
) -> None:
    task = pm.api.task("Report it")
    one = runner("wait", "write", "commit")
    daemon = one.start("--single-task", HEADLESS_PM_HEARTBEAT_INTERVAL="60")
    until(one.starts, "the agent at work")
    proxy("list", 403)
    one.open_gate()

    until(lambda: one.said("Trying again until it works") or daemon.poll() is not None, "the warning")
    pm.api.forgive()

    assert daemon.wait(30) == 0, one.log.read_text()
    assert pm.api.look(task["id"])["status"] == "dev_done"


def test_a_page_for_a_second_at_the_start_is_waited_for(
    runner: MakeRunner, pm: PmServer, proxy: Callable[[str, int], None]
) -> None:
    task = pm.api.task("Begin")
    one = runner("write", "commit")
    proxy("register", 404)
    before = struck(pm)
    daemon = one.start("--single-task")

    until(lambda: struck(pm) > before or daemon.poll() is not None, "the refusal")
    pm.api.forgive()

    assert daemon.wait(30) == 0, one.log.read_text()
    assert pm.api.look(task["id"])["status"] == "dev_done"


# --- git that is killed ----------------------------------------------------------------------------------------------


class Git:
    """A `git` before the real one on the search path, which can be told to die."""

    def __init__(self, directory: Path) -> None:
        self.place = directory / "bin"
        self.place.mkdir()
        self.path = self.place / "git"

    def dies(self, *, spared: int = 0, times: int = 1) -> None:
        """Have so many calls die, after some that are spared; SIGKILL before it does anything."""
        real = shutil.which("git") or "git"
        self.path.write_text(GIT.format(place=self.place, last=times, git=real))
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)
        (self.place / "armed").write_text(f"{spared + times}\n")


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return Git(tmp_path)


def path_with(git: Git) -> str:
    """Return a search path on which this git is the first."""
    return f"{git.place}:/usr/local/bin:/usr/bin:/bin"


@pytest.mark.parametrize("spared", range(7))
def test_a_git_that_is_killed_at_the_start_is_asked_again(
    runner: MakeRunner, pm: PmServer, git: Git, spared: int
) -> None:
    """Defect: each of the first git calls, killed, ended the daemon with exit code 1."""
    one = runner("write", "commit")
    git.dies(spared=spared)

    done = one.run("--idle-timeout", "0.1", PATH=path_with(git))

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_git_that_is_killed_again_and_again_at_the_start_ends_it_with_a_message(runner: MakeRunner, git: Git) -> None:
    one = runner("write", "commit")
    git.dies(times=1000)

    done = one.run("--idle-timeout", "0.1", PATH=path_with(git))

    assert done.returncode == 1
    assert "git rev-parse" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("times", [1, 2, 100_000])
def test_a_git_that_is_killed_when_a_minor_task_begins_ends_no_daemon(
    runner: MakeRunner, pm: PmServer, git: Git, times: int
) -> None:
    """Defect: `rev-parse --git-common-dir`, killed, left the task locked and under_work, and the daemon dead."""
    task = pm.api.task("A minor one")
    one = runner("write", "commit")
    daemon = one.start(AGENT_RUNNER_FAULT="after.SPAWNING:1*stop->off", PATH=path_with(git))
    until(lambda: is_stopped(daemon), "the boundary")
    git.dies(times=times)
    resume(daemon)

    expected = {"created", "pending"} if times > 4 else {"dev_done"}  # given back, or left to a person with a reason
    until(lambda: pm.api.look(task["id"])["status"] in expected or daemon.poll() is not None, f"task {expected}")

    assert daemon.poll() is None, one.log.read_text()
    until(lambda: pm.api.look(task["id"])["locked_by"] is None, "the lock given back")
    assert "Traceback" not in one.log.read_text()
