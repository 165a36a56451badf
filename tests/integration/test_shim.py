"""The shim with real processes: what it writes down, what it kills, what it survives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components import cgroup, process
from components.model import Command, ExitRecord
from components.run_directory import Limits, RunDirectory, RunState
from tests import bare_shim
from tests.descendants import EIGHT_KINDS, HYDRA, LEAVE, STAY, UNKNOWN, end_all, living, nobody_lives
from tests.waiting import until

ROOT = Path(__file__).parents[2]
Start = Callable[..., RunDirectory]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start agents; whatever is left of them at the end is killed."""
    runs: list[RunDirectory] = []

    def start(*argv: str, prompt: str = "", env: dict[str, str] | None = None, **limits: float) -> RunDirectory:
        run = RunDirectory(tmp_path / "runs" / f"1-{os.urandom(4).hex()}-1")
        run.path.parent.mkdir(exist_ok=True)
        cwd = tmp_path / "work"
        cwd.mkdir(exist_ok=True)
        given = {"timeout": 60.0, "grace": 1.0, **limits}
        run.create(Command(argv=argv, stdin=prompt), cwd, Limits(**given))  # type: ignore[arg-type]
        assert process.start(run, {"PATH": os.environ["PATH"], **(env or {})})
        runs.append(run)
        return run

    yield start
    for run in runs:
        process.stop(run, now=True)
        until(lambda run=run: run.state() is not RunState.ALIVE, "the agent's end")  # type: ignore[misc]
        process.clear(run)
        process.collect(run)
    end_all(tmp_path)


def end(run: RunDirectory) -> ExitRecord:
    until(lambda: run.state() is RunState.ENDED, "the exit record")
    record = run.exit_record()
    assert record is not None
    return record


def pid_of(run: RunDirectory, who: str) -> int:
    """Return a pid once the agent has begun: its program is not the shim's any more."""
    agent = until(lambda: run.pids().get("agent"), "the pids").pid
    until(lambda: b"shim.py" not in Path("/proc", str(agent), "cmdline").read_bytes(), "the agent's program")
    return run.pids()[who].pid


