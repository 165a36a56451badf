"""The demonstration, run for real: server, daemon, Claude CLI against the scripted model, git."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from components import durable
from components.demo import example
from components.demo.example import Assignment
from components.demo.script import Repertoire, load_scripts
from tests.scripted_model import claude_path

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE_SECONDS = 120

pytestmark = pytest.mark.timeout(300)


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "advanced_agent_runner.py"), "demo", *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADLESS_PM_", "ANTHROPIC_"))}
    return {**kept, "HEADLESS_PM_CLAUDE_PATH": claude_path(), "COLUMNS": "100", **more}


def demo(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def git(repository: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def processes_of(directory: Path) -> dict[int, str]:
    """Return pid -> command line of whatever still runs with the demonstration's directory in its environment."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.fsencode(directory) in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


@dataclass(frozen=True)
class Shown:
    """A demonstration that ran to its end, and what it left."""

    directory: Path
    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def repository(self) -> Path:
        return self.directory / "repository"


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """Run the demonstration once, also when several workers share the tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    directory, kept = shared / "demo", shared / "demo.json"
    with durable.locked(shared / "demo.flock"):
        if not kept.exists():
            begun = time.monotonic()
            done = demo("--directory", str(directory))
            kept.write_text(json.dumps([done.returncode, done.stdout, done.stderr, time.monotonic() - begun]))
    return Shown(directory, *json.loads(kept.read_text()))


def test_three_tasks_are_done_in_under_a_minute(shown: Shown) -> None:
    assert shown.exit_code == 0, shown.stdout + shown.stderr
    others = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert shown.seconds < 60 * others, "on a machine that has nothing else to do it takes about 20 s"


def test_each_task_made_one_commit_where_it_belongs(shown: Shown) -> None:
    branches = git(shown.repository, "branch", "--format=%(refname:short)").splitlines()

    assert sorted(branches) == ["feature/exact-money", "feature/statement", "main"]
    assert git(shown.repository, "log", "--format=%s", "main").splitlines() == [
        "Refuse a withdrawal only when it exceeds the balance",
        "Begin tinybank",
    ]
    for branch, file in (("feature/statement", "statement.py"), ("feature/exact-money", "money.py")):
        fork = git(shown.repository, "merge-base", "main", branch)
        changed = git(shown.repository, "diff", "--name-only", fork, branch)
        assert git(shown.repository, "rev-list", "--count", f"{fork}..{branch}") == "1"
        assert changed == f"tinybank/{file}"


def test_each_branch_alone_passes_its_own_tests_and_all_pass_together(shown: Shown, tmp_path: Path) -> None:
    together = tmp_path / "together"
    git(tmp_path, "clone", "--quiet", str(shown.repository), str(together))

    for one in example.assignments():
        assert example.run_tests_of(shown.repository, one.result_branch, one.tests, os.environ).is_good
    for branch in ("feature/statement", "feature/exact-money"):
        git(together, "-c", "user.name=T", "-c", "user.email=t@t", "merge", "--quiet", f"origin/{branch}")
    done = subprocess.run([sys.executable, "-m", "unittest"], cwd=together, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "Ran 17 tests" in done.stderr


def test_the_checkout_is_left_clean_and_the_worktrees_are_gone(shown: Shown) -> None:
    assert git(shown.repository, "status", "--porcelain") == ""
    assert git(shown.repository, "branch", "--show-current") == "main"
    assert len(git(shown.repository, "worktree", "list").splitlines()) == 1


def test_it_says_at_the_beginning_and_beside_the_table_that_the_model_is_scripted(shown: Shown) -> None:
    said = " ".join(shown.stdout.split())
    beginning, _, end = said.partition("What became of the tasks")

    assert "The model is SCRIPTED" in beginning
    assert "The model was SCRIPTED" in end
    assert "made-up token counts. No money was spent." in end


def test_the_table_tells_model_tests_and_cost_of_each_task(shown: Shown) -> None:
    table = shown.stdout.partition("What became of the tasks")[2]

    rows = re.findall(r"(sonnet|opus)-\S+ .* (\d/\d) → (\d/\d) +(\d+\.\d) s +\$(\d\.\d{4})", table)
    assert [(model, before, after) for model, before, after, *_ in rows] == [
        ("sonnet", "3/5", "5/5"),
        ("sonnet", "0/4", "4/4"),
        ("opus", "1/8", "8/8"),
    ]
    assert all(float(seconds) > 0 and float(cost) > 0 for *_, seconds, cost in rows)


def test_the_requests_reached_the_scripted_model_from_the_right_places(shown: Shown) -> None:
    asked = [json.loads(line) for line in (shown.directory / "model.jsonl").read_text().splitlines()]

    places = {entry["script"]: entry["cwd"] for entry in asked}
    assert places["withdraw"] == str(shown.repository)
    assert len({places["withdraw"], places["statement"], places["money"]}) == 3
    assert {entry["fault"] for entry in asked} == {None}
    assert "" not in places, "every request fits a script"


def test_the_key_stays_in_its_file_and_nothing_runs_on(shown: Shown) -> None:
    file = shown.directory / "pm.key"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() not in shown.stdout + shown.stderr
    assert processes_of(shown.directory) == {}


def wait_until(happened: Callable[[], object], output: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen in time: {output.read_text()}"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("signal_number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_nothing_outlives_a_demonstration_that_was_ended(
    tmp_path: Path, signal_number: signal.Signals, exit_code: int
) -> None:
    directory, output = tmp_path / "new", tmp_path / "output"
    with output.open("w+b") as stream:
        running = subprocess.Popen(
            command("--directory", str(directory)), env=environment(), stdout=stream, stderr=stream
        )
        try:
            wait_until(lambda: running.poll() is not None or (directory / "model.jsonl").exists(), output)
            running.send_signal(signal_number)
            ended = running.wait(DEADLINE_SECONDS)
            left = processes_of(directory)
            if signal_number is signal.SIGKILL:  # an agent without its model gives up after some 10 s
                wait_until(lambda: not processes_of(directory), output)
        finally:
            running.kill()
            running.wait()
            for pid in processes_of(directory):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    assert ended == exit_code, output.read_text()
    if signal_number is not signal.SIGKILL:
        assert "Interrupted" in output.read_text()
        assert left == {}


def test_a_live_run_is_not_begun_without_consent(tmp_path: Path) -> None:
    done = demo("--live", "--directory", str(tmp_path / "new"))

    assert done.returncode == 2
    assert "$3.00 at most in all" in done.stdout
    assert "--yes" in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_directory_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")

    done = demo("--no-keep", "--directory", str(tmp_path))

    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert (tmp_path / "mine").read_text() == "keep"


def test_without_the_claude_cli_it_says_how_to_get_it(tmp_path: Path) -> None:
    done = demo("--no-keep", "--directory", str(tmp_path / "new"), HEADLESS_PM_CLAUDE_PATH=str(tmp_path / "none"))

    assert done.returncode == 69
    assert "pip install claude-agent-sdk" in done.stderr
    assert not (tmp_path / "new").exists()


def test_tasks_that_are_not_done_make_the_exit_code_1_and_the_directory_goes_when_asked(tmp_path: Path) -> None:
    failing = tmp_path / "claude"
    failing.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "2.1.330 (Claude Code)" && exit 0\nexit 1\n')
    failing.chmod(0o700)

    done = demo("--no-keep", "--directory", str(tmp_path / "new"), HEADLESS_PM_CLAUDE_PATH=str(failing))

    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("not done (") == 3
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("assignment", example.assignments(), ids=lambda one: one.difficulty)
def test_each_task_has_failing_tests_and_a_recording_of_its_own(assignment: Assignment, tmp_path: Path) -> None:
    example.make_repository(tmp_path)
    scripts = load_scripts(example.SCRIPTS)

    before = example.run_tests(tmp_path, assignment.tests, os.environ)
    chosen = Repertoire(scripts).choose(f"# Your task\n{assignment.title}\n\n{assignment.description}")

    assert not before.is_good
    assert before.total >= 4
    others = [one for one in example.assignments() if one != assignment]
    assert chosen is not None
    assert not [one for one in others if re.search(chosen.when, f"{one.title}\n{one.description}")]
