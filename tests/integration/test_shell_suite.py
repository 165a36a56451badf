"""The shell suite as a part of the whole: its tests pass, its failures are failures, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parent / "shell"
TESTS = sorted(path.stem for path in SUITE.glob("test_*.sh") if path.stem != "test_helpers")
DEADLINE_SECONDS = 200
CLEANING_SECONDS = 20

pytestmark = pytest.mark.timeout(DEADLINE_SECONDS + CLEANING_SECONDS + 20)

AT_WORK = """
source {suite}/test_helpers.sh
begin "an agent is at work when the end comes"
start_pm
start_model <<'SCRIPTS'
- turns:
  - Bash: touch "{{cwd}}/../at-work"; while true; do sleep 0.1; done
SCRIPTS
REPOSITORY=$(make_repository)
add_task "Work for ever" >/dev/null
start_runner dev_1 backend_dev
wait_for "the agent at work" "$PATIENCE" test -e "$WORK/at-work"
echo "$WORK"
{ending}
"""


def run(*argv: str | Path, temporary: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end; one that does not end is asked to clean up."""
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        ["env", "--default-signal=INT,TERM,HUP", "bash", *map(str, argv)],
        env={**os.environ, "PYTHON": sys.executable, "TMPDIR": str(temporary), **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=DEADLINE_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        _, stderr = process.communicate(timeout=CLEANING_SECONDS)
        raise AssertionError(f"not within {DEADLINE_SECONDS} s:\n{stderr}") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def left_behind(temporary: Path) -> list[str]:
    """Return the files that a script left, and the processes that live in its directory."""
    mark = os.fsencode(temporary / "agent-runner-test.")
    found = [str(path) for path in temporary.iterdir()]
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("name", TESTS)
def test_the_real_command_with_the_real_claude_cli_passes(name: str, tmp_path: Path) -> None:
    ended = run(SUITE / "run_all_tests.sh", name, temporary=tmp_path / "t")

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "1 passed, 0 failed"
    assert left_behind(tmp_path / "t") == []


def test_a_test_that_fails_is_counted_and_told_by_the_exit_code(tmp_path: Path) -> None:
    ended = run(SUITE / "run_all_tests.sh", "single_task", temporary=tmp_path / "t", PM_FLAGS="--no-such-flag")

    assert ended.returncode == 1
    assert ended.stdout == "0 passed, 1 failed\n"
    assert "a server ended before it listened" in ended.stderr
    assert left_behind(tmp_path / "t") == []


@pytest.mark.parametrize(
    ("ending", "exit_code"),
    [
        ("assert_equal 'a number' 1 2", 1),
        ("kill -INT $$; wait_for 'the end' 30 false", 130),
        ("kill -TERM $$; wait_for 'the end' 30 false", 143),
    ],
)
def test_whatever_ends_a_script_nothing_of_it_is_left(ending: str, exit_code: int, tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text(AT_WORK.format(suite=SUITE, ending=ending))

    ended = run(script, temporary=tmp_path / "t")

    assert ended.returncode == exit_code, ended.stderr
    assert Path(ended.stdout.strip()).parent == tmp_path / "t"
    assert left_behind(tmp_path / "t") == []


def test_a_name_that_there_is_not_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    ended = run(SUITE / "run_all_tests.sh", "no_such_test", temporary=tmp_path / "t")

    assert ended.returncode == 2
    assert all(name in ended.stderr for name in TESTS)


def test_what_the_machine_lacks_is_told_with_a_remedy(tmp_path: Path) -> None:
    ended = run(SUITE / "setup_test_env.sh", temporary=tmp_path / "t", PYTHON="/no/such/python")

    assert ended.returncode == 1
    assert "missing  Python 3.11 or newer (/no/such/python). Install it, or name another one" in ended.stderr
