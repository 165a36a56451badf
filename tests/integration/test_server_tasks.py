"""The board and the agent runtime, over HTTP against a real service with real runners and agents."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from components import background, durable, typed_task
from components.board_task import BoardTask
from components.config import load
from components.execution import WorkspaceEntry
from components.git_worktree import GitWorktree
from components.model import Task
from components.server import board_runs, launching
from components.server.api import make_core
from components.states import Complexity, WorkspaceKind
from components.store import Store
from components.task_persistence import host_name
from tests import git_http
from tests.runner import git, make_repository
from tests.server_process import Server, serving
from tests.waiting import until

WAIT = "import time\nprint('working', flush=True)\nwhile not (here / 'gate').exists(): time.sleep(0.02)\n"
LONG = 60.0

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that starts nothing."""
    with serving(tmp_path_factory.mktemp("standing")) as made:
        yield made


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def task_in(api: httpx.Client, status: str, task_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        told: dict[str, Any] = api.get(f"/api/tasks/{task_id}").json()
        return told if told["status"] == status else None

    found = until(look, f"the task in {status}", LONG)
    assert found is not None
    return found


def new_task(api: httpx.Client, **fields: Any) -> str:
    answer = api.post("/api/tasks", json={"title": "Paint the door", **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_a_task_goes_from_todo_through_running_to_review(server: Server, api: httpx.Client) -> None:
    server.play("print('\\n'.join(f'line {n}' for n in range(60)))\n" + WAIT)
    task = new_task(api, context="It is green now; make it red.", docs_path="docs/door.md")

    answer = api.post(f"/api/tasks/{task}/run")
    running = api.get(f"/api/tasks/{task}").json()
    os.kill(answer.json()["pid"], 0)
    until((server.directory / "prompt").exists, "the agent's start", LONG)
    (server.directory / "gate").touch()
    done = task_in(api, "review", task)

    assert answer.status_code == 200
    assert answer.json()["status"] == running["status"] == "running"
    assert running["pid"] == answer.json()["pid"]
    prompt = (server.directory / "prompt").read_text()
    assert all(words in prompt for words in ("Paint the door", "make it red", "docs/door.md"))
    assert done["output"] == [*(f"line {n}" for n in range(11, 60)), "working"]
    assert (done["exit_code"], done["error"], done["pid"]) == (0, "", None)


def test_a_failure_puts_a_task_back_to_todo_with_why(server: Server, api: httpx.Client) -> None:
    server.play("print('no paint'); sys.exit(3)")
    task = new_task(api)

    api.post(f"/api/tasks/{task}/run")
    back = until(lambda: (told := api.get(f"/api/tasks/{task}").json())["error"] and told, "an error", LONG)

    assert (back["status"], back["exit_code"], back["output"]) == ("todo", 3, ["no paint"])
    assert "agent_failed" in back["error"]


def test_an_agent_that_is_not_installed_is_told_and_the_task_is_in_todo_again(tmp_path: Path) -> None:
    with serving(tmp_path, AGENT_COMMAND=f"{tmp_path}/no-such-agent") as server, server.client() as api:
        task = new_task(api)

        api.post(f"/api/tasks/{task}/run")
        back = until(lambda: (told := api.get(f"/api/tasks/{task}").json())["error"] and told, "an error", LONG)

        assert back["status"] == "todo"
        assert "no-such-agent" in back["error"]


def test_running_answers_404_for_an_unknown_task_400_for_one_that_is_not_in_todo_409_where_one_runs(
    server: Server, api: httpx.Client
) -> None:
    server.play(WAIT)
    first, second = new_task(api), new_task(api)
    assert api.post(f"/api/tasks/{first}/run").status_code == 200

    again, busy = api.post(f"/api/tasks/{first}/run"), api.post(f"/api/tasks/{second}/run")
    unknown = api.post("/api/tasks/0123/run")

    assert [unknown.status_code, again.status_code, busy.status_code] == [404, 400, 409]
    assert busy.json()["running"] == first
    assert first in busy.json()["error"]
    assert api.delete(f"/api/tasks/{first}").status_code == 409
    assert api.delete(f"/api/tasks/{second}").status_code == 204
    assert api.get(f"/api/tasks/{second}").status_code == 404


def test_of_many_calls_at_once_one_runs_the_task(server: Server, api: httpx.Client) -> None:
    from concurrent.futures import ThreadPoolExecutor

    server.play(WAIT)
    tasks = [new_task(api) for _ in range(3)]

    with ThreadPoolExecutor(9) as pool:
        codes = list(pool.map(lambda n: api.post(f"/api/tasks/{tasks[n % 3]}/run").status_code, range(9)))

    assert sorted(codes)[0] == 200
    assert codes.count(200) == 1
    assert len(api.get("/api/tasks?status=running").json()["tasks"]) == 1


def test_stopping_ends_the_agent_with_all_that_it_started(server: Server, api: httpx.Client) -> None:
    server.play(
        "import signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '300'])\n(here / 'pids').write_text(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(300)"
    )
    task = new_task(api)
    assert api.post(f"/api/tasks/{task}/stop").status_code == 404
    api.post(f"/api/tasks/{task}/run")
    pids = until(lambda: (server.directory / "pids").exists() and (server.directory / "pids").read_text(), "pids", LONG)

    answer = api.post(f"/api/tasks/{task}/stop")
    back = task_in(api, "todo", task)

    assert (answer.status_code, answer.json()) == (200, {"status": "stopping"})
    assert "cancelled" in back["error"]
    assert not [pid for pid in pids.split() if _lives(int(pid))]
    assert api.post("/api/tasks/nothing/stop").status_code == 404


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_service_that_is_killed_loses_nothing(server: Server, api: httpx.Client) -> None:
    server.play(WAIT)
    task = new_task(api)
    api.post(f"/api/tasks/{task}/run")
    until((server.directory / "prompt").exists, "the agent's start", LONG)

    server.stop(signal.SIGKILL)
    server.start()
    meanwhile = api.get(f"/api/tasks/{task}").json()
    server.stop(signal.SIGKILL)
    (server.directory / "gate").touch()
    until(lambda: list((server.home / "tasks").glob("*/verdict.json")), "the end while nobody served", LONG)
    server.start()

    assert meanwhile["status"] == "running"
    assert task_in(api, "review", task)["output"] == ["working"]


def test_an_execution_tells_what_it_changed(server: Server, api: httpx.Client) -> None:
    server.play("open('door', 'w').write('red\\n'); os.system('git add -A; git commit -qm Paint'); print('painted')")

    started = api.post(
        "/api/agent-runtime/execute", json={"worker": "backend_dev", "repository": "shop", "task": "Paint the door"}
    )
    address = f"/api/agent-runtime/executions/{started.json()['execution_id']}"
    done = until(lambda: (told := api.get(address).json())["is_over"] and told, "its end", LONG)

    assert started.status_code == 202
    assert (done["status"], done["project"], done["door"]) == ("succeeded", "shop", "serve")
    assert done["output"]["artifacts"] == [{"path": "door", "change": "added"}]
    assert "+red" in done["output"]["diff"]
    assert done["output"]["log"] == ["painted"]
    assert [move["after"] for move in done["timeline"]][-1] == "succeeded"
    assert api.post(f"{address}/cancel").status_code == 409
    listed = api.get("/api/agent-runtime/executions?text=door&status=succeeded").json()
    assert [one["id"] for one in listed["executions"]] == [done["id"]]


def test_what_an_agent_has_cost_is_told_while_it_works(server: Server, api: httpx.Client) -> None:
    said = {
        "type": "assistant",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-opus-4-8",
            "content": [{"type": "text", "text": "I shall paint it."}],
            "usage": {"input_tokens": 100_000, "output_tokens": 5_000},
        },
        "session_id": "f7b23c21-f484-4a4e-8fd6-d5c5bd24a18a",
    }
    server.play(f"print({json.dumps(json.dumps(said))}, flush=True)\n" + WAIT)
    order = {"worker": "backend_dev", "repository": "shop", "task": "Paint"}
    address = (
        f"/api/agent-runtime/executions/{api.post('/api/agent-runtime/execute', json=order).json()['execution_id']}"
    )

    told = until(lambda: (now := api.get(address).json())["cost_usd"] and now, "a cost", LONG)

    assert told["status"] == "running"
    assert 0.1 < told["cost_usd"] < 5.0
    assert told["is_whole_cost"]


def test_a_private_repository_elsewhere_is_cloned_worked_in_and_pushed_to(tmp_path: Path) -> None:
    """Once every order for a repository elsewhere was refused: its clone was looked for before it was made."""
    secret, token = "ghp-not-a-real-one-4711", tmp_path / "token"
    token.write_text(secret)
    token.chmod(0o600)
    play = "open('door', 'w').write('red\\n'); os.system('git add -A; git commit -qm Paint')"
    with git_http.serving(tmp_path / "served") as remote:
        bare = remote.make(make_repository(tmp_path / "source"))
        remote.password = secret
        order = {"worker": "backend_dev", "repository": remote.url(), "task": "Paint the door"}
        env = {"HEADLESS_PM_GIT_TOKENS": f"127.0.0.1={token}", "HEADLESS_PM_REPOSITORY_ROOTS": str(tmp_path)}
        with serving(tmp_path, play=play, **env) as server, server.client() as api:
            answer = api.post("/api/agent-runtime/execute", json=order)
            assert answer.status_code == 202, answer.text
            address = f"/api/agent-runtime/executions/{answer.json()['execution_id']}"
            done = until(lambda: (told := api.get(address).json())["is_over"] and told, "its end", LONG)
            own = api.post("/api/agent-runtime/execute", json={**order, "repository": "shop", "workspace": "clone"})
            assert own.status_code == 202, own.text
            place = f"/api/agent-runtime/executions/{own.json()['execution_id']}"
            until(lambda: api.get(place).json()["is_over"], "the end of the other", LONG)
            listed = api.get("/api/agent-runtime/workspaces").json()["workspaces"]
            doors = [(one["kind"], (Path(one["path"]) / "door").exists()) for one in listed]
            kept = [path for path in server.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]

    assert done["status"] == "succeeded", done["error"]
    assert ("clone", True) in doors, "a clone of its own stays with what was done in it"
    assert git(bare, "show", f"{done['branch']}:door") == "red"
    assert kept == []
    assert secret not in json.dumps([done, listed])


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"worker": None}, 400, "worker"),
        ({"task": None}, 400, "task"),
        ({"task": "  "}, 400, "task"),
        ({"colour": "red"}, 400, "colour"),
        ({"timeout_ms": "soon"}, 400, "timeout_ms"),
        ({"worker": "painter"}, 404, "painter"),
        ({"repository": "../../etc"}, 404, "etc"),
        ({"template": "poem"}, 404, "poem"),
        ({"repository": "ext::sh -c touch"}, 400, "ext::"),
        ({"repository": "file:///etc"}, 400, "file:"),
        ({"repository": "--upload-pack=touch"}, 400, "upload-pack"),
        ({"repository": "/etc"}, 404, "/etc"),
        ({"repository": "https://user:secret@example.org/a"}, 400, "git_tokens"),
        ({"branch": "../../x"}, 400, "../../x"),
        ({"model": "--dangerously-skip-permissions"}, 400, "model"),
        ({"budget_usd": "much"}, 400, "budget_usd"),
    ],
)
def test_a_bad_order_is_refused_by_the_name_of_what_is_wrong(
    standing: Server, change: dict[str, Any], status: int, named: str
) -> None:
    order = {"worker": "backend_dev", "repository": "shop", "task": "Paint", **change}
    order = {name: value for name, value in order.items() if value is not None}

    with standing.client() as api:
        answer = api.post("/api/agent-runtime/execute", json=order)

    assert answer.status_code == status, answer.text
    assert named in answer.json()["error"]
    assert status == 404 or answer.json()["field"] == next(iter(change))


