"""The three hooks that come with the runner, each as a program of its own, on real repositories and real logs."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from components import durable
from components.hook_payload import Moment, health_moment, task_moment
from components.hook_runner import Decision, HookRunner
from components.model import Held, Task, Verdict, Workspace
from components.states import Complexity, Phase, Reason
from tests.waiting import until

HOOKS = Path(__file__).parents[2] / "hooks"
GO, NO, LATER = 0, 1, 75
PLENTY = dict.fromkeys(("HEADLESS_PM_MIN_DISK_MB", "HEADLESS_PM_MIN_INODES", "HEADLESS_PM_MIN_MEMORY_MB"), "0") | {
    "HEADLESS_PM_WARN_MEMORY_MB": "0",
    "HEADLESS_PM_MAX_LOAD": "100000",
}
"""Thresholds that every machine meets, so that only what a test is about decides."""


def run(
    name: str, payload: object, cwd: Path, *options: str, hook: Path | None = None, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run a default hook from elsewhere, as a program of its own."""
    return subprocess.run(
        [sys.executable, *options, str(hook or HOOKS / f"{name}.py")],
        input=payload if isinstance(payload, str) else json.dumps(payload),
        capture_output=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **PLENTY, **changes},
        text=True,
    )


def git(repository: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(repository), *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    (path / "file").write_text("one\n")
    git(path, "add", "file")
    git(path, "commit", "-q", "-m", "Begin")
    return path


def held(**changes: object) -> Held:
    values: dict[str, object] = {
        "task": Task("17", "Round prices"),
        "agent_id": "dev_001",
        "phase": Phase.ANNOUNCED,
        "claim": "c1",
        "session_id": "s1",
    }
    return Held(**{**values, **changes})  # type: ignore[arg-type]


def before(repository: Path, home: Path, complexity: Complexity = Complexity.MINOR) -> Mapping[str, object]:
    in_hand = held(task=Task("17", "Round prices", complexity=complexity))
    return task_moment(
        Moment.PRE_TASK, in_hand, role="backend_dev", repository=repository, home=home, executor="claude", retry=False
    )


def after(home: Path, retry: bool = False, **changes: object) -> Mapping[str, object]:
    values: dict[str, object] = {
        "phase": Phase.REPORTED,
        "run": "17-c1-1",
        "workspace": Workspace(home / "work", home, "feature/x", "9fceb02", True),
        "verdict": Verdict(Reason.SUCCEEDED, "done", 0, 0.5, 12.5, "sonnet"),
    }
    return task_moment(
        Moment.POST_TASK,
        held(**{**values, **changes}),
        role="backend_dev",
        repository=home,
        home=home,
        executor="claude",
        retry=retry,
        status="dev_done",
    )


def health(home: Path) -> Mapping[str, object]:
    return health_moment(
        agent_id="dev_001",
        role="backend_dev",
        repository=home,
        home=home,
        locks_directory=home / "locks",
        idle=True,
        task_id=None,
        uptime=5.0,
    )


def waits_for_a_lock(pid: int) -> bool:
    waiting = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
    return any(str(pid) in words for words in waiting)


def logged(home: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (home / "logs" / "tasks.log").read_text().splitlines()]


def test_the_runner_runs_each_with_its_own_payload(repository: Path, home: Path) -> None:
    runner = HookRunner(HOOKS, env={"PATH": os.environ["PATH"], **PLENTY})

    outcomes = [
        runner.run("pre_task", before(repository, home)),
        runner.run("post_task", after(home)),
        runner.run("health_check", health(home)),
    ]

    assert [(outcome.decision, len(outcome.output.splitlines())) for outcome in outcomes] == [(Decision.GO, 1)] * 3


@pytest.mark.parametrize("name", ["pre_task", "post_task", "health_check"])
def test_it_works_when_copied_elsewhere_without_any_package(name: str, repository: Path, home: Path) -> None:
    payloads = {"pre_task": before(repository, home), "post_task": after(home), "health_check": health(home)}
    copy = Path(shutil.copy(HOOKS / f"{name}.py", home / "copy.py"))

    # -I and -S: neither this checkout nor any installed package (psutil) can be imported.
    done = run(name, payloads[name], home, "-I", "-S", hook=copy)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["pre_task", "post_task", "health_check"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\0"])
def test_it_refuses_what_is_no_payload_in_one_line(name: str, text: str, home: Path) -> None:
    done = run(name, text, home)

    assert done.returncode == 1
    assert len((done.stdout + done.stderr).splitlines()) == 1
    assert "stdin is not the JSON" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("pre_task", "HEADLESS_PM_MIN_DISK_MB"),
        ("health_check", "HEADLESS_PM_MAX_LOAD"),
        ("post_task", "HEADLESS_PM_TASK_LOG_MB"),
    ],
)
def test_it_names_a_threshold_that_is_no_number(name: str, variable: str, repository: Path, home: Path) -> None:
    payloads = {"pre_task": before(repository, home), "post_task": after(home), "health_check": health(home)}

    done = run(name, payloads[name], home, **{variable: "much"})

    assert done.returncode == 1
    assert f"{variable}: 'much' is not a number" in done.stdout + done.stderr


