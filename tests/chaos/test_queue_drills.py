"""Workers killed at random, cut off, and with clocks apart; the database restarted: nothing lost, nothing twice.

CHAOS=full kills more often and on both databases. CHAOS_SEED=n repeats the choices of a run.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("dbos")

from components.ports import QueueEntry
from tests import postgresql
from tests.chaos.network_hosts import hosts, passed_on
from tests.postgresql import PostgreSql
from tests.queue_fleet import Fleet
from tests.queue_program import RECORD
from tests.waiting import until

IS_FULL = os.environ.get("CHAOS") == "full"
SEED = int(os.environ.get("CHAOS_SEED") or time.time_ns() % 1_000_000)


@pytest.fixture
def server() -> Iterator[PostgreSql]:
    with postgresql.running() as running:
        yield running


def killed_at_random(fleet: Fleet, machines: dict[str, str], count: int, kills: int) -> None:
    """Have workers perform entries, and kill one after the other; each comes back at once."""
    print(f"CHAOS_SEED={SEED}")
    rng = random.Random(SEED)
    fleet.enqueue([QueueEntry(f"nap{number}", priority=rng.randrange(3)) for number in range(count)])
    workers = {name: fleet.start(name, machine=machine) for name, machine in machines.items()}
    for _ in range(kills):
        before = len(fleet.ended())
        step = rng.randrange(1, max(2, count // kills))
        until(lambda before=before, step=step: len(fleet.ended()) >= min(count, before + step), "progress", 60)  # type: ignore[misc]
        name = rng.choice(sorted(machines))
        fleet.kill(workers[name])
        workers[name] = fleet.start(name, machine=machines[name], wait=False)
    until(lambda: len(set(fleet.ended())) == count, "all ends", 60)
    with fleet.queue() as queue:
        until(lambda: not queue.at_work() and not queue.waiting(), "an empty queue")


def judge(fleet: Fleet, count: int, kills: int) -> None:
    """Each has one end; a start without an end is one of a worker that was killed, and nobody else starts again."""
    ends = Counter(fleet.ended())
    assert len(ends) == count
    assert set(ends.values()) == {1}
    assert len(fleet.lines("start")) - count <= 4 * kills


@pytest.mark.timeout(180)
def test_a_thousand_entries_are_each_performed_once_while_workers_of_a_machine_are_killed(tmp_path: Path) -> None:
    fleet, kills = Fleet(tmp_path), 30 if IS_FULL else 5
    try:
        killed_at_random(fleet, {"one": "m1", "two": "m1"}, 1000, kills)
        judge(fleet, 1000, kills)
        assert {line.attempt for line in fleet.lines()} == {1}
    finally:
        fleet.close()


@pytest.mark.timeout(240)
def test_entries_are_each_performed_once_while_workers_of_three_machines_are_killed(
    server: PostgreSql, tmp_path: Path
) -> None:
    fleet = Fleet(tmp_path, server.database())
    count, kills = (1000, 20) if IS_FULL else (120, 3)
    try:
        killed_at_random(fleet, {"one": "m1", "two": "m2", "three": "m3"}, count, kills)
        judge(fleet, count, kills)
    finally:
        fleet.close()


@pytest.mark.timeout(180)
def test_three_hosts_lose_nothing_when_one_dies_one_is_cut_off_and_the_database_restarts(
    server: PostgreSql, tmp_path: Path
) -> None:
    import psycopg

    count = 120
    with hosts(3) as (first, second, third), passed_on([one.gateway for one in (first, second, third)], server.port):
        fleet = Fleet(tmp_path, server.database())
        local = fleet.url
        with psycopg.connect(local) as connection:
            connection.execute("CREATE TABLE ends (agent text primary key, attempt integer)")
        try:
            fleet.enqueue([QueueEntry(f"rest{number}") for number in range(count)])
            workers = []
            for host in (first, second, third):
                fleet.url = local.replace("127.0.0.1", host.gateway)
                fleet.env[RECORD] = fleet.url
                workers.append(fleet.start(host.name, machine=host.name, prefix=host.prefix, worker_ttl=8.0))
            fleet.url = local
            until(lambda: len(fleet.ended()) >= 20, "twenty ends", 40)

            fleet.kill(workers[0])
            second.pull_the_cable()
            until(lambda: len(fleet.ended()) >= 40, "twenty more ends", 40)
            server.stop()
            until(lambda: "agents work on" in fleet.said(third.name), "the outage to be noticed")
            server.start()
            until(
                lambda: "were not heard" in fleet.said(third.name) or "was not heard" in fleet.said(third.name),
                "the takeover",
                40,
            )
            second.plug_in()
            until(lambda: len(fleet.ended()) == count, "all ends", 60)

            assert Counter(fleet.ended()).most_common(1)[0][1] == 1
            with fleet.queue() as queue:
                until(lambda: not queue.at_work() and not queue.waiting(), "an empty queue", 40)
            again = [line for line in fleet.lines("start") if line.attempt > 1]
            assert 1 <= len(again) <= 8, "what the dead and the cut off had, and nothing else"
            with psycopg.connect(local) as connection:
                assert connection.execute("SELECT count(*) FROM ends").fetchone() == (count,)
        finally:
            fleet.close()


@pytest.mark.timeout(120)
def test_workers_whose_clocks_are_two_hours_apart_take_nothing_from_each_other(
    server: PostgreSql, tmp_path: Path
) -> None:
    fleet = Fleet(tmp_path, server.database())
    try:
        fleet.enqueue([QueueEntry("wait1", role="qa"), QueueEntry("wait2", role="pm")])
        for name, role, shift in (("early", "qa", "-3600"), ("late", "pm", "3600")):
            fleet.env = {"QUEUE_TEST_CLOCK": shift}
            fleet.start(name, machine=name, worker_roles=role)
        until(lambda: len(fleet.lines("start")) == 2, "both starts")

        time.sleep(3 * 2.0)  # three times to live, in which nothing may happen
        fleet.open_gate()

        until(lambda: len(fleet.ended()) == 2, "both ends")
        assert len(fleet.lines("start")) == 2
    finally:
        fleet.close()