def test_a_workspace_with_unsaved_work_goes_only_by_force_and_its_work_is_kept(
    server: Server, api: httpx.Client
) -> None:
    server.play("open('door', 'w').write('red\\n')\n" + WAIT)
    order = {"worker": "backend_dev", "repository": "shop", "task": "Paint"}
    started = api.post("/api/agent-runtime/execute", json=order).json()
    address = f"/api/agent-runtime/executions/{started['execution_id']}"
    until((server.directory / "prompt").exists, "the agent's start", LONG)
    assert api.post(f"{address}/cancel").status_code == 202
    until(lambda: api.get(address).json()["status"] == "cancelled", "its end", LONG)
    listed = api.get("/api/agent-runtime/workspaces").json()["workspaces"]
    place = f"/api/agent-runtime/workspaces/{listed[0]['id']}"

    refused = until(lambda: "in use" not in (told := api.delete(place)).text and told, "the runner's end", LONG)
    assert refused
    forced = api.delete(f"{place}?force")

    assert refused.status_code == 409
    assert "unsaved" in refused.text or "door" in refused.text
    assert forced.status_code == 200, forced.text
    assert forced.json()["snapshot"].startswith("refs/")
    assert not Path(listed[0]["path"]).exists()
    assert api.delete("/api/agent-runtime/workspaces/..%2F..%2Fetc").status_code == 404


