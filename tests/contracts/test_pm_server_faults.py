"""Faults between a client and a server that works, switched on at run time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.pm_server import PmServer, running_pm


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PmServer]:
    with running_pm(tmp_path_factory.mktemp("pm"), "--faults") as running:
        yield running


@pytest.fixture
def pm(server: PmServer) -> Iterator[PmServer]:
    server.api.register("dev_1")
    yield server
    server.api.forgive()


def test_faults_exist_only_where_they_were_asked_for(tmp_path: Path) -> None:
    with running_pm(tmp_path) as pm:
        assert pm.api.call("POST", "//_faults", {"kind": "html"}).status_code == 404


def test_faults_need_the_key_and_known_words(pm: PmServer) -> None:
    assert requests.post(f"{pm.url}/_faults", json={"kind": "html"}, timeout=10).status_code == 401
    assert pm.api.call("POST", "//_faults", {"kind": "earthquake"}).status_code == 422
    assert pm.api.call("POST", "//_faults", {"kind": "html", "onn": "lock"}).status_code == 422


def acts(pm: PmServer, task_id: int) -> dict[str, Any]:
    return {
        "lock": lambda: pm.api.lock(task_id, "dev_1"),
        "status": lambda: pm.api.status(task_id, "dev_1", "under_work"),
        "comment": lambda: pm.api.comment(task_id, "dev_1", "said"),
    }


def done(task: dict[str, Any], act: str) -> bool:
    seen = {"lock": task["locked_by"], "status": task["status"] == "under_work", "comment": task["notes"]}
    return bool(seen[act])


@pytest.mark.parametrize("act", ["lock", "status", "comment"])
@pytest.mark.parametrize(("kind", "acted"), [("drop_response", True), ("drop_request", False)])
def test_a_dropped_answer_leaves_the_client_in_the_dark(pm: PmServer, act: str, kind: str, acted: bool) -> None:
    task_id = pm.api.task()["id"]
    pm.api.fault(kind, on=act)

    with pytest.raises(requests.ConnectionError):
        acts(pm, task_id)[act]()

    assert done(pm.api.look(task_id), act) is acted
    assert acts(pm, task_id)[act]().status_code == 200


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_burst_of_errors_passes(pm: PmServer, status: int) -> None:
    pm.api.fault("reply", on="next", status=status, times=2, body="broken", retry_after="7")

    answers = [pm.api.next("architect") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert (answers[0].text, answers[0].headers["Retry-After"]) == ("broken", "7")
    assert pm.api.get("//_faults").json()["faults"] == []


def test_an_error_may_come_after_the_server_has_acted(pm: PmServer) -> None:
    task_id = pm.api.task()["id"]
    pm.api.fault("reply", on="lock", status=502, act=True)

    assert pm.api.lock(task_id, "dev_1").status_code == 502

    assert pm.api.look(task_id)["locked_by"] == "dev_1"


def test_a_fault_may_let_requests_through_first(pm: PmServer) -> None:
    pm.api.fault("reply", on="list", after=1)

    assert [pm.api.get("/tasks").status_code for _ in range(3)] == [200, 503, 200]


def test_a_page_for_people_instead_of_json(pm: PmServer) -> None:
    pm.api.fault("html")

    answer = pm.api.get("/agents")

    assert answer.status_code == 200
    assert answer.text.startswith("<!DOCTYPE html>")


def test_a_huge_answer(pm: PmServer) -> None:
    pm.api.fault("huge", on="list", size=20 << 20)

    assert len(pm.api.get("/tasks").content) == 20 << 20


def test_a_client_may_leave_a_huge_answer(pm: PmServer) -> None:
    pm.api.fault("huge", on="list", size=2 << 30)

    with pm.api.session.get(f"{pm.api.base}/tasks", stream=True, timeout=10) as response:
        next(response.iter_content(1 << 16))

    assert pm.api.get("//health").status_code == 200


def test_an_answer_that_trickles(pm: PmServer) -> None:
    pm.api.fault("slow", on="comment", seconds=0.02)
    task_id = pm.api.task()["id"]
    started = time.monotonic()

    answer = pm.api.comment(task_id, "dev_1", "said")

    assert answer.json() == {"message": "Comment added successfully"}
    assert time.monotonic() - started >= 0.02 * len(answer.content)


def test_an_answer_that_is_late(pm: PmServer) -> None:
    pm.api.fault("late", on="register", seconds=0.5)
    started = time.monotonic()

    assert pm.api.register("dev_1").status_code == 200

    assert time.monotonic() - started >= 0.5