class TestPreTask:
    def test_a_full_disk_is_a_later(self, repository: Path, home: Path) -> None:
        done = run("pre_task", before(repository, home), home, HEADLESS_PM_MIN_DISK_MB="1e12")

        assert done.returncode == LATER
        assert "low disk" in done.stderr
        assert "lower HEADLESS_PM_MIN_DISK_MB" in done.stderr

    def test_a_file_system_without_inodes_is_a_later(self, repository: Path, home: Path) -> None:
        if not os.statvfs(repository).f_files:
            pytest.skip("this file system makes inodes as it needs them")

        done = run("pre_task", before(repository, home), home, HEADLESS_PM_MIN_INODES="1e15")

        assert done.returncode == LATER
        assert "inodes free" in done.stderr

    def test_little_memory_is_a_later(self, repository: Path, home: Path) -> None:
        done = run("pre_task", before(repository, home), home, HEADLESS_PM_MIN_MEMORY_MB="1e12")

        assert done.returncode == LATER
        assert "low memory" in done.stderr

    def test_memory_that_is_only_short_is_a_warning(self, repository: Path, home: Path) -> None:
        done = run("pre_task", before(repository, home), home, HEADLESS_PM_WARN_MEMORY_MB="1e12")

        assert done.returncode == GO
        assert done.stderr.startswith("warning: low memory")

    def test_a_home_that_is_not_made_yet_is_no_trouble(self, repository: Path, home: Path) -> None:
        assert run("pre_task", before(repository, home / "not" / "yet"), home).returncode == GO

    def test_a_repository_that_is_not_there_is_a_no(self, home: Path) -> None:
        done = run("pre_task", before(home / "gone", home), home)

        assert done.returncode == NO
        assert "is not a directory" in done.stderr

    def test_a_directory_that_is_no_repository_is_a_no(self, home: Path) -> None:
        done = run("pre_task", before(home, home), home, GIT_CEILING_DIRECTORIES=str(home.parent))

        assert done.returncode == NO
        assert "not a git repository" in done.stderr
        assert len(done.stderr.splitlines()) == 1

    def test_a_repository_without_a_commit_is_a_no(self, home: Path) -> None:
        git(home, "init", "-q")

        done = run("pre_task", before(home, home), home)

        assert done.returncode == NO
        assert "no commit" in done.stderr

    def test_git_that_is_not_installed_is_a_no(self, repository: Path, home: Path) -> None:
        done = run("pre_task", before(repository, home), home, PATH=str(home))

        assert done.returncode == NO
        assert "git is not on the PATH" in done.stderr

    @pytest.mark.parametrize(
        ("verb", "word"), [("merge", "a merge"), ("rebase", "a rebase"), ("cherry-pick", "a cherry-pick")]
    )
    def test_something_unfinished_stops_a_minor_task_only(
        self, repository: Path, home: Path, verb: str, word: str
    ) -> None:
        git(repository, "checkout", "-q", "-b", "other")
        (repository / "file").write_text("other\n")
        git(repository, "commit", "-qam", "Other")
        git(repository, "checkout", "-q", "main")
        (repository / "file").write_text("two\n")
        git(repository, "commit", "-qam", "Two")
        assert subprocess.run(
            ["git", "-C", str(repository), verb, "other"], check=False, capture_output=True
        ).returncode

        minor = run("pre_task", before(repository, home), home)
        major = run("pre_task", before(repository, home, Complexity.MAJOR), home)

        assert (minor.returncode, major.returncode) == (NO, GO)
        assert f"{word} is unfinished" in minor.stderr

    def test_git_at_work_is_a_later_for_a_minor_task_only(self, repository: Path, home: Path) -> None:
        lock = repository / ".git" / "index.lock"
        lock.touch()

        minor = run("pre_task", before(repository, home), home)
        major = run("pre_task", before(repository, home, Complexity.MAJOR), home)

        assert (minor.returncode, major.returncode) == (LATER, GO)
        assert str(lock) in minor.stderr

    @pytest.mark.parametrize("name", ["file", "new"])
    def test_uncommitted_changes_are_a_warning_or_a_no_as_asked(self, repository: Path, home: Path, name: str) -> None:
        (repository / name).write_text("changed\n")

        default = run("pre_task", before(repository, home), home)
        strict = run("pre_task", before(repository, home), home, HEADLESS_PM_REQUIRE_CLEAN="1")
        major = run("pre_task", before(repository, home, Complexity.MAJOR), home, HEADLESS_PM_REQUIRE_CLEAN="1")

        assert (default.returncode, strict.returncode, major.returncode) == (GO, NO, GO)
        assert default.stderr.startswith("warning: ")
        assert "1 changes" in strict.stderr

    def test_a_linked_worktree_may_be_the_repository(self, repository: Path, home: Path) -> None:
        git(repository, "worktree", "add", "-q", str(home / "linked"))
        (repository / ".git" / "worktrees" / "linked" / "index.lock").touch()

        assert run("pre_task", before(home / "linked", home), home).returncode == LATER
        assert run("pre_task", before(repository, home), home).returncode == GO

    def test_looking_does_not_write_the_index(self, repository: Path, home: Path) -> None:
        index = repository / ".git" / "index"
        known = index.read_bytes()
        os.utime(repository / "file", (1, 1))  # git would note the new time

        assert run("pre_task", before(repository, home), home).returncode == GO
        assert index.read_bytes() == known

    def test_a_file_system_monitor_of_the_repository_is_not_run(self, repository: Path, home: Path) -> None:
        monitor = home / "monitor"
        monitor.write_text(f"#!/bin/sh\ntouch {home}/ran\n")
        monitor.chmod(0o755)
        git(repository, "config", "core.fsmonitor", str(monitor))

        assert run("pre_task", before(repository, home), home).returncode == GO
        assert not (home / "ran").exists()