@pytest.mark.parametrize("code", [0, 1, 126, 255])
def test_the_exit_code_is_recorded(start: Start, code: int) -> None:
    record = end(start("sh", "-c", f"exit {code}"))

    assert (record.exit_code, record.signal, record.why, record.clean) == (code, None, None, True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_signal_is_recorded_as_a_signal(start: Start, number: int) -> None:
    record = end(start("sh", "-c", f"kill -{int(number)} $$"))

    assert (record.exit_code, record.signal) == (None, number)


def test_a_missing_program_is_exit_code_127_and_a_word_in_the_error_output(start: Start) -> None:
    run = start("no-such-agent-anywhere")

    assert end(run).exit_code == 127
    assert "could not be started" in run.first_words()


def test_prompt_output_and_errors_are_files_of_the_run(start: Start) -> None:
    run = start("sh", "-c", "cat; echo oops >&2", prompt="read me\n")
    end(run)

    assert run.out.read_text() == "read me\n"
    assert run.err.read_text() == "oops\n"


def test_r12_the_output_is_on_the_disk_while_the_agent_runs(start: Start) -> None:
    run = start("sh", "-c", "echo early; sleep 600")

    until(lambda: run.out.read_text() == "early\n", "the output")

    assert run.state() is RunState.ALIVE


def test_the_run_s_files_are_private(start: Start) -> None:
    run = start("true")
    end(run)

    assert run.path.stat().st_mode & 0o777 == 0o700
    for path in run.path.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_r11_the_time_limit_ends_the_whole_tree(start: Start, tmp_path: Path) -> None:
    run = start(sys.executable, "-c", EIGHT_KINDS + STAY, timeout=1.5)
    until((tmp_path / "work" / "ready").exists, "the agent's children")

    record = end(run)

    assert record.why == "timeout"
    assert record.clean
    assert nobody_lives(run.path.parent.parent / "work")


def test_what_an_agent_leaves_behind_at_its_end_is_ended(start: Start) -> None:
    run = start(sys.executable, "-c", EIGHT_KINDS + LEAVE)

    record = end(run)

    assert (record.exit_code, record.why, record.clean) == (0, None, True)
    assert nobody_lives(run.path.parent.parent / "work")


def test_processes_that_fork_faster_than_they_are_killed_are_ended(start: Start, tmp_path: Path) -> None:
    run = start(sys.executable, "-c", HYDRA + STAY)
    until((tmp_path / "work" / "ready").exists, "the hydra")

    process.stop(run, now=True)
    record = end(run)

    assert record.clean
    assert nobody_lives(run.path.parent.parent / "work")


def test_an_agent_that_ignores_the_request_to_end_is_killed_after_the_grace(start: Start, tmp_path: Path) -> None:
    run = start("sh", "-c", "trap '' TERM; touch ready; while :; do sleep 0.1; done", grace=0.3)
    until((tmp_path / "work" / "ready").exists, "the agent")

    process.stop(run)
    record = end(run)

    assert (record.signal, record.why) == (signal.SIGKILL, "stop")


def test_an_agent_that_handles_the_request_ends_in_its_own_way(start: Start, tmp_path: Path) -> None:
    run = start("sh", "-c", "trap 'exit 7' TERM; touch ready; while :; do sleep 0.05; done", grace=30.0)
    until((tmp_path / "work" / "ready").exists, "the agent")

    process.stop(run)

    assert end(run).exit_code == 7


def test_too_much_output_ends_the_agent(start: Start) -> None:
    record = end(start("sh", "-c", "while :; do echo 0123456789; done", output_bytes=100_000))

    assert record.why == "output"


def test_an_agent_that_nobody_comes_back_for_is_ended(start: Start) -> None:
    record = end(start("sleep", "600", leash=1.0))

    assert record.why == "leash"


def test_an_agent_that_is_watched_is_not_on_the_leash(start: Start) -> None:
    from components import durable

    run = start("sleep", "3", leash=0.5)
    with durable.locked(run.path / "watched"):
        record = end(run)

    assert (record.exit_code, record.why) == (0, None)


def test_the_agent_outlives_a_killed_shim_and_is_seen_to_live(start: Start) -> None:
    run = start("sleep", "600")
    os.kill(pid_of(run, "shim"), signal.SIGKILL)
    process_gone(run, "shim")

    assert run.state() is RunState.ALIVE
    fd = process.end_of(run)
    assert fd is not None
    os.close(fd)


def test_when_shim_and_agent_are_killed_the_run_has_vanished_without_a_record(start: Start) -> None:
    run = start("sleep", "600")
    agent = pid_of(run, "agent")
    os.kill(pid_of(run, "shim"), signal.SIGKILL)
    os.kill(agent, signal.SIGKILL)

    until(lambda: run.state() is RunState.VANISHED, "the free lock")

    assert run.exit_record() is None


def test_a_number_that_another_process_has_got_does_not_make_a_run_alive(start: Start) -> None:
    run = start("sleep", "600")
    agent = pid_of(run, "agent")
    os.kill(pid_of(run, "shim"), signal.SIGKILL)
    os.kill(agent, signal.SIGKILL)
    until(lambda: run.state() is RunState.VANISHED, "the free lock")
    pids = json.loads((run.path / "pids").read_text())

    for who in ("shim", "agent"):
        pids[who][0] = os.getpid()
    (run.path / "pids").write_text(json.dumps(pids))

    assert run.state() is RunState.VANISHED


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_shim_that_is_killed_while_it_clears_up_has_written_how_the_agent_ended(start: Start, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "1-a-1")
    (tmp_path / "work").mkdir()
    leaves = Command(argv=("sh", "-c", "sleep 600 & exit 7"))
    run.create(leaves, tmp_path / "work", Limits(timeout=60))
    killed_at_its_first_kill = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=kill", "-e", "inject=kill:signal=KILL"]
    shim = bare_shim.start(run, {"PATH": os.environ["PATH"]}, killed_at_its_first_kill)
    try:
        assert shim.wait(20) == -signal.SIGKILL

        record = run.exit_record()
        assert record is not None
        assert record.exit_code == 7
        assert len(living(tmp_path / "work")) == 1, "it was killed before it had cleared up"
    finally:
        process.clear(run)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_agent_s_work_is_synced_before_the_record_that_vouches_for_it(tmp_path: Path) -> None:
    """Seen in a power cut: a record of success, and the work gone."""
    run = RunDirectory(tmp_path / "1-a-1")
    run.create(Command(argv=("true",)), tmp_path, Limits(timeout=60))
    trace = tmp_path / "trace"
    tracer = ["strace", "-qq", "-o", str(trace), "-e", "trace=syncfs,pwrite64,fsync"]

    assert bare_shim.start(run, {"PATH": os.environ["PATH"]}, tracer).wait(20) == 0

    calls = [line.partition("(")[0] for line in trace.read_text().splitlines() if "(" in line]
    assert [*dict.fromkeys(calls[calls.index("syncfs") :])] == ["syncfs", "pwrite64", "fsync"]
    assert calls.index("syncfs") < calls.index("pwrite64")


def test_stopping_a_run_without_a_shim_kills_what_carries_its_cookie(start: Start) -> None:
    run = start("sh", "-c", "setsid sleep 600 & sleep 600")
    os.kill(pid_of(run, "shim"), signal.SIGKILL)
    process_gone(run, "shim")

    process.stop(run)

    until(lambda: run.state() is RunState.VANISHED, "the agent's end")
    assert nobody_lives(run.path.parent.parent / "work")


def test_what_forks_without_pause_is_ended_though_its_shim_was_killed_and_it_has_no_cgroup(tmp_path: Path) -> None:
    """Seen: two looks at all processes found none of it, for it had another number before its turn came."""
    run, work = RunDirectory(tmp_path / "1-a-1"), tmp_path / "work"
    work.mkdir()
    run.create(Command(argv=(sys.executable, "-I", "-S", "-c", HYDRA + STAY)), work, Limits(timeout=60))
    shim = bare_shim.start(run, {"PATH": os.environ["PATH"]})
    try:
        until((work / "ready").exists, "the hydra")
        shim.kill()
        shim.wait()

        assert process.clear(run)

        assert nobody_lives(work)
    finally:
        end_all(work)


def test_an_agent_without_cookie_and_locks_is_known_by_its_identity_when_its_shim_was_killed(tmp_path: Path) -> None:
    """Defect: a wrapper `exec env -i agent` that closes what it inherited went on beside the next attempt's agent."""
    run, work = RunDirectory(tmp_path / "1-a-1"), tmp_path / "work"
    work.mkdir()
    children = (
        "import subprocess\nfor own in (False, True):\n    subprocess.Popen(['sleep', '600'], start_new_session=own)\n"
    )
    program = UNKNOWN + children + STAY
    run.create(Command(argv=(sys.executable, "-I", "-S", "-c", program)), work, Limits(timeout=60))
    shim = bare_shim.start(run, {"PATH": os.environ["PATH"]})
    try:
        until((work / "ready").exists, "the agent")
        shim.kill()
        shim.wait()
        assert run.state() is RunState.VANISHED
        assert len(living(work)) == 3

        assert process.clear(run)

        assert nobody_lives(work)
    finally:
        end_all(work)


def test_what_a_stopped_tree_s_number_may_mean_to_others_is_not_touched(start: Start) -> None:
    """An agent that has ended leads no tree, whoever has its number by now."""
    run, other = start("true"), start("sleep", "600")
    end(run)
    pid_of(other, "agent")
    stranger = other.pids()["agent"]
    pids = json.loads((run.path / "pids").read_text())
    pids["agent"] = [stranger.pid, stranger.start_ticks - 1]
    (run.path / "pids").write_text(json.dumps(pids))

    process.clear(run)

    assert other.state() is RunState.ALIVE


def test_a_run_s_cgroup_is_found_from_another_cgroup(tmp_path: Path) -> None:
    """Defect: a daemon that was started again in another cgroup looked for the agent's below its own."""
    own = cgroup.make(f"probe-{os.getpid()}")
    if own is None:
        pytest.skip("needs a writable cgroup version 2")
    run, work = RunDirectory(tmp_path / f"1-{os.urandom(4).hex()}-1"), tmp_path / "work"
    work.mkdir()
    program = UNKNOWN + "import subprocess\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\n" + STAY
    run.create(Command(argv=(sys.executable, "-I", "-S", "-c", program)), work, Limits(60))
    starts = "import sys; from components import process, run_directory; from pathlib import Path\n"
    starts += "process.start(run_directory.RunDirectory(Path(sys.argv[1])), {'PATH': sys.argv[2]})"
    words = f'echo $$ > {own}/cgroup.procs && exec {sys.executable} -c "$1" {run.path} $PATH'
    try:
        subprocess.run(["sh", "-c", words, "", starts], cwd=ROOT, check=True)
        until((work / "ready").exists, "the agent")
        for who in ("shim", "agent"):
            os.kill(run.pids()[who].pid, signal.SIGKILL)
        until(lambda: len(living(work)) == 1, "its child alone")

        process.clear(run)

        until(lambda: nobody_lives(work), "the end of what only the cgroup knows")
    finally:
        end_all(work)
        until(lambda: cgroup.remove(own) or not own.exists(), "the end of the cgroup")


def test_a_second_start_of_a_living_run_starts_nothing(start: Start) -> None:
    run = start("sleep", "600")
    agent = pid_of(run, "agent")

    assert process.start(run, {}) is False
    assert pid_of(run, "agent") == agent


def test_an_agent_never_runs_before_its_pid_is_on_the_disk(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "1-a-1")
    run.create(Command(argv=("touch", str(tmp_path / "ran"))), tmp_path, Limits(timeout=10))
    (run.path / "pids.tmp").mkdir()
    assert process.start(run, {"PATH": os.environ["PATH"]})

    until(lambda: run.state() is not RunState.ALIVE, "the end of the shim")

    assert not (tmp_path / "ran").exists()
    assert run.state() is not RunState.VANISHED


def test_the_identity_on_the_disk_is_that_of_the_living_process(start: Start) -> None:
    run = start("sleep", "600")
    pid_of(run, "agent")
    agent = run.pids()["agent"]

    fd = process.handle_of(agent)
    assert fd is not None
    os.close(fd)
    for false in ({"start_ticks": agent.start_ticks - 1}, {"boot_id": "another"}, {"pid_namespace": 1}):
        from dataclasses import replace

        assert process.handle_of(replace(agent, **false)) is None  # type: ignore[arg-type]


def test_the_environment_goes_to_the_agent_and_not_into_a_file(start: Start) -> None:
    run = start("sh", "-c", 'echo "$SECRET $TMPDIR"', env={"SECRET": "s3cr3t-value"})
    end(run)

    assert run.out.read_text() == f"s3cr3t-value {run.temporary}\n"
    assert "s3cr3t-value" not in (run.path / "spec.json").read_text()
    assert json.loads((run.path / "spec.json").read_text()).keys() == {"argv", "cwd", "limits"}


def process_gone(run: RunDirectory, who: str) -> None:
    def gone() -> bool:
        process.collect(run)
        return not Path("/proc", str(run.pids()[who].pid)).exists()

    until(gone, f"the end of the {who}")


def test_where_cgroups_can_be_made_the_agent_has_one_that_is_gone_afterwards(start: Start) -> None:
    own = cgroup.make("probe")
    if own is None:
        pytest.skip("needs a writable cgroup version 2")
    cgroup.remove(own)
    run = start("sleep", "600")
    leaf = own.with_name(f"agent-runner-{run.name}")
    agent = pid_of(run, "agent")
    until(lambda: str(agent) in (leaf / "cgroup.procs").read_text().split(), "the agent in its cgroup")

    process.stop(run, now=True)
    end(run)

    until(lambda: not leaf.exists(), "the end of the cgroup")


def test_a_killed_shim_s_agents_are_all_found_in_their_cgroup(start: Start, tmp_path: Path) -> None:
    own = cgroup.make("probe")
    if own is None:
        pytest.skip("needs a writable cgroup version 2")
    cgroup.remove(own)
    run = start(sys.executable, "-c", EIGHT_KINDS + STAY)
    until((tmp_path / "work" / "ready").exists, "the agent's children")
    os.kill(pid_of(run, "shim"), signal.SIGKILL)
    process_gone(run, "shim")

    assert process.clear(run)

    until(lambda: nobody_lives(run.path.parent.parent / "work"), "the end of all, also of those without a cookie")
