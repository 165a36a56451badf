"""Output files are read while they grow, whatever their size."""

from __future__ import annotations

import itertools
import os
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from components import execution_log
from components.errors import NotFound

DEADLINE_SECONDS = 30


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_the_tail_is_the_last_lines(out: Path) -> None:
    out.write_bytes(b"".join(b"line %d\n" % number for number in range(10_000)))

    assert execution_log.tail(out, 3) == [b"line 9997", b"line 9998", b"line 9999"]
    assert execution_log.tail(out, 0) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"one", [b"one"]),
        (b"one\ntorn", [b"one", b"torn"]),
        (b"one\n\n", [b"one", b""]),
    ],
)
def test_the_tail_of_a_short_file_is_all_of_it(out: Path, content: bytes, expected: list[bytes]) -> None:
    out.write_bytes(content)

    assert execution_log.tail(out) == expected
    assert list(execution_log.lines(out)) == expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(3, [b"ddd"]), (4, [b"ddd"]), (5, [b"ddd"]), (8, [b"ccc", b"ddd"]), (2, [b"dd"])],
)
def test_a_line_that_begins_beyond_the_limit_is_left_off_unless_it_is_the_only_one(
    out: Path, limit: int, expected: list[bytes]
) -> None:
    out.write_bytes(b"aaa\nbbb\nccc\nddd")

    assert execution_log.tail(out, limit_bytes=limit) == expected


def test_the_tail_of_two_gigabytes_reads_the_end_only(out: Path) -> None:
    with out.open("wb") as file:
        file.truncate(2 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast but one\nlast\n")
    tracemalloc.start()

    found = execution_log.tail(out, 2)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [b"last but one", b"last"]
    assert peak < 1 << 20


def test_the_tail_of_one_long_line_is_its_end(out: Path) -> None:
    out.write_bytes(b"x" * 1_000_000 + b"end\n")

    (found,) = execution_log.tail(out)

    assert found.endswith(b"xend")
    assert len(found) < execution_log.CHUNK_BYTES


def test_a_line_of_ten_megabytes_comes_whole(out: Path) -> None:
    long = b"x" * 10_000_000
    out.write_bytes(b"first\n" + long + b"\nlast")

    assert list(execution_log.lines(out)) == [b"first", long, b"last"]


def test_of_an_endless_line_only_the_beginning_comes_and_memory_stays_bounded(out: Path) -> None:
    with out.open("wb") as file:
        file.truncate(200 << 20)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast\n")
    tracemalloc.start()

    sizes = [len(line) for line in execution_log.lines(out)]

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sizes == [execution_log.LINE_BYTES, 4]
    assert peak < 3 * execution_log.LINE_BYTES


@pytest.mark.parametrize("size", [execution_log.LINE_BYTES - 1, execution_log.LINE_BYTES, execution_log.LINE_BYTES + 1])
def test_at_the_cap_no_line_is_lost_or_doubled(out: Path, size: int) -> None:
    out.write_bytes(b"x" * size + b"\nnext\n")

    assert [len(line) for line in execution_log.lines(out)] == [min(size, execution_log.LINE_BYTES), 4]


def test_following_gives_every_byte_once_with_its_offset(out: Path) -> None:
    content = os.urandom(300_000)
    out.write_bytes(b"")

    def grow() -> None:
        with out.open("ab", buffering=0) as file:
            for start in range(0, len(content), 7_000):
                file.write(content[start : start + 7_000])
        over.set()

    over = threading.Event()
    writer = threading.Thread(target=grow)
    writer.start()
    pieces = list(execution_log.follow(out, wait=lambda seconds: over.wait(seconds / 100), ended=over.is_set))
    writer.join()

    assert b"".join(piece for _, piece in pieces) == content
    assert [offset for offset, _ in pieces] == list(itertools.accumulate((len(p) for _, p in pieces), initial=0))[:-1]
    assert max(len(piece) for _, piece in pieces) <= execution_log.CHUNK_BYTES


def test_following_goes_on_from_an_offset(out: Path) -> None:
    out.write_bytes(b"0123456789")

    assert list(execution_log.follow(out, 6, wait=_no_wait, ended=lambda: True)) == [(6, b"6789")]
    assert list(execution_log.follow(out, 99, wait=_no_wait, ended=lambda: True)) == []


def test_what_is_written_between_the_last_read_and_the_end_is_not_lost(out: Path) -> None:
    out.write_bytes(b"early ")
    state = {"over": False}

    def write_late(_: float) -> None:
        with out.open("ab") as file:
            file.write(b"late")
        state["over"] = True

    pieces = list(execution_log.follow(out, wait=write_late, ended=lambda: state["over"]))

    assert pieces == [(0, b"early "), (6, b"late")]


def test_following_rests_while_nothing_comes(out: Path) -> None:
    out.write_bytes(b"")
    rests: list[float] = []
    began = time.process_time()

    def rest(seconds: float) -> None:
        rests.append(seconds)

    list(execution_log.follow(out, wait=rest, ended=lambda: len(rests) >= 100))

    assert len(rests) == 100
    assert min(rests) >= 0.1
    assert time.process_time() - began < DEADLINE_SECONDS


def test_following_ends_though_a_stray_child_goes_on_writing(out: Path) -> None:
    out.write_bytes(b"agent's ")
    pieces = execution_log.follow(out, wait=_no_wait, ended=lambda: True)

    first = next(pieces)
    with out.open("ab") as file:
        file.write(b"stray's")

    assert (first, list(pieces)) == ((0, b"agent's "), [])


READERS: list[Callable[[Path], object]] = [
    execution_log.tail,
    lambda path: list(execution_log.lines(path)),
    lambda path: list(execution_log.follow(path, wait=lambda _: None, ended=lambda: True)),
]


@pytest.mark.parametrize("read", READERS)
def test_a_log_that_is_not_there_is_said_to_be_so(out: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(NotFound, match="No such file"):
        read(out)


@pytest.mark.parametrize("read", READERS)
def test_what_the_agent_puts_in_the_place_of_its_log_is_not_followed(out: Path, read: Callable[[Path], object]) -> None:
    out.symlink_to("/etc/hostname")
    with pytest.raises(NotFound):
        read(out)

    out.unlink()
    os.mkfifo(out)
    with pytest.raises(NotFound, match="no regular file"):
        read(out)


def _no_wait(_: float) -> None:
    raise AssertionError("there was nothing to wait for")
