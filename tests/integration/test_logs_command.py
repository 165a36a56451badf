"""The `logs` command and what it is made of, on the run directories of real runners and agents."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components import execution_index, journal_format
from components.attempt_log import AttemptLog
from components.claude_words import ClaudeWords
from components.execution_index import ExecutionFiles
from components.log_follow import LogFollow
from components.log_view import Line, LogView
from components.model import Command, Held, Task, Verdict
from components.redact import Redactor
from components.run_directory import JOURNAL, Limits, RunDirectory
from components.states import Phase, Reason
from components.task_persistence import TaskPersistence
from tests.pm_server import PmServer, running_pm
from tests.runner import ROOT, Runner
from tests.waiting import until

CLAIM = "3f9c01ab" + "0" * 24
SESSION = "11111111-1111-4111-8111-111111111111"
BUDGET_SECONDS = 0.4
TWO_GIGABYTES = 2 << 30


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any process."""
    monkeypatch.setenv("HEADLESS_PM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def pm(tmp_path: Path) -> Iterator[PmServer]:
    (tmp_path / "pm").mkdir()
    with running_pm(tmp_path / "pm", "--real") as server:
        yield server


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of a test, ended with it."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "components.cli", "logs", *words]


def env(**environ: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **environ}


def logs(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv(*words), env=env(**environ), capture_output=True, text=True, timeout=50, check=False)


def start(started: list[subprocess.Popen[bytes]], *words: str, **environ: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(argv(*words), env=env(**environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    started.append(process)
    return process


def entry(attempt: int = 1, phase: Phase = Phase.RUNNING) -> Held:
    return Held(Task("12", "Mend the roof"), "dev_1", phase, CLAIM, SESSION, attempt=attempt)


def made(home: Path, attempt: int = 1, out: bytes = b"", verdict: Verdict | None = None) -> RunDirectory:
    """Make the directory of a run that is over, or, without a verdict, of one that did not start."""
    run = RunDirectory(home / "runs" / f"12-{CLAIM[:8]}-{attempt}")
    run.create(Command(("agent",)), home, Limits(60))
    (run.path / JOURNAL).write_bytes(journal_format.dump(entry(attempt)))
    run.out.write_bytes(out)
    if verdict is not None:
        end(run, verdict)
    return run


def end(run: RunDirectory, verdict: Verdict) -> None:
    told = {"reason": verdict.reason, "detail": verdict.detail, "cost_usd": 0.5, "seconds": 7}
    (run.path / "result.json").write_text(json.dumps({"verdict": told}))
    record = {"state": "CLEAN", "exit_code": 0, "signal": None, "why": None}
    (run.path / "exit").write_text(json.dumps(record))


DONE = Verdict(Reason.SUCCEEDED, "the agent finished the task")
KILLED = Verdict(Reason.KILLED, "the agent was killed or crashed")


def plain_view() -> LogView:
    return LogView([ClaudeWords()], Redactor())


def texts(lines: list[Line] | Iterator[Line]) -> list[str]:
    return [line.text for line in lines]


def test_a_log_tells_all_attempts_and_the_end(home: Path) -> None:
    made(home, 1, b"first\n", KILLED)
    made(home, 2, b"second\n", DONE)

    shown = logs("3f9c")

    assert shown.stdout.splitlines() == [
        "== attempt 1 of task 12: Mend the roof",
        "first",
        "!! attempt 1 killed: the agent was killed or crashed",
        "== attempt 2 of task 12: Mend the roof",
        "second",
        "== execution 3f9c01ab succeeded (2 attempts, 14 s, $1.0000): the agent finished the task",
    ]
    assert (shown.returncode, shown.stderr) == (0, "")
    assert logs("12", "-n", "3").stdout.splitlines() == shown.stdout.splitlines()[-3:]
    assert logs("12", "-n", "all").stdout == shown.stdout
    assert logs("12", "-n", "0").stdout == ""
    assert logs("12", "-f").stdout == shown.stdout


def test_an_attempt_that_begins_just_now_is_told_by_the_living_journal(home: Path) -> None:
    """A run had no title when it was seen between the making of its directory and of the journal's copy in it."""
    TaskPersistence("dev_1", home).save(entry())
    (made(home, 1).path / JOURNAL).unlink()

    assert logs("3f9c").stdout == "== attempt 1 of task 12: Mend the roof\n"


def test_one_attempt_is_shown_alone(home: Path) -> None:
    made(home, 1, b"first\n", KILLED)
    made(home, 2, b"second\n", DONE)

    assert logs("3f9c", "--attempt", "1").stdout.splitlines()[1:] == [
        "first",
        "== attempt 1 killed (7 s, $0.5000): the agent was killed or crashed",
    ]
    refused = logs("3f9c", "--attempt", "3")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert refused.stderr == "Error: execution 3f9c01ab has no attempt 3; there is: 1, 2\n"


def test_raw_is_every_byte_in_order(home: Path) -> None:
    first, second = os.urandom(200_000) + b"\n", os.urandom(100_000)
    made(home, 1, first, KILLED)
    made(home, 2, second, DONE)

    for words in (["--raw"], ["--raw", "-f"], ["--raw", "-n", "all"]):
        shown = subprocess.run(argv("3f9c", *words), env=env(), capture_output=True, timeout=50, check=True)
        assert shown.stdout == first + second
    last = subprocess.run(argv("3f9c", "--raw", "-n", "2"), env=env(), capture_output=True, timeout=50, check=True)
    assert last.stdout == b"\n".join((first + second).split(b"\n")[-2:])


def test_json_is_an_object_a_line(home: Path) -> None:
    made(home, 1, b"first\n", DONE)

    told: list[dict[str, Any]] = [json.loads(line) for line in logs("3f9c", "--json").stdout.splitlines()]

    assert [(one["kind"], one["attempt"]) for one in told] == [("attempt", 1), ("text", 1), ("over", 0)]
    assert told[1]["text"] == "first"


def test_the_error_output_is_shown_too(home: Path) -> None:
    run = made(home, 1, b"", DONE)
    run.err.write_bytes(b"".join(b"warning %d\n" % number for number in range(100)) + b"no such option")

    assert "stderr: no such option" in logs("3f9c").stdout.splitlines()
    assert logs("3f9c", "-n", "4").stdout.splitlines()[0] == "stderr: warning 98"


def test_an_error_output_without_end_does_not_push_the_output_out(home: Path) -> None:
    run = made(home, 1, b"the answer\n", DONE)
    run.err.write_bytes(b"noise\n" * 10_000)

    assert "the answer" in logs("3f9c").stdout.splitlines()


def test_mistakes_are_told_with_what_to_do(home: Path) -> None:
    made(home, 1, b"", DONE)
    made_other = RunDirectory(home / "runs" / "13-3f9c77de-1")
    made_other.create(Command(("agent",)), home, Limits(60))

    unknown, ambiguous = logs("3f9d01ab"), logs("3f9c")

    assert (unknown.returncode, ambiguous.returncode) == (4, 4)
    assert unknown.stderr.startswith(
        "Error: there is no execution '3f9d01ab'; type one that `list` shows. Near it:\n  3f9c01ab  task 12"
    )
    assert "3f9c77de  task 13" in ambiguous.stderr
    assert [logs(*words).returncode for words in (["--raw", "--json", "x"], ["x", "-n", "few"], [])] == [2, 2, 2]
    assert logs("3f9c01ab", "--runner").returncode == 4


def test_the_runners_own_log_of_a_typed_task_is_shown_without_secrets(home: Path) -> None:
    directory = home / "tasks" / CLAIM
    directory.mkdir(parents=True)
    (directory / "log").write_bytes(b"[10:00:00] began with sk-ant-abcdefghijklmnop\x1b[2J\nlast")
    (directory / "verdict.json").write_text("{}")

    assert logs("3f9c", "--runner").stdout == "[10:00:00] began with [secret]\nlast\n"
    assert logs("3f9c", "--runner", "-f", "-n", "1").stdout == "last\n"
    assert "\x1b[2J" in logs("3f9c", "--runner", "--raw").stdout


def test_of_two_gigabytes_only_the_end_is_read(home: Path) -> None:
    run = made(home, 1, b"", DONE)
    with run.out.open("wb") as file:
        file.truncate(TWO_GIGABYTES)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"".join(b"line %d\n" % number for number in range(100)))
    files = execution_index.find(home, "3f9c")
    began = time.process_time()

    found = texts(LogFollow(files).lines(plain_view, 50))
    raw = b"".join(LogFollow(files).raw(2))

    assert (found[0], found[-2]) == ("line 51", "line 99")
    assert raw == b"line 98\nline 99\n"
    assert time.process_time() - began < 1
    assert peak_of(AttemptLog(1, run, plain_view, last=50)) < 1 << 20


def peak_of(log: AttemptLog) -> int:
    """Return how much memory it takes to read a log, in bytes."""
    tracemalloc.start()
    try:
        for stream, growing in enumerate(log.streams):
            for piece in growing.pieces():
                list(log.take(stream, piece))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_of_two_gigabytes_without_a_line_the_end_is_given_up_on(home: Path) -> None:
    run = made(home, 1, b"", DONE)
    with run.out.open("wb") as file:
        file.truncate(TWO_GIGABYTES)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast but one\nlast\n")

    assert logs("3f9c").stdout.splitlines()[:-1] == ["last but one", "last"]


def test_lines_of_ten_megabytes_are_followed_in_memory_of_a_few(home: Path) -> None:
    said = [{"type": "text", "text": "y" * 10_000_000}]
    line = json.dumps({"type": "assistant", "session_id": "s", "message": {"content": said}}).encode() + b"\n"
    run = made(home, 1, line * 8, DONE)

    peak = peak_of(AttemptLog(1, run, plain_view))

    assert peak < 6 * len(line)
    assert len(texts(LogFollow(execution_index.find(home, "3f9c"), is_live=True).lines(plain_view))) == 10


def test_a_growing_log_is_followed_byte_by_byte_over_attempts(home: Path) -> None:
    journal = TaskPersistence("dev_1", home)
    journal.save(entry())
    first = made(home, 1)
    content = os.urandom(400_000)
    follower = LogFollow(execution_index.find(home, "3f9c"), is_live=True)
    seen = bytearray()
    thread = threading.Thread(target=lambda: [seen.extend(piece) for piece in follower.raw()])
    thread.start()

    write(first.out, content[:200_000])
    end(first, KILLED)
    journal.save(entry(2))
    second = made(home, 2)
    write(second.out, content[200_000:])
    until(lambda: len(seen) == len(content), "all bytes")
    is_on = thread.is_alive()
    end(second, DONE)
    journal.release_lock()
    thread.join(20)

    assert is_on
    assert not thread.is_alive()
    assert bytes(seen) == content


def write(path: Path, content: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        for begin in range(0, len(content), 7_001):
            file.write(content[begin : begin + 7_001])


def test_fifty_followers_are_cheap_and_see_all(home: Path) -> None:
    journal = TaskPersistence("dev_1", home)
    journal.save(entry())
    run = made(home, 1, b"0\n")
    rests: list[float] = []

    def rest(seconds: float, _fd: int | None) -> None:
        rests.append(seconds)
        over.wait(seconds)

    over = threading.Event()
    seen: list[list[str]] = [[] for _ in range(50)]
    files = execution_index.find(home, "3f9c")
    threads = [threading.Thread(target=collect, args=(files, rest, one)) for one in seen]
    for thread in threads:
        thread.start()
    until(lambda: all("0" in one for one in seen), "the first line everywhere")
    until(lambda: rests.count(1.0) >= 50, "the longest rest everywhere")
    before, looks = time.process_time(), len(rests)
    until(lambda: len(rests) - looks >= 100, "a hundred looks")
    per_look = (time.process_time() - before) / (len(rests) - looks)
    write(run.out, b"1\n")
    end(run, DONE)
    journal.release_lock()
    over.set()
    for thread in threads:
        thread.join(20)

    assert per_look < 0.005
    assert {tuple(one[1:3]) for one in seen} == {("0", "1")}
    assert {one[-1].split()[2] for one in seen} == {"succeeded"}


def collect(files: ExecutionFiles, rest: Any, into: list[str]) -> None:
    for line in LogFollow(files, is_live=True, rest=rest).lines(plain_view):
        into.append(line.text)


def test_start_up_is_cheap(home: Path) -> None:
    made(home, 1, b"first\n", DONE)
    logs("3f9c")

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    logs("3f9c")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < BUDGET_SECONDS


def test_an_idle_follow_costs_next_to_nothing(home: Path, started: list[subprocess.Popen[bytes]]) -> None:
    TaskPersistence("dev_1", home).save(entry())
    made(home, 1, b"first\n", KILLED)
    process = start(started, "3f9c", "-f")
    assert [stdout(process).readline()[:6] for _ in range(2)] == [b"== att", b"first\n"]
    assert stdout(process).readline().startswith(b"!! nobody works on it")  # which is said when the rests are long

    before, looks = cpu_seconds(process.pid), switches(process.pid)
    until(lambda: switches(process.pid) >= looks + 4, "four looks")
    cost = cpu_seconds(process.pid) - before

    assert cost / 4 < 0.004
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, b"", b"")


def stdout(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout is not None
    return process.stdout


def cpu_seconds(pid: int) -> float:
    """How long a process has been at work; /proc/PID/schedstat tells it in nanoseconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def switches(pid: int) -> int:
    """How often a process has gone to rest."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0])


def test_a_reader_that_goes_ends_the_follow_quietly(home: Path, started: list[subprocess.Popen[bytes]]) -> None:
    TaskPersistence("dev_1", home).save(entry())
    made(home, 1, b"first\n")
    process = start(started, "3f9c", "-f")

    stdout(process).readline()
    stdout(process).close()

    assert process.wait(20) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_a_log_fits_the_terminal_and_is_coloured_where_it_matters(home: Path) -> None:
    made(home, 1, ("谷仓 " * 60 + "\n" + "word " * 60 + "\n").encode(), KILLED)
    parent, child = pty.openpty()
    fcntl.ioctl(child, 0x5414, b"\x18\x00\x50\x00\x00\x00\x00\x00")  # TIOCSWINSZ: 24 rows, 80 columns
    process = subprocess.Popen(argv("3f9c"), env=env(TERM="xterm"), stdout=child)
    os.close(child)
    shown = b""
    try:
        while block := os.read(parent, 65536):
            shown += block
    except OSError:  # a terminal whose other end is closed answers EIO
        pass
    finally:
        os.close(parent)

    assert process.wait(20) == 0
    rows = shown.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert b"\x1b[1m" in shown
    assert max(len(row) + sum(ord(letter) > 0x2E80 for letter in row) for row in rows) <= 80
    assert len(rows) > 8


def test_a_follow_survives_the_death_of_the_runner_and_its_restart(
    tmp_path: Path, pm: PmServer, started: list[subprocess.Popen[bytes]]
) -> None:
    runner = Runner(tmp_path, pm, "crash-once", "wait", "write", "commit")
    try:
        pm.api.task("Mend the roof")
        daemon = runner.start("--single-task")
        until(lambda: runner.starts() == 1, "the first agent")
        task = runner.ledger()[0][1]
        process = start(started, task, "-f", "-n", "all", HEADLESS_PM_HOME=str(runner.home))
        told = [stdout(process).readline(), stdout(process).readline()]

        runner.kill(daemon)
        runner.open_gate()
        told.append(stdout(process).readline())
        runner.start("--single-task")
        out, err = process.communicate(timeout=40)

        rows = (b"".join(told) + out).decode().splitlines()
        assert (process.returncode, err) == (0, b"")
        assert rows[0].startswith(f"== attempt 1 of task {task}: Mend the roof")
        assert [row for row in rows if row in ("working", "finished")] == ["working", "working", "finished"]
        assert any(row.startswith("!! nobody works on it: the runner of agent dev_1 is gone") for row in rows)
        assert any(row.startswith("!! attempt 1 killed") for row in rows)
        assert any(row.startswith(f"== attempt 2 of task {task}") for row in rows)
        assert "succeeded (2 attempts" in rows[-1]
    finally:
        runner.close()


def test_a_follow_of_an_abandoned_execution_says_so_and_ends(
    home: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """It waited for ever for a runner that nobody started again."""
    TaskPersistence("dev_1", home).save(entry())
    made(home, 1, b"first\n", KILLED)

    process = start(started, "3f9c", "-f")
    out, err = process.communicate(timeout=50)

    assert (process.returncode, err) == (0, b"")
    assert out.decode().splitlines()[-2:] == [
        "!! nobody works on it: the runner of agent dev_1 is gone; started again, it goes on",
        "== execution 3f9c01ab is abandoned: nobody works on it; the way on is to start its runner again",
    ]