def test_a_task_whose_runner_is_just_being_started_is_left_alone(tmp_path: Path) -> None:
    """Once, whoever looked between the files of a run and its runner put the task back while the agent worked."""
    repository = make_repository(tmp_path / "shop")
    loaded = load({"home": str(tmp_path / "home"), "repository": str(repository)}, {})
    core = make_core(loaded, {}, Store(loaded.config.store))
    task = core.board.add(
        BoardTask("a" * 32, "Paint", repository=str(repository), role="backend_dev", complexity="minor")
    )
    claim = background.new_claim()
    core.board.take(task.id, claim, core.host, 1)
    typed_task.save(core.home, launching.typed(core, board_runs.order_of(core, task), claim))

    board_runs.settle(core)
    before = core.board.get(task.id)
    core.board.note(task.id, claim, pid=1 << 22)
    board_runs.settle(core)
    after = core.board.get(task.id)
    core.store.close()

    assert (before.status, before.error) == ("running", "")
    assert (after.status, after.error) == ("todo", "its runner ended without a word")


def test_stale_workspaces_go_by_themselves_but_for_those_with_unsaved_work(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "shop")
    store = Store(f"sqlite:///{durable.make_directory(tmp_path / 'home') / 'store.db'}")
    made = []
    for number in range(2):
        task = Task(f"t{number}", "Paint", complexity=Complexity.MAJOR)
        place = GitWorktree(repository).open(task, f"{number}" * 32, 1)
        made.append(place.path)
        where = (host_name(), str(place.path), WorkspaceKind.WORKTREE, str(repository), "completed")
        store.keep_workspace(WorkspaceEntry(*where, place.branch, place.base_commit, f"{number}" * 32))
    store.close()
    (made[1] / "door").write_text("red")

    with serving(tmp_path, HEADLESS_PM_KEEP_WORKSPACES_DAYS="0"):
        until(lambda: not made[0].exists(), "the removal of what is stale", LONG)

    with serving(tmp_path) as server, server.client() as api:

        def left() -> bool:
            listed = api.get("/api/agent-runtime/workspaces").json()["workspaces"]
            return [one["path"] for one in listed] == [str(made[1])]

        until(left, "the end of the removal, which a kill may have interrupted", LONG)
    assert (made[1] / "door").read_text() == "red"


