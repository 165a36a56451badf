"""While one agent of an account waits for its limit, the others of the same account wait as well."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components import account_hold, policy, turn
from components.model import Verdict
from components.states import Reason
from tests.bench import Bench


def bench_of(directory: Path, **environment: str) -> Bench:
    return Bench(directory, {"HOME": str(directory), **environment})


def test_an_account_is_free_until_a_hold_is_placed_and_again_when_it_is_lifted(tmp_path: Path) -> None:
    tools = bench_of(tmp_path).tools()
    before = account_hold.until(tools)

    told = time.time() + 3600
    account_hold.place(tools, told, Reason.RATE_LIMITED)
    held = account_hold.until(tools)
    account_hold.lift(tools)

    assert (before, held, account_hold.until(tools)) == (0.0, told, 0.0)


def test_a_hold_is_for_all_agents_of_the_account_and_for_no_others(tmp_path: Path) -> None:
    one = bench_of(tmp_path, ANTHROPIC_API_KEY="key-1").tools(agent_id="dev_1")
    same = bench_of(tmp_path, ANTHROPIC_API_KEY="key-1").tools(agent_id="dev_2")
    other = bench_of(tmp_path, ANTHROPIC_API_KEY="key-2").tools(agent_id="dev_3")

    account_hold.place(one, time.time() + 600, Reason.RATE_LIMITED)

    assert account_hold.until(same) > time.time()
    assert account_hold.until(other) == 0.0


def test_a_new_log_in_is_another_account(tmp_path: Path) -> None:
    tools = bench_of(tmp_path).tools()
    credentials = tmp_path / ".claude" / ".credentials.json"
    credentials.parent.mkdir()
    credentials.write_text("{}")
    os.utime(credentials, ns=(1, 1))
    account_hold.place(tools, time.time() + 600, Reason.AUTH_FAILED)

    os.utime(credentials, ns=(2, 2))

    assert account_hold.until(tools) == 0.0


def test_no_credential_is_in_the_file_or_its_name(tmp_path: Path) -> None:
    tools = bench_of(tmp_path, ANTHROPIC_API_KEY="sk-of-somebody").tools()

    account_hold.place(tools, 0.0, Reason.AUTH_FAILED)

    path = account_hold.path_of(tools)
    assert b"somebody" not in path.read_bytes()
    assert "somebody" not in path.name
    assert path.stat().st_mode & 0o077 == 0


def test_where_nobody_says_how_long_each_hold_is_longer_until_the_account_works(tmp_path: Path) -> None:
    tools = bench_of(tmp_path).tools()
    lengths = [account_hold.place(tools, 0.0, Reason.RATE_LIMITED) - time.time() for _ in range(4)]
    account_hold.lift(tools)
    lengths.append(account_hold.place(tools, 0.0, Reason.RATE_LIMITED) - time.time())

    assert [round(length) for length in lengths] == [30, 60, 120, 240, 30]


def test_a_time_that_is_told_is_believed_within_reason(tmp_path: Path) -> None:
    """A limit ends within a week; a clock that is off, or a figure misread, must not hold an account for years."""
    tools = bench_of(tmp_path).tools()

    soon = account_hold.place(tools, time.time() + 5, Reason.RATE_LIMITED)
    past = account_hold.place(tools, time.time() - 5, Reason.RATE_LIMITED)
    never = account_hold.place(tools, time.time() + 400 * 86400, Reason.RATE_LIMITED)

    assert 0 < soon - time.time() <= 5
    assert 0 < past - time.time() < policy.BACKOFF_CAP_SECONDS
    assert 0 < never - time.time() < policy.BACKOFF_CAP_SECONDS


def test_a_shorter_hold_does_not_shorten_a_longer_one(tmp_path: Path) -> None:
    """Two agents meet the limit: one is told when it ends, the other only that it is there."""
    tools = bench_of(tmp_path).tools()
    told = time.time() + 7200
    account_hold.place(tools, told, Reason.RATE_LIMITED)

    account_hold.place(tools, 0.0, Reason.RATE_LIMITED)

    assert account_hold.until(tools) == told


def test_many_agents_place_a_hold_at_once(tmp_path: Path) -> None:
    """Each wrote the same temporary file, and the second rename found none."""
    tools = [bench_of(tmp_path).tools(agent_id=f"dev_{number}") for number in range(8)]
    told = time.time() + 3600

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(lambda one: account_hold.place(one, told, Reason.RATE_LIMITED), tools * 4))

    assert set(ends) == {told}
    assert account_hold.until(tools[0]) == told


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"until": "soon"}', b'{"until": NaN}', b'{"until": 1e400}', b'{"until": true}', b"\xff"],
)
def test_a_broken_file_holds_nobody_and_is_written_anew(tmp_path: Path, content: bytes) -> None:
    tools = bench_of(tmp_path).tools()
    account_hold.path_of(tools).parent.mkdir(parents=True)
    account_hold.path_of(tools).write_bytes(content)

    before = account_hold.until(tools)
    account_hold.place(tools, 0.0, Reason.RATE_LIMITED)

    assert before == 0.0
    assert account_hold.until(tools) > time.time()


@pytest.mark.parametrize("times", [b"1e400", b"NaN", b"true", b'"many"', b"-3", b"99999999999999999999"])
def test_a_broken_count_is_no_error(tmp_path: Path, times: bytes) -> None:
    tools = bench_of(tmp_path).tools()
    account_hold.path_of(tools).parent.mkdir(parents=True)
    account_hold.path_of(tools).write_bytes(b'{"until": 0, "times": ' + times + b"}")

    until = account_hold.place(tools, 0.0, Reason.RATE_LIMITED)

    assert 0 < until - time.time() <= policy.BACKOFF_CAP_SECONDS + 1


@pytest.mark.parametrize(
    ("reason", "holds"),
    [
        (Reason.RATE_LIMITED, True),
        (Reason.AUTH_FAILED, True),
        (Reason.NO_CREDIT, True),
        (Reason.OVERLOADED, False),
        (Reason.STALLED, False),
    ],
)
def test_ends_that_speak_of_the_account_place_a_hold(tmp_path: Path, reason: Reason, holds: bool) -> None:
    tools = bench_of(tmp_path).tools()

    turn.settle_account(Verdict(reason), tools)

    assert bool(account_hold.until(tools)) is holds


def test_a_success_lifts_the_hold(tmp_path: Path) -> None:
    tools = bench_of(tmp_path).tools()
    account_hold.place(tools, 0.0, Reason.RATE_LIMITED)

    turn.settle_account(Verdict(Reason.SUCCEEDED), tools)

    assert account_hold.until(tools) == 0.0
