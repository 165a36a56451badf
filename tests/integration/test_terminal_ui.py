"""What an operator sees: at a real terminal, in a real pipe, on a full disk."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import pytest

from components import task_card
from components.log_line import duration
from components.model import Task
from components.redact import Redactor
from components.states import Complexity
from components.terminal_ui import TerminalUI
from tests import waiting

ROOT = Path(__file__).parents[2]
XTERM = {"TERM": "xterm-256color"}
TASK = Task(
    id="12",
    title="Write the account statement",
    role="backend_dev",
    level="senior",
    complexity=Complexity.MAJOR,
)
CARD = {"model": "sonnet", "branch": "feature/task-12", "attempt": 1, "directory": Path("/srv/bank/.worktrees/task-12")}


class Terminal:
    """A terminal with somebody before it: what was shown, and hands to type with."""

    def __init__(self, columns: int = 80) -> None:
        self._master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.set_blocking(self._master, False)
        self.stdout: TextIO = os.fdopen(os.dup(self.slave), "w", encoding="utf-8")
        self.stdin: TextIO = os.fdopen(os.dup(self.slave), "r", encoding="utf-8")
        self._shown = b""

    @property
    def shown(self) -> str:
        """Everything that was shown so far."""
        while select.select([self._master], [], [], 0)[0]:
            try:
                self._shown += os.read(self._master, 65536)
            except OSError:  # all who had it open are gone
                break
        return self._shown.decode().replace("\r\n", "\n")

    def wait_for(self, text: str) -> str:
        return waiting.until(lambda: self.shown if text in self.shown else "", f"{text!r} is shown")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def close(self) -> None:
        for stream in (self.stdout, self.stdin):
            with contextlib.suppress(OSError):
                stream.close()
        os.close(self.slave)
        os.close(self._master)

    @property
    def screen(self) -> list[str]:
        """The lines as they stand after carriage returns and erasing."""
        lines = []
        for line in self.shown.split("\n"):
            at_the_end = line.rsplit("\r\x1b[K", 1)[-1]
            lines.append(re.sub(r"\x1b\[[0-9;]*m", "", at_the_end))
        return lines


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def logged(**options: object) -> tuple[TerminalUI, io.StringIO]:
    stream = io.StringIO()
    return TerminalUI(stream, **options), stream


def run(program: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run a program that begins with a TerminalUI named ui."""
    return subprocess.run(**popen_words(program), capture_output=True, timeout=60, check=False, **options)


def popen_words(program: str) -> dict[str, object]:
    start = "import os, sys, time\nfrom components.terminal_ui import TerminalUI\n"
    return {"args": [sys.executable, "-c", start + program], "cwd": ROOT}


# Lines


def test_a_log_reads_in_order_with_the_time_of_each_line() -> None:
    ui, stream = logged()

    ui.info("starting")
    ui.success("done")
    ui.warning("look at this")
    ui.error("that failed")

    lines = stream.getvalue().splitlines()
    assert all(re.match(r"\[\d\d:\d\d:\d\d\] ", line) for line in lines)
    assert [line[11:] for line in lines] == ["starting", "✓ done", "⚠ look at this", "✗ that failed"]


def test_signs_are_words_where_the_encoding_has_no_others() -> None:
    raw = io.BytesIO()
    ui = TerminalUI(io.TextIOWrapper(raw, encoding="ascii"))

    ui.success("done …")
    ui.warning("naïve")
    ui.task_card(Task(id="1", title="日本語"), **CARD)

    text = raw.getvalue().decode("ascii")
    assert "OK: done ..." in text
    assert r"WARNING: na\xefve" in text
    assert "| ???  " in text
    assert len({len(line) for line in text.splitlines()[2:]}) == 1


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [
        (-2, ["error"]),
        (-1, ["warning", "error"]),
        (0, ["info", "success", "warning", "error"]),
        (1, ["debug", "info", "success", "warning", "error"]),
    ],
)
def test_verbosity_chooses_what_is_said(verbosity: int, shown: list[str]) -> None:
    ui, stream = logged(verbosity=verbosity, json_lines=True)

    for say in (ui.debug, ui.info, ui.success, ui.warning, ui.error):
        say("words")

    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == shown