class TestPostTask:
    def test_one_line_says_how_the_task_ended(self, home: Path) -> None:
        done = run("post_task", after(home), home)

        assert (done.returncode, done.stderr) == (0, "")
        [line] = logged(home)
        assert line["task"] == "17"
        assert (line["claim"], line["attempt"]) == ("c1", 1)
        assert (line["reason"], line["success"], line["status"]) == ("succeeded", True, "dev_done")
        assert (line["seconds"], line["cost_usd"], line["model"]) == (12.5, 0.5, "sonnet")

    def test_the_log_is_private(self, home: Path) -> None:
        run("post_task", after(home), home)

        assert stat.S_IMODE((home / "logs" / "tasks.log").stat().st_mode) == 0o600
        assert stat.S_IMODE((home / "logs").stat().st_mode) == 0o700

    def test_a_task_that_no_agent_was_started_for_is_logged_too(self, home: Path) -> None:
        done = run("post_task", after(home, run="", workspace=None, verdict=Verdict(Reason.HOOK_REJECTED)), home)

        assert (done.returncode, done.stderr) == (0, "")
        assert logged(home)[0]["reason"] == "hook_rejected"

    def test_a_title_of_many_lines_is_still_one_line(self, home: Path) -> None:
        run("post_task", after(home, task=Task("17", "a\nb\x1b[31m" * 10_000)), home)

        text = (home / "logs" / "tasks.log").read_text()
        assert text.count("\n") == 1
        assert "\x1b" not in text
        assert len(text) < 3000

    def test_what_is_run_again_is_logged_once(self, home: Path) -> None:
        for retry in (False, True, True):
            assert run("post_task", after(home, retry=retry), home).returncode == 0

        assert len(logged(home)) == 1

    def test_what_is_run_again_but_was_not_logged_is(self, home: Path) -> None:
        run("post_task", after(home, claim="another"), home)
        run("post_task", after(home, attempt=2), home)
        run("post_task", after(home, retry=True), home)

        assert [(line["claim"], line["attempt"]) for line in logged(home)] == [("another", 1), ("c1", 2), ("c1", 1)]

    def test_a_full_log_is_set_aside_and_still_looked_at(self, home: Path) -> None:
        for claim in ("c1", "c2"):
            run("post_task", after(home, claim=claim), home, HEADLESS_PM_TASK_LOG_MB="0.0001")
        run("post_task", after(home, claim="c1", retry=True), home, HEADLESS_PM_TASK_LOG_MB="0.0001")

        assert [line["claim"] for line in logged(home)] == ["c2"]
        assert (home / "logs" / "tasks.log.1").read_text().count('"c1"') == 1

    def test_a_torn_line_does_not_take_the_next_with_it(self, home: Path) -> None:
        (home / "logs").mkdir()
        (home / "logs" / "tasks.log").write_text('{"claim": "c1", "att')

        run("post_task", after(home, retry=True), home)

        torn, line = (home / "logs" / "tasks.log").read_text().splitlines()
        assert torn == '{"claim": "c1", "att'
        assert json.loads(line)["claim"] == "c1"

    def test_many_at_once_lose_no_line(self, home: Path) -> None:
        def start(number: int) -> subprocess.Popen[bytes]:
            given = home / f"payload-{number}"
            given.write_text(json.dumps(after(home, claim=f"c{number}", run="")))
            with given.open("rb") as payload:
                return subprocess.Popen(
                    [sys.executable, str(HOOKS / "post_task.py")], stdin=payload, stdout=subprocess.DEVNULL
                )

        assert {child.wait(60) for child in [start(number) for number in range(8)]} == {0}

        assert {line["claim"] for line in logged(home)} == {f"c{number}" for number in range(8)}

    def test_one_waits_while_another_is_at_the_log(self, home: Path) -> None:
        (home / "logs").mkdir()
        (home / "payload").write_text(json.dumps(after(home, run="")))
        with durable.locked(home / "logs" / "tasks.log.lock"), (home / "payload").open("rb") as payload:
            child = subprocess.Popen(
                [sys.executable, str(HOOKS / "post_task.py")], stdin=payload, stdout=subprocess.DEVNULL
            )
            until(lambda: waits_for_a_lock(child.pid), "the hook waits for the lock")
            assert not (home / "logs" / "tasks.log").exists()

        assert child.wait(60) == 0
        assert len(logged(home)) == 1

    def test_a_log_that_is_a_link_is_not_written_through(self, home: Path) -> None:
        (home / "logs").mkdir()
        (home / "logs" / "tasks.log").symlink_to(home / "precious")

        done = run("post_task", after(home), home)

        assert done.returncode == 1
        assert not (home / "precious").exists()

    def test_the_temporary_directory_of_the_run_is_removed_and_nothing_else(self, home: Path) -> None:
        run_directory = home / "runs" / "17-c1-1"
        (run_directory / "tmp" / "deep").mkdir(parents=True)
        (run_directory / "tmp" / "deep" / "file").touch()
        (run_directory / "tmp" / "link").symlink_to(run_directory / "out")
        (run_directory / "out").write_text("kept")

        for _ in range(2):
            assert run("post_task", after(home), home).returncode == 0

        assert [path.name for path in run_directory.iterdir()] == ["out"]

    @pytest.mark.parametrize("link", ["runs", "runs/17-c1-1", "runs/17-c1-1/tmp"])
    def test_a_link_on_the_way_to_it_saves_what_it_leads_to(self, home: Path, link: str, tmp_path: Path) -> None:
        precious = tmp_path / "precious" / "17-c1-1" / "tmp"
        precious.mkdir(parents=True)
        targets = {"runs": precious.parent.parent, "runs/17-c1-1": precious.parent, "runs/17-c1-1/tmp": precious}
        (home / link).parent.mkdir(parents=True, exist_ok=True)
        (home / link).symlink_to(targets[link])

        done = run("post_task", after(home), home)

        # `runs` may be moved to another disk by a link: that is the operator's own; the others are not.
        assert precious.exists() is (link != "runs")
        assert done.returncode == (0 if link == "runs" else 1)
        assert len(logged(home)) == 1

    @pytest.mark.parametrize("link", ["17-c1-1", "17-c1-1/tmp"])
    def test_a_link_to_another_run_saves_that_run(self, home: Path, link: str) -> None:
        other = home / "runs" / "18-c2-1"
        (other / "tmp").mkdir(parents=True)
        (home / "runs" / link).parent.mkdir(exist_ok=True)
        (home / "runs" / link).symlink_to(other if link == "17-c1-1" else other / "tmp")

        assert run("post_task", after(home), home).returncode == 1
        assert (other / "tmp").exists()

    def test_a_temporary_directory_outside_the_runs_is_left_alone(self, home: Path, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        precious.mkdir()

        for place in (precious, home / "runs" / ".." / ".." / "precious", home / "runs"):
            done = run("post_task", {**after(home), "temporary_directory": str(place)}, home)
            assert done.returncode == 1
            assert "is not a directory inside" in done.stderr

        assert precious.exists()


class TestHealthCheck:
    def test_a_machine_that_meets_the_thresholds_is_healthy(self, home: Path) -> None:
        done = run("health_check", health(home), home)

        assert done.returncode == 0
        assert done.stdout.startswith("healthy (load ")
        assert len(done.stdout.splitlines()) == 1

    @pytest.mark.parametrize(
        ("variable", "limit", "words"),
        [
            ("HEADLESS_PM_MIN_MEMORY_MB", "1e12", "MB of memory available, less than"),
            ("HEADLESS_PM_MIN_DISK_MB", "1e12", "MB of disk free for the home, less than"),
            ("HEADLESS_PM_MAX_LOAD", "-1", "per core, more than -1"),
        ],
    )
    def test_each_threshold_can_degrade_it(self, home: Path, variable: str, limit: str, words: str) -> None:
        done = run("health_check", health(home), home, **{variable: limit})

        assert done.returncode == 1
        assert done.stdout.startswith("degraded: ")
        assert words in done.stdout
        assert len(done.stdout.splitlines()) == 1

    def test_an_old_lock_file_degrades_it_and_is_named(self, home: Path) -> None:
        (home / "locks").mkdir()
        for name, hours in (("agent-a.lock", 30), ("agent-b.lock", 1), ("agent-c.flock", 300)):
            (home / "locks" / name).touch()
            then = time.time() - hours * 3600
            os.utime(home / "locks" / name, (then, then))

        done = run("health_check", health(home), home)
        patient = run("health_check", health(home), home, HEADLESS_PM_MAX_LOCK_HOURS="48")

        assert done.returncode == 1
        assert "1 lock files older than 24 h, oldest agent-a.lock with 30.0 h" in done.stdout
        assert patient.returncode == 0
        assert "oldest lock file 1800 min" in patient.stdout

    def test_a_lock_file_of_the_future_is_no_trouble(self, home: Path) -> None:
        (home / "locks").mkdir()
        (home / "locks" / "agent-a.lock").touch()
        os.utime(home / "locks" / "agent-a.lock", (time.time() + 9e5, time.time() + 9e5))

        assert run("health_check", health(home), home).returncode == 0

    def test_it_writes_nothing(self, home: Path) -> None:
        (home / "locks").mkdir()
        seen = sorted(home.rglob("*"))

        run("health_check", health(home), home)

        assert sorted(home.rglob("*")) == seen
