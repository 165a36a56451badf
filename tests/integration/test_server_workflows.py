"""Workflows over HTTP: a real service, real drivers, runners and agents."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.integration.test_agents import kill_driver
from tests.runner import git
from tests.server_process import Server, serving
from tests.waiting import until

PLAY = """
import re, subprocess
words = re.search(r"<<<\\w+ Description\\n(.*?)\\n\\w+>>>", prompt, re.S)[1].split()
while "slowly" in words and not (here / "gate").exists():
    time.sleep(0.02)
open(words[-1], "w").write("x\\n")
subprocess.run(["git", "add", "-A"], check=True)
subprocess.run(["git", "commit", "-qm", "Write it"], check=True)
print("wrote", words[-1], "beside", *sorted(set(os.listdir(".")) - {".git", "README", words[-1]}))
"""

DEEP: list[Any] = json.loads("[" * 600 + "]" * 600)
JSON = {"Content-Type": "application/json"}

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), play=PLAY) as made:
        yield made
        (made.directory / "gate").touch()
        kill_driver(made.home)


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def told(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def workflow_in(api: httpx.Client, workflow_id: str, status: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        shown = told(api.get(f"/api/workflows/{workflow_id}"))
        return shown if shown["status"] == status else None

    found = until(look, f"the workflow {status}", 60)
    assert found is not None
    return found


def agent_in(api: httpx.Client, agent_id: str, status: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        shown = told(api.get(f"/api/agents/{agent_id}"))
        return shown if shown["status"] == status else None

    found = until(look, f"the agent {status}", 60)
    assert found is not None
    return found


def test_a_workflow_is_put_together_run_and_approved(api: httpx.Client, server: Server) -> None:
    made = told(
        api.post("/api/workflows", json={"name": "calculator", "nodes": [{"id": "a", "task": "write a.txt"}]}), 201
    )
    place = f"/api/workflows/{made['id']}"
    told(api.post(f"{place}/nodes", json={"id": "gate", "kind": "approval", "needs": ["a"]}), 201)
    whole = told(api.post(f"{place}/nodes", json={"id": "b", "task": "write b.txt", "needs": ["a", "gate"]}), 201)
    assert [(one["node"], one["needs"]) for one in whole["agents"]] == [
        ("a", []),
        ("gate", ["a"]),
        ("b", ["a", "gate"]),
    ]
    assert whole["status"] == "pending"

    assert told(api.post(f"{place}/run"), 202)["status"] == "active"
    gate = next(one["id"] for one in whole["agents"] if one["node"] == "gate")
    agent_in(api, gate, "awaiting")
    assert told(api.post(f"{place}/nodes/gate/approve", json={"comment": "Go"}))["result"] == "Go"
    ended = workflow_in(api, made["id"], "completed")

    last = ended["agents"][-1]
    assert last["result"].startswith("wrote b.txt beside a.txt")
    assert git(server.repository, "ls-tree", "--name-only", last["branch"]).split() == ["README", "a.txt", "b.txt"]
    assert "classDef completed" in ended["mermaid"]
    assert ended["counts"] == {"completed": 3}
    assert made["id"] in [one["id"] for one in told(api.get("/api/workflows?status=completed"))["workflows"]]
    assert told(api.post(f"{place}/run"), 202)["status"] == "completed"


def test_a_workflow_is_cancelled_and_done_again(api: httpx.Client, server: Server) -> None:
    nodes = [{"id": "a", "task": "slowly write a.txt"}, {"id": "b", "task": "write b.txt", "needs": ["a"]}]
    made = told(api.post("/api/workflows", json={"name": "again", "nodes": nodes}), 201)
    place = f"/api/workflows/{made['id']}"
    told(api.post(f"{place}/run"), 202)
    first = made["agents"][0]["id"]
    agent_in(api, first, "active")

    assert told(api.post(f"{place}/cancel")) == {"status": "cancelled", "at_work": 1}
    agent_in(api, first, "cancelled")
    assert told(api.post(f"{place}/run"), 409)["kind"] == "IllegalMove"
    (server.directory / "gate").touch()

    assert told(api.post(f"{place}/retry"), 202) == {"agents": 2}
    ended = workflow_in(api, made["id"], "completed")
    assert [one["attempt"] for one in ended["agents"]] == [2, 2]
    assert "is completed already" in told(api.post(f"{place}/cancel"), 409)["error"]


def test_an_agent_is_spawned_from_another_ones_work(api: httpx.Client) -> None:
    parent = told(api.post("/api/agents", json={"task": "write spec.md", "role": "architect"}), 202)
    child = told(api.post("/api/agents", json={"task": "write code.py", "parent": parent["id"]}), 202)

    ended = agent_in(api, child["id"], "completed")

    assert ended["result"].startswith("wrote code.py beside spec.md")
    assert ended["needs"] == [parent["id"]]
    assert {parent["id"], child["id"]} <= {one["id"] for one in told(api.get("/api/agents"))["agents"]}


def test_the_same_key_again_finds_what_it_made(api: httpx.Client) -> None:
    """Regression: who did not hear the answer, and asked again, made a second agent."""
    key = {"Idempotency-Key": "order 17"}
    graph = {"name": "keyed", "nodes": [{"id": "gate", "kind": "approval"}]}

    with ThreadPoolExecutor(4) as pool:
        agents = pool.map(lambda _: told(api.post("/api/agents", json={"task": "x.txt"}, headers=key), 202), range(4))
    workflows = [told(api.post("/api/workflows", json=graph, headers=key), 201) for _ in range(2)]

    assert len({one["id"] for one in agents}) == 1
    assert workflows[0]["id"] == workflows[1]["id"]


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([{"id": "a", "task": "x", "needs": ["a"]}], "cycle: a -> a"),
        ([{"id": "a", "task": "x", "needs": ["b"]}], "it needs 'b', and there is no such node"),
        ([{"id": "a", "task": "x"}, {"id": "a", "task": "x"}], "2 nodes have this id"),
        ([{"id": "a", "taks": "x"}], "did you mean task?"),
        ([{"id": "a", "task": "x", "limits": {"agent_command": "rm"}}], "agent_command: not known"),
        ([5], "nodes"),
        ([{"id": "a", "task": "b\ud800"}], "node 'a', task: it has half a character"),
        ([{"id": "a", "title": "b\ud800", "task": "x"}], "node 'a', title: it has half a character"),
        ([{"id": "a", "task": "x", "over": [math.nan]}], "node 'a', over, 0: nan is no number"),
        (
            [{"id": "a", "task": "x", "limits": {"max_budget_usd": math.nan}}],
            "limits, max_budget_usd: nan is no number",
        ),
        ([{"id": "a", "task": "x", "limits": {"executor": "nope"}}], "limits.executor: 'nope' is not known"),
        ([{"id": "a", "task": "x", "over": DEEP}], "node 'a', over: more than 50 lists and tables"),
    ],
)
def test_a_graph_with_a_mistake_is_refused(api: httpx.Client, nodes: list[Any], said: str) -> None:
    body = json.dumps({"name": "bad", "nodes": nodes})

    assert said in told(api.post("/api/workflows", content=body, headers=JSON), 400)["error"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"limits": {"max_budget_usd": math.nan}}, "limits.max_budget_usd: nan is no number"),
        ({"limits": {"executor": "nope"}}, "limits.executor: 'nope' is not known"),
        ({"limits": {"max_turns": DEEP}}, "limits.max_turns: more than 50 lists and tables"),
    ],
)
def test_an_agent_with_a_mistake_is_refused(api: httpx.Client, given: dict[str, Any], said: str) -> None:
    body = json.dumps({"task": "x", **given})

    assert said in told(api.post("/api/agents", content=body, headers=JSON), 400)["error"]


def test_what_is_not_there_or_not_so_is_told(api: httpx.Client) -> None:
    empty = told(api.post("/api/workflows", json={"name": "empty"}), 201)
    place = f"/api/workflows/{empty['id']}"

    assert "has no node yet" in told(api.post(f"{place}/run"), 400)["error"]
    assert told(api.post(f"{place}/retry"), 409)["kind"] == "IllegalMove"
    told(api.get("/api/workflows/feed"), 404)
    told(api.get("/api/agents/feed"), 404)
    told(api.post(f"{place}/nodes/a/approve"), 404)
    told(api.post("/api/agents", json={"task": " "}), 400)
    told(api.post("/api/agents", json={"task": "x", "parent": "feed"}), 404)
    told(api.post(f"{place}/nodes", json={"id": "a"}), 400)


def test_the_service_sees_to_a_workflow_whose_driver_was_killed(api: httpx.Client, server: Server) -> None:
    (server.directory / "gate").unlink(missing_ok=True)
    nodes = [{"id": "one", "task": "slowly one.txt"}, {"id": "two", "task": "two.txt", "needs": ["one"]}]
    made = told(api.post("/api/workflows", json={"name": "Killed", "nodes": nodes}), 201)
    told(api.post(f"/api/workflows/{made['id']}/run"), 202)
    until(lambda: workflow_in(api, made["id"], "active")["agents"][0]["status"] == "active", "the first at work", 60)

    assert kill_driver(server.home) == 1
    (server.directory / "gate").touch()

    assert workflow_in(api, made["id"], "completed")["counts"] == {"completed": 2}
