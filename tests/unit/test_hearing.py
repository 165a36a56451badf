"""What an agent prints is heard while it grows: each line once and whole, however it comes."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from components import execution_log
from components.executors.claude import ClaudeExecutor
from components.executors.codex import CodexExecutor
from components.executors.command import CommandExecutor
from components.hearing import Hearing
from components.model import AgentResult, ExitRecord, Progress
from components.ports import Executor, HearsMany


class Noted:
    """A listener that notes what it hears."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def hear(self, line: bytes) -> None:
        self.lines.append(line)

    def progress(self) -> Progress:
        return Progress(messages=len(self.lines))

    def result(self, exit_record: ExitRecord | None) -> AgentResult | None:
        return None


class NotedTogether(Noted):
    """One that takes many lines at once."""

    def hear_many(self, lines: bytes) -> None:
        self.lines += lines[1:].split(b"\n")


@pytest.mark.parametrize("make", [Noted, NotedTogether])
@pytest.mark.parametrize("seed", range(8))
def test_lines_are_heard_as_a_whole_reading_hears_them_however_the_file_grew(
    tmp_path: Path, seed: int, make: type[Noted]
) -> None:
    chance = random.Random(seed)
    text = b"".join(
        chance.randbytes(chance.choice((0, 1, 50, 70_000, 200_000))).replace(b"\n", b"") + b"\n" for _ in range(40)
    )
    text += chance.choice((b"", b"torn"))
    out, listener = tmp_path / "out", make()
    hearing = Hearing(out, listener)

    with out.open("ab", buffering=0) as file:
        left = text
        while left:
            size = chance.randrange(1, 150_000)
            file.write(left[:size])
            left = left[size:]
            while hearing.look(0.0):
                pass
    hearing.finish()

    assert listener.lines == list(execution_log.lines(out))


def test_one_look_ends_in_time_and_the_next_goes_on_there(tmp_path: Path) -> None:
    out, listener = tmp_path / "out", Noted()
    out.write_bytes(b"line\n" * 100_000)
    hearing = Hearing(out, listener)

    is_behind = hearing.look(0.0)
    heard = len(listener.lines)
    while hearing.look():
        pass

    assert is_behind
    assert 0 < heard < 100_000
    assert listener.lines == [b"line"] * 100_000
    assert not hearing.is_behind


def test_a_line_beyond_measure_is_heard_from_its_beginning_in_bounded_memory(tmp_path: Path) -> None:
    out, listener = tmp_path / "out", Noted()
    with out.open("wb") as file:
        file.truncate(8 * execution_log.LINE_BYTES)
        file.seek(0, 2)
        file.write(b"\nafter it\n")
    hearing = Hearing(out, listener)

    tracemalloc.start()
    while hearing.look():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [len(line) for line in listener.lines] == [execution_log.LINE_BYTES, len(b"after it")]
    assert peak < 4 * execution_log.LINE_BYTES


def test_a_torn_line_is_unheard_until_it_ends(tmp_path: Path) -> None:
    out, listener = tmp_path / "out", Noted()
    out.write_bytes(b"whole\nto")
    hearing = Hearing(out, listener)
    hearing.look()

    assert (listener.lines, hearing.unheard) == ([b"whole"], 2)
    with out.open("ab") as file:
        file.write(b"rn\n")
    hearing.look()
    assert (listener.lines, hearing.unheard) == ([b"whole", b"torn"], 0)


def test_an_output_that_the_agent_removes_or_cuts_off_does_no_harm(tmp_path: Path) -> None:
    out, listener = tmp_path / "out", Noted()
    hearing = Hearing(out, listener)
    assert not hearing.look()

    out.write_bytes(b"the first line\n")
    hearing.look()
    out.write_bytes(b"anew\n")
    hearing.look()
    out.unlink()
    out.symlink_to("/etc/passwd")
    hearing.look()

    assert listener.lines == [b"the first line", b"anew"]


LINES = [
    b'{"type":"system","subtype":"init","session_id":"s-1"}',
    b'{"type":"assistant","message":{"id":"m","content":[{"type":"text","text":"Hello"}]}}',
    b"noise " * 300,
    b"",
    b' {"type":"thread.started","thread_id":"t-1"}',
    b'{"type":"item.completed","item":{"type":"agent_message","text":"Done"}}',
    *[b"more noise %d" % number for number in range(500)],
]


@pytest.mark.parametrize("executor", [ClaudeExecutor("claude"), CodexExecutor(), CommandExecutor(("agent",))])
@pytest.mark.parametrize("count", [0, 1, 3, len(LINES)])
def test_an_executor_understands_many_lines_as_it_does_one_by_one(executor: Executor, count: int) -> None:
    one_by_one, together = executor.listener(), executor.listener()
    assert isinstance(together, HearsMany)

    for line in LINES[:count]:
        one_by_one.hear(line)
    together.hear_many(b"".join(b"\n" + line for line in LINES[:count]))

    assert together.progress() == one_by_one.progress()