def test_quiet_leaves_out_the_card_and_the_time_that_passes() -> None:
    ui, stream = logged(verbosity=-1)

    ui.task_card(TASK, **CARD)
    with ui.elapsed("working"):
        pass

    assert stream.getvalue() == ""


def test_fields_are_shown_to_those_who_want_to_know_more() -> None:
    brief, stream = logged()
    verbose, verbose_stream = logged(verbosity=1)

    brief.info("claimed", task="12")
    verbose.info("claimed", task="12")

    assert stream.getvalue()[11:] == "claimed\n"
    assert verbose_stream.getvalue()[11:] == "claimed task=12\n"


def test_json_lines_are_objects_whatever_the_text() -> None:
    ui, stream = logged(json_lines=True, redact=Redactor(["hush-hush"]))

    ui.info('a "quoted"\nhush-hush \x1b[31mline', task="12\x07", spent=0.5, none=None, path=Path("/x"), level="no")
    ui.task_card(TASK, **CARD)
    with ui.elapsed("working"):
        pass

    first, card, begin, end = map(json.loads, stream.getvalue().splitlines())
    when = datetime.fromisoformat(first.pop("time"))
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=1)
    assert first == {
        "level": "info",
        "message": 'a "quoted"\n[secret] line',
        "task": "12",
        "spent": 0.5,
        "none": None,
        "path": "/x",
    }
    assert (card["task"], card["branch"], card["attempt"]) == ("12", "feature/task-12", "1")
    assert begin["message"] == "working …"
    assert end["seconds"] >= 0


def test_what_is_shown_has_no_secrets_and_no_escapes() -> None:
    ui, stream = logged(redact=Redactor(["s3cret-key"]), verbosity=1)

    ui.error("the key s3c\x1b[0mret-key was refused\x1b]0;owned\x07", header="Bearer abcdefghijkl")

    assert stream.getvalue()[11:] == "✗ the key [secret] was refused header=Bearer [secret]\n"


def test_no_message_can_pass_for_a_line_of_ours() -> None:
    ui, stream = logged()

    ui.info("title\n[12:00:00] ✓ Task 1 is done\r[12:00:00] ✓ and this")

    first, second = stream.getvalue().splitlines()
    assert first.endswith("title")
    assert second.startswith("           [12:00:00]")


def test_a_message_of_ten_megabytes_is_cut() -> None:
    ui, stream = logged()

    ui.info("x" * 10_000_000)

    assert len(stream.getvalue()) < 10_000
    assert stream.getvalue().endswith("x…\n")