def test_the_board_is_kept_by_the_store(server: Server, api: httpx.Client) -> None:
    task = new_task(api)

    with sqlite3.connect(server.home / "store.db") as database:
        rows = database.execute("SELECT id, status FROM board_tasks").fetchall()
    database.close()

    assert rows == [(task, "todo")]


def test_where_there_are_several_projects_one_is_to_be_named(tmp_path: Path) -> None:
    """Once it was a 404 for no name; the counts were of all projects, and a day that is none cost nothing."""
    (tmp_path / "home").mkdir(mode=0o700)
    config = tmp_path / "home" / "config.yaml"
    config.write_text(f"projects: {{site: {tmp_path / 'shop'}, site2: {make_repository(tmp_path / 'site2')}}}\n")
    config.chmod(0o600)
    with serving(tmp_path) as server, server.client() as api:
        refused = api.post("/api/tasks", json={"title": "Where?"})
        made = api.post("/api/tasks", json={"title": "Here", "project": "site"})
        counts = {name: api.get("/api/tasks", params={"project": name}).json()["counts"] for name in ("site", "zz", "")}
        no_day = api.get("/api/costs", params={"since": "x"})

    assert (refused.status_code, refused.json()["field"]) == (400, "project")
    assert "site, site2" in refused.json()["error"]
    assert made.status_code == 201
    assert [counts[name].get("todo", 0) for name in ("site", "zz", "")] == [1, 0, 1]
    assert (no_day.status_code, no_day.json()["field"]) == (400, "since")
