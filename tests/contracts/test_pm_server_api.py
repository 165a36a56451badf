"""The embedded Headless PM answers as the original does: shapes, status codes, texts."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.pm_server import Api, PmServer, running_pm

TASK_KEYS = [
    *("id", "feature_id", "epic_id", "title", "description", "created_by", "target_role", "difficulty"),
    *("complexity", "branch", "status", "locked_by", "locked_at", "notes", "created_at", "updated_at"),
    *("task_type", "poll_interval"),
]
NAIVE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\Z")
STATUSES = "'pending', 'created', 'under_work', 'dev_done', 'qa_done', 'documentation_done', 'committed', 'evaluation'"


@pytest.fixture(scope="module")
def pm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PmServer]:
    with running_pm(tmp_path_factory.mktemp("pm")) as server:
        yield server


@pytest.fixture
def api(pm: PmServer) -> Api:
    """The server with nothing in it."""
    pm.api.clear()
    return pm.api


def refusal(response: requests.Response, status: int) -> str:
    assert response.status_code == status, response.text
    detail: str = response.json()["detail"]
    return detail


def test_a_request_without_the_key_is_401_and_a_bearer_header_is_no_key(pm: PmServer) -> None:
    url = f"{pm.api.base}/agents"

    for headers in (
        {},
        {"X-API-Key": "wrong"},
        {"X-API-Key": "schlüssel".encode()},
        {"Authorization": f"Bearer {pm.key}"},
    ):
        assert refusal(requests.get(url, headers=headers, timeout=10), 401) == "Invalid API key"
    assert requests.get(url, params={"api_key": pm.key}, timeout=10).status_code == 401
    assert requests.get(url, headers={"x-api-key": pm.key}, timeout=10).status_code == 200


def test_the_development_keys_of_the_original_open_nothing(pm: PmServer) -> None:
    for key in ("development-key", "XXXXXX", ""):
        assert requests.get(f"{pm.api.base}/agents", headers={"X-API-Key": key}, timeout=10).status_code == 401


def test_health_status_context_and_root_need_no_key(pm: PmServer) -> None:
    health = requests.get(f"{pm.url}/health", timeout=10).json()
    context = requests.get(f"{pm.api.base}/context", timeout=10).json()

    assert (health["status"], health["service"], health["database"]) == ("healthy", "headless-pm-api", "healthy")
    assert health["capabilities"] == ["get_task", "unlock", "atomic_lock", "relock", "wake"]
    assert NAIVE.match(health["timestamp"])
    assert context["database_type"] == "sqlite"
    assert requests.get(pm.url, timeout=10).json() == {
        "message": "Headless PM API",
        "docs": "/api/v1/docs",
        "health": "ok",
    }
    assert "total_tasks" in requests.get(f"{pm.url}/status", timeout=10).json()["metrics"]


def test_unknown_paths_and_methods_are_404_and_405(api: Api) -> None:
    assert refusal(api.get("/nothing"), 404) == "Not Found"
    assert refusal(api.call("PUT", "/agents"), 405) == "Method Not Allowed"


def test_registering_again_keeps_the_first_role_and_level(api: Api) -> None:
    first = api.register("dev_again", "backend_dev", "senior").json()

    second = api.register("dev_again", "qa", "junior").json()

    assert list(second) == ["agent", "next_task", "mentions"]
    assert list(second["agent"]) == ["id", "agent_id", "role", "level", "connection_type", "last_seen"]
    assert (second["agent"]["role"], second["agent"]["level"]) == ("backend_dev", "senior")
    assert second["agent"]["last_seen"] > first["agent"]["last_seen"]


def test_bad_words_are_422_with_a_list_that_names_field_and_choice(api: Api) -> None:
    answer = api.register("x", "fullstack_dev", "senior")

    assert answer.status_code == 422
    (mistake,) = answer.json()["detail"]
    assert mistake["loc"] == ["body", "role"]
    assert mistake["msg"] == "Input should be 'frontend_dev', 'backend_dev', 'qa', 'architect' or 'pm'"
    for broken in (None, [1], {"agent_id": 5, "role": "pm", "level": "senior"}):
        assert isinstance(api.call("POST", "/register", broken).json()["detail"], list)


def test_only_a_pm_or_an_architect_plans(api: Api) -> None:
    api.register("dev_1")
    epic = {"name": "E", "description": ""}

    said = refusal(api.call("POST", "/epics", epic, agent_id="dev_1"), 403)

    assert said == "Only pm, architect agents can perform this operation"
    assert refusal(api.call("POST", "/epics", epic, agent_id="nobody"), 404).startswith("Agent 'nobody' not found.")
    api.register("pm_1", "pm", "principal")
    feature = {"epic_id": 10**6, "name": "F", "description": ""}
    assert refusal(api.call("POST", "/features", feature, agent_id="pm_1"), 404) == "Epic not found"


def test_a_new_task_is_pending_and_is_offered_once_it_is_created(api: Api) -> None:
    made = api.task("T", status="pending")
    assert list(made) == TASK_KEYS
    assert NAIVE.match(made["created_at"])
    assert api.next().json() is None

    api.status(made["id"], "pm_1", "created")

    assert api.next().json()["id"] == made["id"]


def test_next_offers_by_role_and_level_the_oldest_first(api: Api) -> None:
    principal = api.task("hard", difficulty="principal")
    older = api.task("older", difficulty="junior")
    api.task("newer", difficulty="junior")
    api.task("other", target_role="frontend_dev", difficulty="junior")

    assert api.next(level="junior").json()["id"] == older["id"]
    assert api.next(level="senior").json()["id"] == older["id"]
    assert api.next(level="principal").json()["id"] == principal["id"]
    assert api.next(role="qa").json() is None


def test_qa_is_offered_whatever_developers_finished(api: Api) -> None:
    done = api.task("finished", status="dev_done", difficulty="principal")

    assert api.next(role="qa", level="junior").json()["id"] == done["id"]


def test_next_says_which_parameter_is_missing(api: Api) -> None:
    assert "'role'" in refusal(api.get("/tasks/next"), 400)
    assert "'level'" in refusal(api.get("/tasks/next", role="qa"), 400)
    assert api.get("/tasks/next", role="qa", level="guru").status_code == 422
    assert api.get("/tasks/next", role="qa", level="senior", timeout="soon").status_code == 422


def test_a_lock_is_refused_in_the_original_order_of_checks(api: Api) -> None:
    task_id = api.task()["id"]
    for agent_id in ("dev_1", "dev_2"):
        api.register(agent_id)

    assert "Task with ID 999999 not found." in refusal(api.lock(999999, "nobody"), 404)
    assert "Agent 'nobody' not found." in refusal(api.lock(task_id, "nobody"), 404)
    taken = api.lock(task_id, "dev_1")
    assert (taken.status_code, taken.json()["locked_by"], taken.json()["status"]) == (200, "dev_1", "created")
    for agent_id in ("dev_2", "nobody"):
        said = refusal(api.lock(task_id, agent_id), 409)
        assert (
            said
            == f"Task {task_id} is already locked by another agent. The task must be unlocked before you can lock it."
        )
    assert api.call("POST", f"/tasks/{task_id}/lock").status_code == 422
    assert api.call("POST", "/tasks/x/lock", agent_id="dev_1").status_code == 422


def test_the_lock_goes_only_when_the_task_leaves_under_work(api: Api) -> None:
    api.register("dev_1")
    direct, worked = api.task("direct")["id"], api.task("worked")["id"]
    for task_id in (direct, worked):
        assert api.lock(task_id, "dev_1").status_code == 200

    kept = api.status(direct, "dev_1", "dev_done").json()["task"]
    still = api.status(worked, "dev_1", "under_work").json()["task"]
    freed = api.status(worked, "dev_1", "dev_done").json()["task"]

    assert (kept["locked_by"], still["locked_by"], freed["locked_by"]) == ("dev_1", "dev_1", None)
    assert api.next(role="qa").json()["id"] == worked


def test_a_status_change_offers_the_next_task(api: Api) -> None:
    api.register("dev_1")
    first, second = api.task("one")["id"], api.task("two")["id"]
    api.lock(first, "dev_1")

    more = api.status(first, "dev_1", "under_work").json()
    api.lock(second, "dev_1")
    none = api.status(first, "dev_1", "dev_done").json()

    assert (more["next_task"]["id"], more["workflow_status"], more["session_momentum"]) == (second, "continue", "high")
    assert (none["next_task"], none["workflow_status"], none["auto_continue"]) == (None, "no_tasks", False)
    assert none["task_completed"] == first


@pytest.mark.parametrize("status", ["completed", "UNDER_WORK", "testing", "", None, 5])
def test_an_unknown_status_is_422_and_changes_nothing(api: Api, status: object) -> None:
    task_id = api.task()["id"]

    answer = api.status(task_id, "pm_1", status)

    assert answer.status_code == 422
    (mistake,) = answer.json()["detail"]
    assert (mistake["type"], mistake["loc"], mistake["input"]) == ("enum", ["body", "status"], status)
    assert mistake["msg"] == f"Input should be {STATUSES} or 'approved'"
    assert api.look(task_id)["status"] == "created"


def test_the_list_is_filtered_newest_first(api: Api) -> None:
    old, new = api.task("old")["id"], api.task("new", target_role="qa")["id"]

    assert [task["id"] for task in api.tasks()] == [new, old]
    assert [task["id"] for task in api.tasks(role="qa")] == [new]
    assert api.tasks(status="dev_done") == []
    assert api.get("/tasks", status="CREATED").status_code == 422


def test_comments_append_to_the_notes_and_mention(api: Api) -> None:
    api.register("qa_9", "qa")
    task_id = api.task("Talk")["id"]

    said = api.comment(task_id, "dev_2", "hello @qa_9, @qa_9 and @a-b").json()
    api.comment(task_id, "stranger", "")

    assert said == {"message": "Comment added successfully"}
    assert api.look(task_id)["notes"] == "dev_2: hello @qa_9, @qa_9 and @a-b\n\nstranger: "
    (mention,) = api.get("/mentions", agent_id="qa_9").json()
    assert (mention["task_id"], mention["task_title"], mention["is_read"]) == (task_id, "Talk", False)
    assert api.register("qa_9", "qa").json()["mentions"] == [mention]
    assert api.get("/mentions/by-role", role="qa").json() == [mention]
    path = f"/mentions/{mention['id']}/read"
    assert api.call("PUT", path, agent_id="dev_2").status_code == 403
    assert api.call("PUT", path, agent_id="qa_9").json()["is_read"] is True
    assert api.get("/mentions", agent_id="qa_9", unread_only=True).json() == []
    assert refusal(api.comment(999999, "dev_2", "x"), 404).startswith("Task with ID 999999 not found.")


def test_documents_are_kept_changed_and_deleted(api: Api) -> None:
    body = {"doc_type": "update", "title": "Working", "content": "Hi @qa_8", "meta_data": {"a": 1}}

    made = api.call("POST", "/documents", body, author_id="dev_1").json()
    changed = api.call("PUT", f"/documents/{made['id']}", {"title": "New"}).json()

    assert (made["mentions"], made["meta_data"], made["expires_at"]) == (["qa_8"], {"a": 1}, None)
    assert changed == made | {"title": "New", "updated_at": changed["updated_at"]}
    assert changed in api.get("/documents", author_id="dev_1", doc_type="update").json()
    assert api.get(f"/documents/{made['id']}").json() == changed
    assert api.call("DELETE", f"/documents/{made['id']}").status_code == 200
    assert api.get("/mentions", agent_id="qa_8").json() == []
    assert refusal(api.get(f"/documents/{made['id']}"), 404).startswith(f"Document with ID {made['id']} not found.")


def test_documents_that_are_too_long_or_of_an_unknown_type_are_refused(api: Api) -> None:
    body = {"doc_type": "update", "title": "W", "content": ""}

    def post(**fields: str) -> requests.Response:
        return api.call("POST", "/documents", {**body, **fields}, author_id="dev_1")

    assert post(title="x" * 201).status_code == 422
    assert refusal(post(content="x" * 50_001), 400) == "Document content exceeds maximum length of 50,000 characters"
    assert post(doc_type="memo").status_code == 422


def test_changes_are_what_is_newer_than_since(api: Api) -> None:
    task_id = api.task("Watched", status="pending")["id"]
    first = api.get("/changes", since="2020-01-01T00:00:00", agent_id="x").json()
    assert first["changes"][-1]["data"]["new_status"] == "pending"

    api.status(task_id, "pm_1", "created", "go")
    (change,) = api.get("/changes", since=first["last_timestamp"], agent_id="x").json()["changes"]

    assert change["type"] == "task_updated"
    assert change["data"] == {
        "task_id": task_id,
        "title": "Watched",
        "old_status": "pending",
        "new_status": "created",
        "changed_by": "pm_1",
        "notes": "go",
    }
    assert api.get("/changelog", limit=1).json()[0]["new_status"] == "created"
    assert api.get("/changes", agent_id="x").status_code == 422


@pytest.mark.parametrize("since", ["2020-01-01T00:00:00Z", "2020-01-01T02:00:00+02:00", "1577836800"])
def test_changes_understand_times_with_a_zone(api: Api, since: str) -> None:
    api.task()

    assert api.get("/changes", since=since, agent_id="x").json()["changes"]


def test_deleting_an_agent_frees_what_it_holds(api: Api) -> None:
    task_id = api.task()["id"]
    api.register("tmp_1")
    api.lock(task_id, "tmp_1")

    def delete(agent_id: str, requester: str) -> requests.Response:
        return api.call("DELETE", f"/agents/{agent_id}", requester_agent_id=requester)

    assert refusal(delete("tmp_1", "tmp_1"), 403) == "Only pm agents can perform this operation"
    assert refusal(delete("pm_1", "pm_1"), 400) == "Cannot delete your own agent record"
    assert refusal(delete("nobody", "pm_1"), 404) == "Agent not found"
    assert delete("tmp_1", "pm_1").json() == {"message": "Agent tmp_1 deleted successfully"}
    assert api.look(task_id)["locked_by"] is None
    assert api.lock(task_id, "tmp_1").status_code == 404


def test_epics_count_their_tasks_and_take_them_along(api: Api) -> None:
    for status in ("created", "under_work", "committed"):
        api.task(status=status)

    (epic,) = api.get("/epics").json()

    counts = (epic["task_count"], epic["completed_task_count"], epic["in_progress_task_count"])
    assert counts == (3, 1, 1)
    assert api.call("DELETE", f"/epics/{epic['id']}", agent_id="pm_1").status_code == 200
    assert api.tasks() == []


@pytest.mark.parametrize("number", [2**63, 10**30, -(10**30)])
def test_a_number_beyond_the_database_is_422_not_an_error_of_the_server(api: Api, number: int) -> None:
    api.register("pm_1", "pm", "principal")
    feature = {"epic_id": number, "name": "F", "description": ""}

    assert api.lock(number, "pm_1").status_code == 422
    assert api.get("/changelog", limit=number).status_code == 422
    assert api.call("POST", "/features", feature, agent_id="pm_1").status_code == 422
    assert api.next(timeout=-abs(number)).json() is None


def test_hostile_texts_come_back_as_they_were(api: Api) -> None:
    title = "../../x --upload-pack=x \x1b[2J \x00 '; DROP TABLE task; -- 🚀"

    assert api.look(api.task(title)["id"])["title"] == title
    assert api.register("a/b ../c ü").json()["agent"]["agent_id"] == "a/b ../c ü"


@pytest.mark.parametrize("field", ["agent_id", "role"])
def test_half_a_surrogate_pair_is_422_not_an_error_of_the_server(api: Api, field: str) -> None:
    body = json.dumps({"agent_id": "x", "role": "pm", "level": "senior", field: "\ud800"})

    answer = api.session.post(
        f"{api.base}/register", data=body, headers={"Content-Type": "application/json"}, timeout=9
    )

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], list)


def test_an_answer_is_not_held_back_by_the_network_stack(api: Api) -> None:
    """A listener that asyncio does not know for TCP gets no TCP_NODELAY: each answer took 40 ms."""
    api.get("/agents")

    seconds = []
    for _ in range(21):
        started = time.monotonic()
        api.get("/agents")
        seconds.append(time.monotonic() - started)

    assert statistics.median(seconds) < 0.035


def test_a_body_of_more_than_8_mb_is_refused_announced_or_not(api: Api) -> None:
    task_id = api.task()["id"]
    huge = b'{"comment": "' + b"x" * (9 << 20) + b'"}'
    url = f"{api.base}/tasks/{task_id}/comment"

    for data in (huge, iter([huge[: 5 << 20], huge[5 << 20 :]])):
        with requests.Session() as session:
            session.headers["X-API-Key"] = api.session.headers["X-API-Key"]
            try:
                status = session.post(url, params={"agent_id": "x"}, data=data, timeout=20).status_code
            except requests.ConnectionError:
                status = 413  # the server hung up while we were still sending
        assert status == 413
    assert api.look(task_id)["notes"] is None
    assert api.comment(task_id, "x", "y" * (7 << 20)).status_code == 200


def test_the_database_is_private_and_survives_a_kill(tmp_path: Path) -> None:
    with running_pm(tmp_path) as pm:
        task_id = pm.api.task("kept")["id"]
        pm.restart()

        assert pm.api.look(task_id)["title"] == "kept"
        assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("pm.db*")} == {0o600}


def test_the_description_of_the_api_is_served(api: Api) -> None:
    described = api.get("/openapi.json").json()

    assert "/api/v1/tasks/{task_id}/lock" in described["paths"]