def test_lines_of_many_threads_stay_whole() -> None:
    """A pipe takes lines of this length in pieces, when its reader is slower than we."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader:
        with os.fdopen(write, "w") as stream:
            ui = TerminalUI(stream)
            whole: list[bytes] = []
            reading = threading.Thread(target=lambda: whole.extend(reader.readlines()))
            speakers = [
                threading.Thread(target=lambda n=n: [ui.info(f"{n} " + "x" * 7000) for _ in range(40)])
                for n in range(6)
            ]
            for thread in (*speakers, reading):
                thread.start()
            for thread in speakers:
                thread.join()
        reading.join()

    assert len(whole) == 240
    assert all(re.fullmatch(rb"\[[\d:]{8}\] \d x{7000}\n", line) for line in whole)


# Colours


def coloured(stream: TextIO, **options: object) -> None:
    TerminalUI(stream, **options).warning("careful")


@pytest.mark.parametrize(
    ("environ", "colour", "expected"),
    [
        (XTERM, None, True),
        (XTERM, False, False),
        ({**XTERM, "NO_COLOR": "1"}, None, False),
        ({**XTERM, "NO_COLOR": "1", "FORCE_COLOR": "1"}, None, False),
        ({**XTERM, "NO_COLOR": ""}, None, True),
        ({"TERM": "dumb"}, None, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, None, True),
        ({"TERM": "dumb"}, True, True),
        (None, None, False),
    ],
)
def test_a_terminal_has_colours_unless_somebody_said_no(
    terminal: Terminal, environ: dict[str, str] | None, colour: bool | None, expected: bool
) -> None:
    coloured(terminal.stdout, environ=environ, colour=colour)

    assert ("\x1b[33m⚠ careful\x1b[39m" in terminal.wait_for("careful")) is expected


@pytest.mark.parametrize(
    ("environ", "expected"), [(XTERM, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "0"}, False)]
)
def test_a_log_has_colours_only_when_forced(environ: dict[str, str], expected: bool) -> None:
    stream = io.StringIO()

    coloured(stream, environ=environ)

    assert ("\x1b[" in stream.getvalue()) is expected


def test_json_lines_never_have_colours() -> None:
    stream = io.StringIO()

    coloured(stream, colour=True, json_lines=True)

    assert json.loads(stream.getvalue())["message"] == "careful"


def test_without_colours_colorama_is_not_loaded() -> None:
    done = run("TerminalUI().error('x'); sys.exit('colorama' in sys.modules)")

    assert done.returncode == 0


# The card


def test_the_card_reads_well_at_eighty_columns() -> None:
    ui, stream = logged()

    ui.task_card(TASK, **CARD)

    assert stream.getvalue() == (
        "╭─ Task 12 ────────────────────────────────────────────────────────────────╮\n"
        "│ Write the account statement                                              │\n"
        "│ role       backend_dev                                                   │\n"
        "│ level      senior                                                        │\n"
        "│ complexity major                                                         │\n"
        "│ model      sonnet                                                        │\n"
        "│ branch     feature/task-12                                               │\n"
        "│ attempt    1                                                             │\n"
        "│ directory  /srv/bank/.worktrees/task-12                                  │\n"
        "╰──────────────────────────────────────────────────────────────────────────╯\n"
    )


@pytest.mark.parametrize(
    "title",
    [
        "\x1b[2J\x1b]0;owned\x07" + "x" * 100_000,
        "日本語の長い題名" * 30,
        "line\nbreaks\tand ╮ borders\r\n",
        "e\u0301" * 200,
        "\u202egnirts desrever",
        "",
        " ".join(["word"] * 60),
    ],
)
@pytest.mark.parametrize("columns", [80, 40, 10])
def test_no_title_breaks_the_card(title: str, columns: int) -> None:
    terminal = Terminal(columns)
    ui = TerminalUI(terminal.stdout, environ=XTERM)
    task = Task(id=title[:70] or "1", title=title, role=title, level="")

    ui.task_card(task, model=title, branch=title, attempt=3, directory=Path("/" + "long/" * 60 + "end"))

    shown = terminal.wait_for("╯").splitlines()
    terminal.close()
    assert len({task_card.cells(line) for line in shown}) == 1
    assert task_card.cells(shown[0]) <= max(columns, 22)
    assert 4 <= len(shown) <= 12
    assert shown[-2].rstrip("│ ").endswith("/end")
    assert "\x1b" not in "".join(shown)


def test_a_long_title_is_broken_at_a_word() -> None:
    rows = task_card.draw("Task 1", " ".join(["word"] * 20), {}).splitlines()

    assert [row.strip("│ ") for row in rows[1:-1]] == [" ".join(["word"] * 14), " ".join(["word"] * 6)]


# The time that passes


def test_on_a_terminal_the_time_counts_and_then_goes(terminal: Terminal) -> None:
    ui = TerminalUI(terminal.stdout, environ=XTERM)

    with ui.elapsed("the agent works"):
        terminal.wait_for("the agent works 0 s")
        terminal.wait_for("the agent works 1 s")
    ui.info("after")
    terminal.wait_for("after")

    assert [line[11:] for line in terminal.screen if line] == ["after"]
    assert not [thread for thread in threading.enumerate() if thread.name == "elapsed"]


def test_messages_stand_above_the_time_that_passes(terminal: Terminal) -> None:
    ui = TerminalUI(terminal.stdout, environ=XTERM)

    with ui.elapsed("the agent works"):
        ui.info("first")
        ui.info("second")
        terminal.wait_for("second")
        waiting.until(lambda: "the agent works" in terminal.screen[-1], "the time stands below")
        lines = terminal.screen

    assert [line[11:] for line in lines[:2]] == ["first", "second"]
    assert lines[2][11:].startswith("the agent works ")


def test_of_several_things_that_take_time_the_last_is_shown(terminal: Terminal) -> None:
    ui = TerminalUI(terminal.stdout, environ=XTERM)

    with ui.elapsed("outer"):
        terminal.wait_for("outer 0 s")
        with ui.elapsed("inner"):
            terminal.wait_for("inner 0 s (+1)")
        waiting.until(lambda: terminal.screen[-1][11:].startswith("outer"), "the outer one is shown again")
    waiting.until(lambda: terminal.screen[-1] == "", "nothing is left")


def test_the_line_that_counts_is_never_wider_than_the_terminal() -> None:
    terminal = Terminal(30)
    ui = TerminalUI(terminal.stdout, environ=XTERM)

    with ui.elapsed("日本語" * 50):
        terminal.wait_for("0 s")
        assert task_card.cells(terminal.screen[-1]) < 30
    terminal.close()


@pytest.mark.parametrize("where", ["a log", "a dumb terminal"])
def test_elsewhere_the_time_takes_two_lines(terminal: Terminal, where: str) -> None:
    stream = io.StringIO() if where == "a log" else terminal.stdout
    ui = TerminalUI(stream, environ={"TERM": "dumb"})

    with pytest.raises(RuntimeError), ui.elapsed("the agent works"):
        raise RuntimeError

    text = stream.getvalue() if isinstance(stream, io.StringIO) else terminal.wait_for("0.0 s")
    assert re.fullmatch(r"\[[\d:]+\] the agent works …\n\[[\d:]+\] the agent works: 0\.\d s\n", text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (0.44, "0.4 s"),
        (9.97, "10 s"),
        (5, "5 s"),
        (59.6, "1 min 00 s"),
        (65, "1 min 05 s"),
        (7620, "2 h 07 min"),
    ],
)
def test_a_length_of_time_is_told_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


# Questions


def asking(terminal: Terminal, **options: object) -> TerminalUI:
    words = {"stdin": terminal.stdin, "interactive": True, "environ": XTERM, **options}
    return TerminalUI(terminal.stdout, **words)


def answer_to(ui: TerminalUI, **options: object) -> list[str]:
    """Ask in a thread; the list gets the answer."""
    answers: list[str] = []
    options = {"timeout": 60, **options}
    words = ("The hook failed.", ["retry", "skip", "abort"], "abort")
    threading.Thread(target=lambda: answers.append(ui.ask(*words, **options)), daemon=True).start()
    return answers


def settled(answers: list[str]) -> str:
    return waiting.until(lambda: answers, "there is an answer")[0]


@pytest.mark.parametrize(
    ("typed", "meant"), [("skip\n", "skip"), ("R\n", "retry"), (" ab \n", "abort"), ("\n", "abort"), ("\x04", "abort")]
)
def test_the_operator_is_asked(terminal: Terminal, typed: str, meant: str) -> None:
    answers = answer_to(asking(terminal))

    shown = terminal.wait_for("(default in 1 min 00 s: abort) ")
    terminal.type(typed)

    assert settled(answers) == meant
    assert "The hook failed. [retry/skip/abort]" in shown


def test_an_answer_that_is_none_is_asked_for_again(terminal: Terminal) -> None:
    answers = answer_to(asking(terminal))

    terminal.wait_for("default")
    terminal.type("perhaps\n")
    terminal.wait_for("'perhaps' is none of retry, skip, abort")
    terminal.type("skip\n")

    assert settled(answers) == "skip"


def test_what_was_typed_before_the_question_is_no_answer(terminal: Terminal) -> None:
    terminal.type("skip\n")
    terminal.wait_for("skip")
    answers = answer_to(asking(terminal), timeout=0.5)

    assert settled(answers) == "abort"


def test_after_the_time_limit_the_default_is_taken(terminal: Terminal) -> None:
    began = time.monotonic()
    answers = answer_to(asking(terminal), timeout=0.5)

    terminal.wait_for("default in 0.5 s: abort")
    terminal.type("ski")  # no Enter

    assert settled(answers) == "abort"
    assert time.monotonic() - began >= 0.5
    terminal.wait_for("No answer: abort")


def test_a_question_without_a_limit_ends_when_the_runner_must(terminal: Terminal) -> None:
    over = threading.Event()
    answers = answer_to(asking(terminal), timeout=None, gives_up=over.is_set)

    terminal.wait_for("(default: abort)")
    over.set()

    assert settled(answers) == "abort"


def test_messages_stand_above_the_question(terminal: Terminal) -> None:
    ui = asking(terminal)
    answers = answer_to(ui)
    terminal.wait_for("default")

    ui.info("meanwhile")
    waiting.until(lambda: "The hook failed." in terminal.screen[-1], "the question stands below")
    lines = terminal.screen
    terminal.type("skip\n")

    assert settled(answers) == "skip"
    assert [line[11:27] for line in lines] == ["meanwhile", "The hook failed."]


def test_the_time_that_passes_keeps_off_a_question(terminal: Terminal) -> None:
    ui = asking(terminal)

    with ui.elapsed("the agent works"):
        terminal.wait_for("the agent works")
        answers = answer_to(ui, timeout=1.5)
        terminal.wait_for("default")
        assert settled(answers) == "abort"
        terminal.wait_for("No answer")
    shown = terminal.shown

    asked = shown[shown.index("The hook failed.") : shown.index("No answer")]
    assert "the agent works" not in asked.rpartition("\n")[0]
    assert shown.count("The hook failed.") == 1, "written again, it hides what was typed"


@pytest.mark.parametrize("lacking", ["interactive", "stdin", "stdout", "text", "json"])
def test_nobody_is_asked_where_nobody_can_answer(terminal: Terminal, lacking: str) -> None:
    """R13: the earlier runner waited for input without a terminal, and fell over it."""
    read, write = os.pipe()
    with os.fdopen(read) as pipe, os.fdopen(write, "w"):
        stdout: TextIO = io.StringIO() if lacking == "stdout" else terminal.stdout
        stdin: TextIO = {"stdin": pipe, "text": io.StringIO("skip\n")}.get(lacking, terminal.stdin)
        ui = TerminalUI(stdout, stdin=stdin, interactive=lacking != "interactive", json_lines=lacking == "json")

        assert ui.ask("Go on?", ["yes", "no"], "no") == "no"

    shown = stdout.getvalue() if isinstance(stdout, io.StringIO) else terminal.wait_for("nobody")
    assert "Go on? There is nobody to ask: no" in shown


def test_a_runner_in_the_background_does_not_ask() -> None:
    """Reading from its terminal, a process in the background is stopped by the kernel."""
    program = (
        "pid = os.fork()\n"
        "if pid:\n"
        "    _, status = os.waitpid(pid, os.WUNTRACED)\n"
        "    stopped = os.WIFSTOPPED(status)\n"
        "    if stopped: os.kill(pid, 9)\n"
        "    print('stopped' if stopped else 'not stopped', flush=True)\n"
        "    sys.stdin.readline()\n"
        "else:\n"
        "    os.setpgid(0, 0)\n"
        "    TerminalUI(interactive=True).ask('Go on?', ['yes', 'no'], 'no')\n"
    )
    pid, master = pty.fork()
    if pid == 0:  # pragma: no cover
        os.chdir(ROOT)
        start = "import os, sys\nfrom components.terminal_ui import TerminalUI\n"
        os.execv(sys.executable, [sys.executable, "-c", start + program])
    shown = b""
    try:
        while b"stopped" not in shown and select.select([master], [], [], 30)[0]:
            shown += os.read(master, 4096)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)

    assert b"nobody to ask: no" in shown
    assert b"not stopped" in shown


# Streams that go away


@pytest.mark.parametrize("pipeline", ["| head -1", "| grep -q line", "| true"])
def test_a_closed_pipe_changes_nothing(tmp_path: Path, pipeline: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from components.terminal_ui import TerminalUI\n"
        "ui = TerminalUI()\n"
        "for number in range(20_000): ui.info(f'line {number}')\n"
        "print('and a print, which is flushed when Python exits')\n"
        "sys.exit(7)\n"
    )

    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} {program} {pipeline}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 7
    assert done.stderr == b""


def test_a_pipe_that_closes_after_the_last_line_changes_nothing() -> None:
    """What is printed and not flushed meets the closed pipe only when Python exits."""
    program = "ui = TerminalUI(); ui.info('one'); sys.stdin.readline(); ui.info('two'); print('three'); sys.exit(7)"
    with subprocess.Popen(
        **popen_words(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert b"one" in child.stdout.readline()
        child.stdout.close()
        child.stdin.write(b"\n")
        child.stdin.close()
        stderr = child.stderr.read()
        assert child.wait(60) == 7
    assert stderr == b""


def test_children_started_after_the_pipe_closed_can_still_print() -> None:
    program = (
        "import subprocess\n"
        "read, write = os.pipe(); os.dup2(write, 1); os.close(write); os.close(read)\n"
        "TerminalUI().info('to nobody')\n"
        "sys.exit(subprocess.run(['sh', '-c', 'echo hello']).returncode)\n"
    )

    done = run(program)

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_standard_output_that_was_never_there_changes_nothing() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *popen_words("TerminalUI().info('x'); sys.exit(7)")["args"]],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (7, b"")


def test_a_stream_that_somebody_closed_changes_nothing(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        ui = TerminalUI(file)
    text = io.StringIO()
    other = TerminalUI(text)
    text.close()

    ui.info("to nobody")
    other.info("to nobody")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_changes_nothing() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            **popen_words("ui = TerminalUI(); ui.info('x'); ui.error('y' * 9000); sys.exit(7)"),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )

    assert (done.returncode, done.stderr) == (7, b"")


def test_after_a_full_disk_the_log_goes_on_with_a_line_of_its_own(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for the disk: a write stops in the middle, and later there is room again."""
    log = tmp_path / "log"
    program = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "ui = TerminalUI()\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))\n"
        "ui.info('torn by the end of the disk')\n"
        "ui.info('dropped')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        "ui.info('room again')\n"
    )

    with log.open("w") as file:
        done = subprocess.run(**popen_words(program), stdout=file, stderr=subprocess.PIPE, timeout=60, check=False)

    first, second = log.read_text().splitlines()
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(first) == 20
    assert second.endswith("] room again")


def test_a_terminal_that_hangs_up_changes_nothing() -> None:
    terminal = Terminal()
    ui = TerminalUI(terminal.stdout, environ=XTERM)
    ui.info("before")
    os.close(terminal._master)

    with ui.elapsed("working"):
        ui.info("after")

    terminal.stdout.close()
    terminal.stdin.close()
    os.close(terminal.slave)


def test_a_reader_that_stands_still_holds_nobody_up_for_ever() -> None:
    """Whoever shares our standard output may have made it non-blocking."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with os.fdopen(read, "rb") as reader, os.fdopen(write, "w") as writer:
        ui = TerminalUI(writer)
        while select.select([], [writer], [], 0)[1]:
            os.write(write, b"x" * 4096)

        ui.info("dropped")
        reader.read1()
        ui.info("comes")

        waiting.until(lambda: b"] comes\n" in reader.read1(), "the next line comes")
