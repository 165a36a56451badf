"""The limits of the service, whoever comes at once or again; and that nothing stays behind of what was refused."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from components import background, typed_task
from components.board_task import BoardStatus, BoardTask
from components.config import load
from components.errors import TooManyTasks
from components.model import Task
from components.server import board_runs
from components.server.api import make_core
from components.states import Door
from components.store import Store
from components.typed_task import TypedTask
from tests.runner import make_repository
from tests.server_process import Server, serving
from tests.waiting import until

WAIT = "import time\nwhile not (here / 'gate').exists(): time.sleep(0.02)\n"
LONG = 60.0
ROOM = 2
RUNTIME = "/api/agent-runtime"
ORDER = {"worker": "backend_dev", "repository": "shop", "task": "Paint the door"}

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("limits"), HEADLESS_PM_MAX_CONCURRENT_AGENTS=str(ROOM)) as made:
        yield made


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    """A client of a service on which nothing runs before, and nothing after."""
    server.play(WAIT)
    (server.directory / "gate").unlink(missing_ok=True)
    with server.client() as client:
        yield client
        (server.directory / "gate").touch()
        until(lambda: not background.running(server.home), "the end of all runners", LONG)


def shown(api: httpx.Client, execution: str) -> dict[str, Any]:
    told: dict[str, Any] = api.get(f"{RUNTIME}/executions/{execution}").json()
    return told


def known(server: Server, api: httpx.Client) -> set[str]:
    """Return the executions that anything tells of: the home, and the list."""
    listed = api.get(f"{RUNTIME}/executions?limit=500").json()["executions"]
    return {*typed_task.claims(server.home), *(one["id"] for one in listed)}


def ended(server: Server, api: httpx.Client, play: str = "print('done')") -> dict[str, Any]:
    """Return a task of the board that an agent has done."""
    server.play(play)
    task = api.post("/api/tasks", json={"title": "Paint"}).json()["id"]
    until(lambda: api.post(f"/api/tasks/{task}/run").is_success, "room for it: the task before is settled", LONG)
    found = until(lambda: (told := api.get(f"/api/tasks/{task}").json())["status"] == "review" and told, "end", LONG)
    until(lambda: not background.running(server.home), "the runner's end", LONG)
    server.play(WAIT)
    return dict(found)


def left_behind(server: Server) -> str:
    """Leave what a kill between the file of an order and its runner leaves, a while ago."""
    claim = background.new_claim()
    task = background.task_of(claim, "Left", "Paint", role="backend_dev", level="senior", complexity="major")
    directory = typed_task.save(
        server.home, TypedTask(claim, task, server.repository, "shop", {"evidence": "none"}, door=Door.SERVE)
    )
    long_ago = time.time() - 60
    os.utime(directory, (long_ago, long_ago))
    return claim


def test_of_orders_that_come_at_once_no_more_run_than_may_and_nothing_is_left_of_the_others(
    server: Server, api: httpx.Client
) -> None:
    """Once they were counted before they were started: ten of fourteen ran where five may, the others stayed listed."""
    before = known(server, api)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.post(f"{RUNTIME}/execute", json=ORDER), range(8)))

    started = {one.json()["execution_id"] for one in answers if one.status_code == 202}
    refused = [one for one in answers if one.status_code == 409]
    assert (len(started), len(refused)) == (ROOM, 8 - ROOM)
    assert all("max_concurrent_agents" in one.json()["error"] for one in refused)
    assert known(server, api) - before == started


def test_an_execution_at_work_tells_its_processes(server: Server, api: httpx.Client) -> None:
    """Once shim and agent were null for as long as it ran: the history hears of them late."""
    started = api.post(f"{RUNTIME}/execute", json=ORDER).json()

    told = until(lambda: all((now := shown(api, started["execution_id"]))["pids"].values()) and now, "its pids", LONG)

    assert told["pids"]["runner"] == started["pid"]
    assert Path(f"/proc/{told['pids']['agent']}/cmdline").read_bytes().find(b"agent.py") > 0
    assert told["host_name"] == os.uname().nodename


def test_restarting_the_run_of_a_board_task_is_that_task_running_again_within_its_limit(
    server: Server, api: httpx.Client
) -> None:
    """Once it passed both limits, and the task stayed where it was with the run it had."""
    done = ended(server, api)
    address = f"{RUNTIME}/executions/{done['execution_id']}/restart"
    other = api.post("/api/tasks", json={"title": "Sand"}).json()["id"]
    api.post(f"/api/tasks/{other}/run")

    busy = api.post(address)
    meanwhile = api.get(f"/api/tasks/{done['id']}").json()
    api.post(f"/api/tasks/{other}/stop")
    until(lambda: api.get(f"/api/tasks/{other}").json()["status"] == "todo", "the other's end", LONG)
    again = api.post(address)
    running = api.get(f"/api/tasks/{done['id']}").json()

    assert (busy.status_code, busy.json()["running"]) == (409, other)
    assert {name: meanwhile[name] for name in meanwhile if name != "updated_at"} == {
        name: done[name] for name in done if name != "updated_at"
    }
    assert again.status_code == 202
    assert (running["status"], running["execution_id"]) == ("running", again.json()["execution_id"])
    assert running["pid"] == again.json()["pid"]


def test_restarting_an_older_run_of_a_board_task_is_that_task_running_too(server: Server, api: httpx.Client) -> None:
    """Once only the last run was known for the task's: an older one ran as an order, and the task did not follow it."""
    done = ended(server, api)
    address, task = f"{RUNTIME}/executions/{done['execution_id']}/restart", f"/api/tasks/{done['id']}"

    def followed(execution: str) -> dict[str, Any]:
        def has_ended() -> dict[str, Any] | None:
            told: dict[str, Any] = api.get(task).json()
            return told if (told["status"], told["execution_id"]) == ("review", execution) else None

        return until(has_ended, "the task's end", LONG) or {}

    second = api.post(address).json()["execution_id"]
    refused = api.post(address)
    (server.directory / "gate").touch()
    followed(second)
    older = api.post(address)
    assert older.status_code == 202, older.text
    followed(older.json()["execution_id"])
    gone = api.delete(task)
    order = api.post(address)

    assert (refused.status_code, refused.json()["kind"]) == (409, "StillRunning")
    assert f"as execution {second[:8]}" in refused.json()["error"]
    assert f"POST {task}/stop" in refused.json()["error"]
    assert (gone.status_code, order.status_code) == (204, 202)


