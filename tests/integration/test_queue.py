"""The queue of agents with real workers: processes on a file, and on a real PostgreSQL server."""

from __future__ import annotations

import base64
import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos")

from components import config, queue_engine
from components.errors import NotFound, StoreUnavailable
from components.ports import QueueEntry
from tests import postgresql
from tests.postgresql import PostgreSql
from tests.queue_fleet import Fleet
from tests.waiting import until


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql.running() as running:
        yield running


@pytest.fixture(params=["file", "server"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    yield from fleet_on(request, tmp_path)


@pytest.fixture(params=["file", "server"] if os.environ.get("CHAOS") == "full" else ["file"])
def crew(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """The same where the kind of database matters less."""
    yield from fleet_on(request, tmp_path)


def fleet_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    url = request.getfixturevalue("server").database() if request.param == "server" else ""
    made = Fleet(tmp_path, url)
    yield made
    made.close()


@pytest.fixture
def machines(server: PostgreSql, tmp_path: Path) -> Iterator[Fleet]:
    """Workers of several machines: one database, a home each."""
    made = Fleet(tmp_path, server.database())
    yield made
    made.close()


def test_an_entry_told_three_times_is_performed_once_by_a_worker_of_its_role_the_urgent_first(fleet: Fleet) -> None:
    low, high, other = QueueEntry("low", role="qa"), QueueEntry("high", role="qa", priority=-1), QueueEntry("other")
    fleet.enqueue([low, other])
    fleet.enqueue([low, high])
    fleet.start(worker_roles="qa", worker_concurrency=1)

    with fleet.queue() as queue:
        until(lambda: len(fleet.ended()) == 2, "both ends")
        queue.enqueue([low, QueueEntry("later", role="qa")])
        until(lambda: "later" in fleet.ended(), "what came later")

        assert [line.agent for line in fleet.lines("start")] == ["high", "low", "later"]
        assert queue.waiting() == {"": 1}


def test_who_tells_wakes_the_workers_of_the_machine_at_once(crew: Fleet) -> None:
    crew.start(poll_interval=60, queue_poll_interval=60)

    with crew.queue() as queue:
        for number in range(5):
            queue.enqueue([QueueEntry(f"agent{number}")])
            until(lambda number=number: f"agent{number}" in crew.ended(), "the end", 5)  # type: ignore[misc]


def test_a_cancelled_entry_is_stopped_where_it_runs_and_never_begun_where_it_waits(fleet: Fleet) -> None:
    fleet.enqueue([QueueEntry("wait1", priority=1), QueueEntry("wait2", priority=2), QueueEntry("last")])
    fleet.start(worker_concurrency=1)
    until(lambda: fleet.lines("start"), "the start")

    with fleet.queue(machine="another") as queue:
        queue.cancel("wait2:1")
        queue.cancel("wait1:1")
        until(lambda: fleet.lines("cancelled"), "the end of what was cancelled", 3)
        until(lambda: fleet.ended() == ["last"], "the last")
        queue.enqueue([QueueEntry("wait2")])

        assert [line.agent for line in fleet.lines("start")] == ["wait1", "last"]
        assert queue.waiting() == {}


def test_what_a_killed_worker_had_is_adopted_on_its_machine_as_the_same_attempt(fleet: Fleet) -> None:
    fleet.enqueue([QueueEntry("wait1"), QueueEntry("wait2")])
    first = fleet.start("one", worker_concurrency=2, worker_ttl=60)
    until(lambda: len(fleet.lines("start")) == 2, "both starts")
    fleet.start("two", worker_concurrency=1, worker_ttl=60)

    fleet.kill(first)
    until(lambda: len(fleet.lines("start")) == 4, "the adoption", 6)
    fleet.open_gate()
    until(lambda: len(fleet.ended()) == 2, "the ends")

    assert [(line.worker, line.attempt) for line in fleet.lines("end")] == [("two", 1)] * 2


def test_a_worker_that_leaves_has_its_work_taken_up_by_its_next_start(crew: Fleet) -> None:
    crew.enqueue([QueueEntry("wait1")])
    first = crew.start("one")
    until(lambda: crew.lines("start"), "the start")

    first.send_signal(signal.SIGTERM)
    first.wait(20)
    crew.start("one")
    until(lambda: len(crew.lines("start")) == 2, "the adoption")
    crew.open_gate()

    until(lambda: crew.ended() == ["wait1"], "the end")
    assert [line.event for line in crew.lines()] == ["start", "Draining", "start", "end"]
    assert {line.attempt for line in crew.lines()} == {1}


def test_a_worker_that_hands_over_has_its_work_done_by_another_as_the_next_attempt(fleet: Fleet) -> None:
    fleet.enqueue([QueueEntry("wait1"), QueueEntry("wait2")])
    first = fleet.start("one")
    until(lambda: len(fleet.lines("start")) == 2, "the starts")
    fleet.start("two", machine="m2")

    first.send_signal(signal.SIGQUIT)
    first.wait(20)
    until(lambda: len(fleet.lines("start")) == 4, "the next attempts")
    with fleet.queue() as queue:
        queue.cancel("wait2:2")
    until(lambda: fleet.lines("cancelled"), "the end of what was cancelled as the attempt that it is by now")
    fleet.open_gate()

    until(lambda: fleet.ended() == ["wait1"], "the end")
    found = [(line.event, line.worker, line.attempt) for line in fleet.lines() if line.agent == "wait1"]
    assert found == [("start", "one", 1), ("TaskTaken", "one", 1), ("start", "two", 2), ("end", "two", 2)]


def test_an_interrupted_worker_finishes_what_it_has_and_takes_nothing_new(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.enqueue([QueueEntry("wait1")])
    only = fleet.start("one")
    until(lambda: fleet.lines("start"), "the start")

    only.send_signal(signal.SIGINT)
    until(lambda: "is finishing; 1 of 4 at work: wait1" in fleet.said("one"), "the answer to Ctrl-C")
    fleet.enqueue([QueueEntry("new")])
    fleet.open_gate()

    assert only.wait(20) == 0
    assert fleet.ended() == ["wait1"]


def test_a_second_worker_of_a_name_is_refused_and_told_what_to_do(crew: Fleet) -> None:
    crew.start("one", worker_ttl=60)

    for machine in ("m1", "m2"):
        second = crew.start("one", machine=machine, wait=False, worker_ttl=60)
        assert second.wait(30) == 75
    assert crew.said("one").count("a worker named one is at work on") == 2
    assert "give this one a --name of its own" in crew.said("one")


def test_limits_hold_over_all_workers(fleet: Fleet) -> None:
    limits: dict[str, Any] = {"worker_concurrency": 4, "queue_concurrency": 3, "role_concurrency": {"qa": 1}}
    fleet.enqueue([QueueEntry(f"nap{n}", role="qa" if n % 2 else "dev") for n in range(60)])
    for name in ("one", "two", "three"):
        fleet.start(name, poll_interval=0.1, queue_poll_interval=0.1, **limits)

    until(lambda: len(set(fleet.ended())) == 60, "all ends", 40)

    qa = {f"nap{n}" for n in range(1, 60, 2)}
    assert most_at_once(fleet, set(fleet.ended())) <= 3
    assert most_at_once(fleet, qa) == 1


def most_at_once(fleet: Fleet, agents: set[str]) -> int:
    """Return how many of some agents were at work at once, at most."""
    at_work = most = 0
    for line in sorted(fleet.lines("start", "end"), key=lambda one: one.at):
        if line.agent in agents:
            at_work += 1 if line.event == "start" else -1
            most = max(most, at_work)
    return most


def test_an_entry_of_a_newer_format_is_left_alone_and_a_pickle_is_not_opened(crew: Fleet, tmp_path: Path) -> None:
    crew.enqueue([QueueEntry("newer"), QueueEntry("bad", priority=1), QueueEntry("good")])
    with crew.queue() as queue:
        rows = queue._ledger.database.rows
        rows("UPDATE {prefix}workflow_status SET application_version = 'agents-2' WHERE workflow_uuid = 'newer:1'")
        rows("UPDATE {prefix}workflow_status SET serialization = 'py_pickle' WHERE workflow_uuid = 'bad:1'")
        code = base64.b64encode(pickle.dumps(Bomb(str(tmp_path / "exploded")))).decode()
        rows("UPDATE {prefix}workflow_input SET inputs = :code WHERE workflow_uuid = 'bad:1'", code=code)
        crew.start()
        until(lambda: crew.ended() == ["good"], "the good one")
        until(lambda: queue.at_work() == {}, "an outcome for the bad one")

        assert queue.waiting() == {"": 1}
    assert not (tmp_path / "exploded").exists()


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def test_a_machine_in_trouble_gives_its_entry_to_another(crew: Fleet) -> None:
    crew.enqueue([QueueEntry("trouble")])
    crew.start("sick", machine="m1")
    until(lambda: crew.lines("start"), "the first try")
    crew.start("well", machine="m2")

    until(lambda: crew.ended() == ["trouble"], "the end elsewhere")
    assert [(line.worker, line.attempt) for line in crew.lines("start")] == [("sick", 1)] * 3 + [("well", 2)]


def test_each_firing_of_a_schedule_is_made_once_however_many_workers_there_are(fleet: Fleet) -> None:
    schedules = {"tick": {"cron": "* * * * * *", "task": "Tick", "role": "qa"}}
    for name in ("one", "two"):
        fleet.start(name, schedules=schedules)

    until(lambda: len(fleet.ended()) >= 3, "three firings", 30)

    assert len(set(fleet.ended())) == len(fleet.ended())


def test_schedules_are_withdrawn_by_name_and_by_a_worker_that_has_none(crew: Fleet) -> None:
    """Regression: the last schedule of a queue could not be withdrawn, and no command told of it."""
    daily = {"cron": "0 3 * * *", "task": "Sweep", "role": "qa"}
    crew.start("one", schedules={"first": daily, "second": daily, "third": daily})
    crew.start("silent")
    with crew.queue() as queue:
        queue.withdraw("second")
        with pytest.raises(NotFound, match="in force are: first, third"):
            queue.withdraw("second")
        assert [one["cron"] for one in queue.schedules().values()] == ["0 3 * * *"] * 2

        crew.start("two", schedules={})

        assert queue.schedules() == {}


def test_a_dead_machine_loses_its_work_to_the_next_attempt_and_the_living_lose_nothing(machines: Fleet) -> None:
    machines.enqueue([QueueEntry("wait1", role="qa"), QueueEntry("wait2", role="pm")])
    first = machines.start("one", machine="m1", worker_roles="qa")
    machines.start("two", machine="m2", worker_roles="pm")
    until(lambda: len(machines.lines("start")) == 2, "both starts")
    machines.start("three", machine="m3")

    machines.kill(first)
    until(lambda: len(machines.lines("start")) == 3, "the next attempt", 15)
    machines.open_gate()
    until(lambda: len(machines.ended()) == 2, "the ends")

    ends = sorted((line.agent, line.attempt, line.worker) for line in machines.lines("end"))
    assert ends == [("wait1", 2, "three"), ("wait2", 1, "two")]


def test_a_machine_that_comes_back_too_late_yields(machines: Fleet) -> None:
    machines.enqueue([QueueEntry("wait1")])
    first = machines.start("one", machine="m1")
    until(lambda: machines.lines("start"), "the start")
    machines.start("two", machine="m2")

    first.send_signal(signal.SIGSTOP)
    until(lambda: len(machines.lines("start")) == 2, "the next attempt", 15)
    first.send_signal(signal.SIGCONT)
    until(lambda: machines.lines("TaskTaken"), "the first one's yielding", 5)
    machines.open_gate()

    until(lambda: machines.lines("end"), "the end")
    assert [(line.worker, line.attempt) for line in machines.lines("end")] == [("two", 2)]
    assert [(line.worker, line.attempt) for line in machines.lines("TaskTaken")] == [("one", 1)]


def test_an_outage_of_the_database_longer_than_the_time_to_live_costs_nobody_anything(tmp_path: Path) -> None:
    with postgresql.running() as own:
        fleet = Fleet(tmp_path, own.database())
        try:
            fleet.enqueue([QueueEntry("wait1", role="qa"), QueueEntry("wait2", role="pm")])
            for name, role in (("one", "qa"), ("two", "pm")):
                fleet.start(name, machine=name, worker_roles=role)
            until(lambda: len(fleet.lines("start")) == 2, "both starts")

            own.stop()
            with pytest.raises(StoreUnavailable, match="does not answer"):
                fleet.enqueue([QueueEntry("never")])
            until(lambda: "agents work on" in fleet.said("one"), "the outage to be noticed")
            late = fleet.start("three", machine="three", wait=False)
            until(lambda: "waiting for it" in fleet.said("three"), "the third to wait for the database")
            silence(2.5)
            own.start()
            until(lambda: "is working" in fleet.said("three"), "the third to be at work", 30)
            silence(3.0)
            fleet.open_gate()

            until(lambda: sorted(fleet.ended()) == ["wait1", "wait2"], "the ends")
            assert len(fleet.lines("start")) == 2
            assert late.poll() is None
        finally:
            fleet.close()


def test_a_worker_that_loses_the_database_before_its_schedules_are_in_force_waits_for_it(
    server: PostgreSql, tmp_path: Path
) -> None:
    """Regression: it ended with a traceback where the server had no connection left for its schedules."""
    import psycopg

    url = server.database().replace(":not-asked-for@", "@")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("CREATE ROLE poor LOGIN CONNECTION LIMIT 2")
        owner.execute(f"GRANT CREATE ON DATABASE {url.rpartition('/')[2]} TO poor".encode())
        fleet = Fleet(tmp_path, url.replace("runner@", "poor@"))
        try:
            worker = fleet.start(wait=False, schedules={"tick": {"cron": "* * * * * *", "task": "Tick", "role": "qa"}})
            until(lambda: "waiting for it" in fleet.said("one") or worker.poll() is not None, "the wait", 30)
            owner.execute("ALTER ROLE poor CONNECTION LIMIT -1")

            until(lambda: fleet.ended() or worker.poll() is not None, "a firing", 30)
            assert worker.poll() is None, fleet.said("one")
            assert "the queue's database is there" in fleet.said("one")
        finally:
            fleet.close()


def silence(seconds: float) -> None:
    """Let time pass in which nothing may happen: the time to live is two seconds."""
    import time

    time.sleep(seconds)


def test_who_only_tells_learns_that_the_database_is_away(tmp_path: Path) -> None:
    url = "postgresql://runner@127.0.0.1:1/queue"
    loaded = config.load({"home": str(tmp_path), "queue": url}, {"HOME": str(tmp_path)})

    with pytest.raises(StoreUnavailable, match="127.0.0.1:1/queue does not answer"), queue_engine.opened(loaded.config):
        pass


def test_the_file_of_the_queue_is_private(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.enqueue([QueueEntry("one")])

    assert (tmp_path / "engine.db").stat().st_mode & 0o777 == 0o600


def test_what_has_ended_is_forgotten_in_the_end_and_what_waits_is_not(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    with fleet.queue() as queue:
        queue.enqueue([QueueEntry("ended"), QueueEntry("waits")])
        queue.cancel("ended:1")

        assert queue._ledger.forget(60) == 0
        assert queue._ledger.forget(-60) == 1
        assert set(queue._ledger.states(["ended:1", "waits:1"])) == {"waits:1"}
