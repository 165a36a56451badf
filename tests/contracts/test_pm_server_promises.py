"""What the embedded Headless PM does better than the original, and that it says so."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from components.headless_pm.app import create_app
from components.headless_pm.settings import Settings
from tests.pm_server import ROOT, Api, PmServer, at_once, running_pm


@pytest.fixture(scope="module")
def pm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PmServer]:
    with running_pm(tmp_path_factory.mktemp("pm")) as server:
        yield server


def test_of_20_lockers_at_once_exactly_one_gets_the_task(pm: PmServer) -> None:
    for number in range(20):
        pm.api.register(f"dev_{number}")

    for _ in range(5):
        task_id = pm.api.task()["id"]
        codes = at_once(pm, 20, lambda api, number, task_id=task_id: api.lock(task_id, f"dev_{number}"))  # type: ignore[misc]
        assert sorted(codes) == [200] + [409] * 19
        assert pm.api.look(task_id)["locked_by"] == f"dev_{codes.index(200)}"


def test_the_holder_may_lock_again(pm: PmServer) -> None:
    task_id = pm.api.task()["id"]
    pm.api.register("dev_1")
    first = pm.api.lock(task_id, "dev_1").json()

    again = pm.api.lock(task_id, "dev_1")

    assert again.status_code == 200
    assert again.json() == first


def test_one_task_can_be_read(pm: PmServer) -> None:
    task = pm.api.task("Read me")

    assert pm.api.get(f"/tasks/{task['id']}").json() == pm.api.look(task["id"])
    assert pm.api.get("/tasks/999999").json()["detail"].startswith("Task with ID 999999 not found.")


def test_only_the_holder_unlocks(pm: PmServer) -> None:
    task_id = pm.api.task()["id"]
    for agent_id in ("dev_1", "dev_2"):
        pm.api.register(agent_id)
    pm.api.lock(task_id, "dev_1")

    assert pm.api.unlock(task_id, "dev_2").status_code == 403
    assert pm.api.look(task_id)["locked_by"] == "dev_1"
    freed = pm.api.unlock(task_id, "dev_1")
    assert (freed.status_code, freed.json()["locked_by"], freed.json()["status"]) == (200, None, "created")
    assert pm.api.unlock(task_id, "dev_1").status_code == 200
    assert pm.api.unlock(999999, "dev_1").status_code == 404
    assert pm.api.unlock(task_id, "nobody").status_code == 404


def test_an_id_is_never_given_out_again_even_after_a_restart(tmp_path: Path) -> None:
    with running_pm(tmp_path) as pm:
        task_id = pm.api.task("gone")["id"]
        pm.api.call("DELETE", f"/tasks/{task_id}", agent_id="pm_1")
        pm.restart()

        assert pm.api.task("new")["id"] > task_id


def test_comments_at_once_all_survive(pm: PmServer) -> None:
    task_id = pm.api.task()["id"]

    codes = at_once(pm, 20, lambda api, number: api.comment(task_id, "dev_1", f"<{number}>"))

    notes = pm.api.look(task_id)["notes"]
    assert codes == [200] * 20
    assert all(f"<{number}>" in notes for number in range(20))


def test_notes_of_a_status_change_keep_the_comments(pm: PmServer) -> None:
    task_id = pm.api.task()["id"]
    pm.api.comment(task_id, "dev_1", "first")

    for _ in range(2):
        pm.api.status(task_id, "pm_1", "under_work", "started")

    assert pm.api.look(task_id)["notes"] == "dev_1: first\n\nstarted"


def test_20_registrations_of_one_agent_at_once_make_one_agent(pm: PmServer) -> None:
    codes = at_once(pm, 20, lambda api, _: api.register("dev_same"))

    assert codes == [200] * 20
    assert sum(agent["agent_id"] == "dev_same" for agent in pm.api.get("/agents").json()) == 1


@pytest.fixture
def waiting(pm: PmServer) -> Iterator[Callable[[], Future[requests.Response]]]:
    """Start a poll that waits for a frontend task; returns its answer to come."""
    for task in pm.api.tasks(role="frontend_dev"):
        pm.api.call("DELETE", f"/tasks/{task['id']}", agent_id="pm_1")
    with ThreadPoolExecutor(60) as pool:

        def poll() -> Future[requests.Response]:
            return pool.submit(Api(pm.url, pm.key).next, "frontend_dev", timeout=25)

        yield poll
        if (tasks := pm.api.next("frontend_dev").json()) is None:
            tasks = pm.api.task(target_role="frontend_dev")  # lets polls that still wait go
        pm.api.call("DELETE", f"/tasks/{tasks['id']}", agent_id="pm_1")


def wakers(pm: PmServer) -> dict[str, Callable[[], Any]]:
    """Return, by name, what makes a frontend task free; each has a task ready that is not free yet."""
    pending, locked, held = (pm.api.task(name, status="pending", target_role="frontend_dev")["id"] for name in "abc")
    for agent_id, task_id in (("dev_w1", locked), ("dev_w2", held)):
        pm.api.register(agent_id)
        pm.api.lock(task_id, agent_id)
        pm.api.status(task_id, "pm_1", "created")
    return {
        "approved": lambda: pm.api.status(pending, "pm_1", "created"),
        "unlocked": lambda: pm.api.unlock(locked, "dev_w1"),
        "agent deleted": lambda: pm.api.call("DELETE", "/agents/dev_w2", requester_agent_id="pm_1"),
    }


@pytest.mark.parametrize("how", ["approved", "unlocked", "agent deleted"])
def test_a_waiting_poll_is_woken_at_once(
    pm: PmServer, waiting: Callable[[], Future[requests.Response]], how: str
) -> None:
    wake = wakers(pm)[how]
    poll = waiting()
    with pytest.raises(TimeoutError):
        poll.result(0.5)

    started = time.monotonic()
    assert wake().status_code == 200
    answer = poll.result(20)

    assert answer.json()["target_role"] == "frontend_dev"
    assert time.monotonic() - started < 2.0


def test_waiting_polls_hold_no_thread(pm: PmServer, waiting: Callable[[], Future[requests.Response]]) -> None:
    polls = [waiting() for _ in range(50)]
    with pytest.raises(TimeoutError):
        polls[-1].result(1.0)

    started = time.monotonic()
    assert pm.api.get("//health").status_code == 200

    assert time.monotonic() - started < 2.0
    task = pm.api.task(target_role="frontend_dev")
    assert {poll.result(20).json()["id"] for poll in polls} == {task["id"]}


def test_a_poll_without_patience_is_answered_at_once(pm: PmServer) -> None:
    started = time.monotonic()

    assert pm.api.next("architect", timeout=0).json() is None
    assert pm.api.get("/tasks/next", role="architect", level="senior", simulate=True).json() is None
    assert time.monotonic() - started < 2.0
    assert pm.api.next("architect", timeout=1).json() is None
    assert 1.0 <= time.monotonic() - started < 5.0


def test_the_server_stops_waiting_when_the_client_hangs_up(tmp_path: Path) -> None:
    app = create_app(Settings(tmp_path / "pm.db", ("k",)))
    query = b"role=qa&level=senior&timeout=600"
    scope = {"type": "http", "method": "GET", "path": "/api/v1/tasks/next", "query_string": query}
    scope |= {"headers": [(b"x-api-key", b"k")], "http_version": "1.1", "scheme": "http", "root_path": ""}
    asked: list[str] = []

    async def receive() -> dict[str, Any]:
        asked.append("http.request" if not asked else "http.disconnect")
        return {"type": asked[-1], "body": b"", "more_body": False}

    async def send(_: Any) -> None:
        pass

    asyncio.run(asyncio.wait_for(app(scope, receive, send), 20))

    assert asked[-1] == "http.disconnect"
    app.state.office.engine.dispose()


def test_a_stop_answers_the_waiting_polls_and_takes_little_time(tmp_path: Path) -> None:
    with running_pm(tmp_path) as pm, ThreadPoolExecutor(1) as pool:
        pm.api.task(status="pending")
        poll = pool.submit(Api(pm.url, pm.key).next, timeout=25)
        with pytest.raises(TimeoutError):
            poll.result(0.5)

        started = time.monotonic()
        code = pm.stop()

        assert code == 0
        assert time.monotonic() - started < 4.0
        assert poll.result(5).json() is None


def silence(pm: PmServer, agent_id: str, seconds: float) -> None:
    """Make the server believe that an agent registered so long ago."""
    with sqlite3.connect(pm.database, timeout=20) as connection:
        connection.execute(
            "UPDATE agent SET last_seen = strftime('%Y-%m-%dT%H:%M:%f000', 'now', ?) WHERE agent_id = ?",
            (f"-{seconds} seconds", agent_id),
        )
    connection.close()


@pytest.mark.parametrize(("minutes", "holder"), [(29, "dev_s"), (31, None)])
def test_a_lock_is_forgotten_after_half_an_hour_of_silence(pm: PmServer, minutes: int, holder: str | None) -> None:
    task_id = pm.api.task()["id"]
    pm.api.register("dev_s")
    pm.api.lock(task_id, "dev_s")
    silence(pm, "dev_s", minutes * 60)
    assert pm.api.look(task_id)["locked_by"] == "dev_s"

    pm.api.next("architect")

    assert pm.api.look(task_id)["locked_by"] == holder


def test_a_silent_holder_that_registers_first_keeps_its_lock(pm: PmServer) -> None:
    task_id = pm.api.task()["id"]
    pm.api.register("dev_late")
    pm.api.lock(task_id, "dev_late")
    silence(pm, "dev_late", 3600)

    pm.api.register("dev_late")

    assert pm.api.look(task_id)["locked_by"] == "dev_late"


def test_the_silence_that_frees_a_lock_can_be_set(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--stale-after", "5") as pm:
        task_id = pm.api.task()["id"]
        pm.api.register("dev_1")
        pm.api.lock(task_id, "dev_1")
        pm.api.status(task_id, "dev_1", "under_work")
        silence(pm, "dev_1", 6)

        assert pm.api.next().json() is None

        orphan = pm.api.look(task_id)
        assert (orphan["status"], orphan["locked_by"]) == ("under_work", None)


def refused(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "components.cli", "pm", "serve", *args],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_port_in_use_is_one_clear_error(pm: PmServer, tmp_path: Path) -> None:
    answer = refused("--port", str(pm.port), "--db", str(tmp_path / "other.db"))

    assert answer.returncode == 2
    assert f"cannot listen on 127.0.0.1:{pm.port}" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_second_server_on_one_database_is_refused(pm: PmServer) -> None:
    answer = refused("--port", "0", "--db", str(pm.database))

    assert answer.returncode == 2
    assert "another server has" in answer.stderr


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = foreign.read_bytes()

    answer = refused("--port", "0", "--db", str(foreign))

    assert "is the database of another program" in answer.stderr
    assert answer.returncode == 75
    assert foreign.read_bytes() == before


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"not a database, and longer than a header " * 100)

    answer = refused("--port", "0", "--db", str(broken))

    assert answer.returncode == 1
    assert f"{broken} cannot be read" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_server_is_reached_by_this_machine_only(pm: PmServer) -> None:
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]

    addresses = {address.split(":")[0] for address in listening if address.endswith(f":{pm.port:04X}")}

    assert "0100007F" in addresses
    assert "00000000" not in addresses