def test_restarting_an_order_waits_for_room_like_any_other(server: Server, api: httpx.Client) -> None:
    server.play("print('done')")
    first = api.post(f"{RUNTIME}/execute", json=ORDER).json()["execution_id"]
    until(lambda: shown(api, first)["is_over"], "its end", LONG)
    until(lambda: not background.running(server.home), "the runner's end", LONG)
    server.play(WAIT)
    full = [api.post(f"{RUNTIME}/execute", json=ORDER).status_code for _ in range(ROOM)]
    before = known(server, api)

    refused = api.post(f"{RUNTIME}/executions/{first}/restart")

    assert full == [202] * ROOM
    assert refused.status_code == 409
    assert "max_concurrent_agents" in refused.json()["error"]
    assert known(server, api) == before


def test_an_order_that_nobody_ever_started_can_be_cancelled_and_is_over_then(server: Server, api: httpx.Client) -> None:
    """Once it was listed as at work for ever: `cancel` said that it was over, its page that it was pending."""
    claim = left_behind(server)
    before = shown(api, claim)

    answer = api.post(f"{RUNTIME}/executions/{claim}/cancel")
    after = until(lambda: (told := shown(api, claim))["reason"] and told, "its end", LONG)

    assert (before["status"], before["is_over"], answer.status_code) == ("interrupted", True, 202)
    assert (after["status"], after["reason"]) == ("cancelled", "cancelled")
    assert api.post(f"{RUNTIME}/executions/{claim}/cancel").status_code == 409
    listed = f"{RUNTIME}/executions?status=cancelled"
    until(lambda: claim in [one["id"] for one in api.get(listed).json()["executions"]], "it in the list", LONG)


def test_cancel_at_a_terminal_ends_what_nobody_ever_started_even_where_its_repository_is_gone(server: Server) -> None:
    claim = left_behind(server)
    file = server.home / "tasks" / claim / "task.json"
    file.write_text(file.read_text().replace(str(server.repository), str(server.directory / "gone")))

    words = [
        subprocess.run(
            [*server.argv()[:3], "cancel", claim],
            env=server.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for _ in range(2)
    ]

    assert ["cancelled" in words[0], "was over already" in words[1]] == [True, True]
    with server.client() as api:
        assert shown(api, claim)["status"] == "cancelled"


def test_a_task_of_the_board_whose_run_is_refused_is_as_it_was(tmp_path: Path) -> None:
    """Once it kept the id of the refused run, of which there is nothing."""
    repository = make_repository(tmp_path / "shop")
    given = {"home": str(tmp_path / "home"), "repository": str(repository), "max_parallel_tasks": "1"}
    loaded = load(given, {})
    core = make_core(loaded, {}, Store(loaded.config.store))
    known_task = BoardTask("a" * 32, "Paint", repository=str(repository), role="backend_dev", complexity="minor")
    before = core.board.add(known_task)
    claim = background.new_claim()
    directory = typed_task.save(core.home, TypedTask(claim, Task("t1", "Sand"), repository, "shop"))

    with (directory / "alive").open("w") as alive:
        import fcntl

        fcntl.flock(alive, fcntl.LOCK_EX)
        with pytest.raises(TooManyTasks):
            board_runs.run(core, before.id)
    after = core.board.get(before.id)
    core.store.close()

    assert (after.status, after.execution_id, after.started_at) == (BoardStatus.TODO, "", "")
    assert typed_task.claims(core.home) == [claim]
