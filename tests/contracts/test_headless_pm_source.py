"""The client of a Headless PM server, against servers of each kind: ours, the original, the 2025 generations."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from components import pm_wire
from components.errors import SourceRefused, SourceUnavailable, TaskTaken, Unauthorized, UnsafeName
from components.model import Task
from components.ports import Alarm
from components.sources.headless_pm import HeadlessPm
from components.states import TaskStatus
from tests.pm_server import PmServer, running_pm

KINDS = {
    "ours": (),
    "original": ("--real",),
    "hooks": ("--real", "--generation", "hooks"),
    "installer": ("--real", "--generation", "installer"),
}
Client = Callable[..., HeadlessPm]
# For what depends on the client alone.
on_one_server = pytest.mark.parametrize("server", ["original"], indirect=True)


@pytest.fixture(scope="module", params=KINDS, ids=str)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PmServer]:
    """A server of each kind, shared by the module's tests."""
    with running_pm(tmp_path_factory.mktemp("pm"), *KINDS[request.param], "--faults") as server:
        yield server


@pytest.fixture
def pm(server: PmServer) -> PmServer:
    """The server without tasks, agents or faults of other tests."""
    server.api.forgive()
    server.api.feature()
    for task in server.api.tasks():
        server.api.call("DELETE", f"/tasks/{task['id']}", agent_id="pm_1")
    for agent in server.api.get("/agents").json():
        if agent["agent_id"] != "pm_1":
            server.api.call("DELETE", f"/agents/{agent['agent_id']}", requester_agent_id="pm_1")
    return server


@pytest.fixture
def client(pm: PmServer) -> Client:
    """Signs an agent in; what it waits is not waited."""

    def make(agent_id: str = "dev_1", role: str = "backend_dev", level: str = "senior", key: str = "") -> HeadlessPm:
        source = HeadlessPm(pm.url, key or pm.key, agent_id, role, level, wait=lambda seconds: None)
        if not key:
            source.register()
        return source

    return make


def made(pm: PmServer, title: str = "T", **fields: str) -> Task:
    return pm_wire.parse_task(pm.api.task(title, **fields))


def test_registering_tells_what_the_server_has_stored(client: Client) -> None:
    client("dev_1", "backend_dev", "senior")

    stored = client("dev_1", "qa", "junior").register()

    assert (stored.agent_id, stored.role, stored.level) == ("dev_1", "backend_dev", "senior")


def test_an_empty_queue_is_told_at_once(client: Client) -> None:
    source = client()

    began = time.monotonic()

    assert source.next_task() is None
    assert time.monotonic() - began < 4


def test_the_oldest_task_is_offered_and_not_locked(pm: PmServer, client: Client) -> None:
    first = made(pm, "first")
    made(pm, "second")

    offered = client().next_task()

    assert offered == first
    assert pm.api.look(int(first.id))["locked_by"] is None


def test_a_refused_task_does_not_hide_the_next_one(pm: PmServer, client: Client) -> None:
    first = made(pm, "first")
    taken = made(pm, "taken")
    pm.api.register("dev_2")
    pm.api.lock(int(taken.id), "dev_2")
    made(pm, "too hard", difficulty="principal")
    made(pm, "not ours", target_role="frontend_dev")
    made(pm, "not free", status="dev_done")
    second = made(pm, "second", difficulty="junior")

    source = client()

    assert source.next_task({first.id}) == second
    assert source.next_task({first.id, second.id}) is None


def test_a_principal_is_given_the_hard_task_behind_a_refused_one(pm: PmServer, client: Client) -> None:
    first = made(pm, "first")
    hard = made(pm, "hard", difficulty="principal")

    assert client(level="principal").next_task([first.id]) == hard


def test_qa_is_given_what_developers_finished_whatever_its_role_and_level(pm: PmServer, client: Client) -> None:
    made(pm, "not done")
    first = made(pm, "first", target_role="frontend_dev", difficulty="principal", status="dev_done")
    second = made(pm, "second", difficulty="principal", status="dev_done")

    qa = client("qa_1", "qa", "junior")

    assert qa.next_task() == first
    assert qa.next_task([first.id]) == second


@pytest.mark.parametrize("status", ["created", "under_work", "dev_done", "committed", "approved", "evaluation"])
def test_a_task_is_found_whatever_its_status(pm: PmServer, client: Client, status: str) -> None:
    task = made(pm)
    pm.api.task("another")
    pm.api.status(int(task.id), "pm_1", status)

    seen = client().look(task)

    assert seen is not None
    assert (seen.id, seen.title, seen.status, seen.created_at) == (task.id, task.title, status, task.created_at)


def test_a_task_without_role_and_time_as_an_old_lock_file_has_it_is_found(pm: PmServer, client: Client) -> None:
    task = made(pm)

    assert client().look(Task(task.id, "")) == task


def test_a_deleted_task_is_gone_at_once_only_where_the_server_says_so(pm: PmServer, client: Client) -> None:
    """Defect: one look at lists that do not show it was believed."""
    task = made(pm)
    source = client()
    pm.api.call("DELETE", f"/tasks/{task.id}", agent_id="pm_1")

    if "get_task" in source.capabilities():
        assert source.look(task) is None
    else:
        with pytest.raises(SourceUnavailable, match=f"no list shows task {task.id} now"):
            source.look(task)


@pytest.mark.parametrize("server", ["ours"], indirect=True)
def test_a_page_of_a_proxy_does_not_make_a_task_gone(pm: PmServer, client: Client) -> None:
    task = made(pm)
    source = client()
    pm.api.fault("reply", on="task", status=404, body="<html>Not Found</html>", content_type="text/html")

    with pytest.raises(SourceUnavailable, match="404"):
        source.look(task)

    assert source.look(task) == task


def test_a_later_task_with_the_same_id_is_not_taken_for_ours(pm: PmServer, client: Client) -> None:
    task = made(pm)
    pm.api.call("DELETE", f"/tasks/{task.id}", agent_id="pm_1")
    later = made(pm, "later")
    same_id_as_ours = Task(later.id, task.title, role=task.role, created_at=task.created_at)

    assert client().look(same_id_as_ours) is None


def test_a_lock_is_ours_when_a_look_says_so(pm: PmServer, client: Client) -> None:
    task = made(pm)
    source = client()

    source.lock(task)

    seen = source.look(task)
    assert seen is not None and seen.locked_by == "dev_1"
    with pytest.raises(TaskTaken, match=f"task {task.id}"):
        client("dev_2").lock(task)


def test_r4_a_task_we_hold_is_recognised_as_ours_after_the_409(pm: PmServer, client: Client) -> None:
    task = made(pm)
    source = client()
    source.lock(task)

    if "relock" in source.capabilities():
        source.lock(task)
    else:
        with pytest.raises(TaskTaken):
            source.lock(task)

    seen = source.look(task)
    assert seen is not None and seen.locked_by == "dev_1"


def test_a_lock_of_a_task_that_is_gone_is_refused_in_the_servers_words(pm: PmServer, client: Client) -> None:
    task = made(pm)
    pm.api.call("DELETE", f"/tasks/{task.id}", agent_id="pm_1")

    with pytest.raises(SourceRefused, match=rf"404.*Task with ID {task.id} not found"):
        client().lock(task)


def test_moving_a_task_frees_the_lock_and_keeps_the_comments(pm: PmServer, client: Client) -> None:
    task = made(pm)
    source = client()
    source.comment(task, "hello @qa_1")
    source.lock(task)

    started = source.set_status(task, TaskStatus.UNDER_WORK)
    done = source.set_status(task, TaskStatus.DEV_DONE)

    assert (started.status, started.locked_by) == ("under_work", "dev_1")
    assert (done.status, done.locked_by) == ("dev_done", None)
    assert done.notes == "dev_1: hello @qa_1"


def test_r8_a_status_that_no_server_knows_is_refused_with_those_it_knows(pm: PmServer, client: Client) -> None:
    task = made(pm)

    with pytest.raises(SourceRefused, match=r"(?i)422.*body\.status.*dev_done"):
        client().set_status(task, "completed")

    assert pm.api.look(int(task.id))["status"].lower() == "created"


def test_an_agent_that_the_server_forgot_signs_in_again(pm: PmServer, client: Client) -> None:
    task = made(pm)
    source = client()
    for act in (lambda: source.lock(task), lambda: source.set_status(task, "under_work")):
        pm.api.call("DELETE", "/agents/dev_1", requester_agent_id="pm_1")
        act()

    assert pm.api.look(int(task.id))["status"].lower() == "under_work"


@on_one_server
def test_an_agent_that_cannot_sign_in_again_is_told_so_once(pm: PmServer, client: Client) -> None:
    task = made(pm)
    source = client()
    pm.api.call("DELETE", "/agents/dev_1", requester_agent_id="pm_1")
    pm.api.fault("reply", on="register", status=403, body='{"detail": "no more agents"}', times=9)

    with pytest.raises(SourceRefused, match="no more agents"):
        source.lock(task)


def test_the_history_is_the_tasks_own_newest_first(pm: PmServer, client: Client) -> None:
    task, other = made(pm), made(pm, "other")
    source = client()
    source.set_status(task, "under_work")
    source.set_status(other, "under_work")
    source.set_status(task, "dev_done")

    changes = source.history(task)

    assert [(change.old_status, change.new_status) for change in changes[:2]] == [
        ("under_work", "dev_done"),
        ("created", "under_work"),
    ]
    assert {change.task_id for change in changes} == {task.id}
    assert changes[0].changed_by == "dev_1"
    assert changes[0].changed_at > changes[1].changed_at


@on_one_server
def test_the_history_of_a_reused_id_is_not_ours(pm: PmServer, client: Client) -> None:
    task = made(pm)
    source = client()
    source.set_status(task, "under_work")
    later = Task(task.id, "later", created_at="2999-01-01T00:00:00.000000")

    assert source.history(later) == []


def test_an_alarm_reaches_those_it_mentions_however_long_it_is(pm: PmServer, client: Client) -> None:
    client().alarm(Alarm("Task 3 is stuck\n" + "x" * 300, "y" * 60_000, ("pm_1", "qa_1")))

    document = pm.api.get("/documents", author_id="dev_1").json()[0]
    assert document["doc_type"] == "critical_issue"
    assert sorted(document["mentions"]) == ["pm_1", "qa_1"]
    assert document["title"].startswith("Task 3 is stuck xxx")
    assert (len(document["title"]), len(document["content"])) == (200, 50_000)


def test_an_alarm_is_published_once_however_often_its_answer_is_lost(pm: PmServer, client: Client) -> None:
    """Defect: it was published blindly, once for every time that the report was tried."""
    source = client()
    before = len(pm.api.get("/documents", author_id="dev_1").json())
    alarm = Alarm("Task 3 is stuck", "It needs a person.", ("pm_1",), marker="[agent-runner 0a1b2c3d/1]")
    pm.api.fault("drop_response", on="documents", after=1)

    with pytest.raises(SourceUnavailable):
        source.alarm(alarm)
    source.alarm(alarm)
    source.alarm(alarm)

    documents = pm.api.get("/documents", author_id="dev_1").json()[: -before or None]
    assert [document["title"] for document in documents] == ["Task 3 is stuck"]
    source.alarm(Alarm("Another", "", marker="[agent-runner 0a1b2c3d/2]"))
    assert len(pm.api.get("/documents", author_id="dev_1").json()) == before + 2


def test_an_unlock_is_asked_for_only_where_it_is_offered(pm: PmServer, client: Client) -> None:
    task = made(pm)
    source = client()
    source.lock(task)

    is_offered = source.unlock(task)

    assert is_offered == ("unlock" in source.capabilities())
    assert (pm.api.look(int(task.id))["locked_by"] is None) == is_offered


@on_one_server
def test_a_wrong_key_is_told_with_the_variables_to_check_and_not_shown(client: Client) -> None:
    source = client(key="a-wrong-key")

    for call in (source.register, source.next_task):
        with pytest.raises(Unauthorized, match=r"HEADLESS_PM_API_KEY.*API_KEY_HEADLESS_PM.*API_KEY") as caught:
            call()
        assert "a-wrong-key" not in str(caught.value)


@on_one_server
def test_a_role_that_the_server_does_not_know_is_refused_with_those_it_knows(pm: PmServer) -> None:
    source = HeadlessPm(pm.url, pm.key, "dev_1", "fullstack_dev", "senior", wait=lambda seconds: None)

    with pytest.raises(SourceRefused, match=r"422.*role.*frontend_dev"):
        source.register()


@pytest.mark.parametrize("kind", ["drop_response", "reply"])
def test_a_write_whose_answer_is_lost_is_not_made_twice(pm: PmServer, client: Client, kind: str) -> None:
    task = made(pm)
    source = client()
    source.lock(task)
    pm.api.fault(kind, on="status", act=True, status=500)

    with pytest.raises(SourceUnavailable, match="outcome unknown"):
        source.set_status(task, "under_work")

    assert [change.new_status for change in source.history(task)].count("under_work") == 1


def test_a_lock_whose_answer_is_lost_is_not_asked_for_twice_and_a_look_finds_it(pm: PmServer, client: Client) -> None:
    task = made(pm)
    source = client()
    pm.api.fault("drop_response", on="lock")

    with pytest.raises(SourceUnavailable, match="outcome unknown"):
        source.lock(task)

    seen = source.look(task)
    assert seen is not None and seen.locked_by == "dev_1"


@on_one_server
@pytest.mark.parametrize("write", ["lock", "status", "comment", "documents"])
@pytest.mark.parametrize("kind", ["drop_request", "reply", "html"])
def test_a_failed_write_is_sent_once(pm: PmServer, client: Client, write: str, kind: str) -> None:
    task = made(pm)
    source = client()
    calls: dict[str, Callable[[], object]] = {
        "lock": lambda: source.lock(task),
        "status": lambda: source.set_status(task, "under_work"),
        "comment": lambda: source.comment(task, "hello"),
        "documents": lambda: source.alarm(Alarm("t", "c")),
    }
    before = pm.api.get("//_faults").json()["struck"]
    pm.api.fault(kind, on=write, times=3)

    with pytest.raises(SourceUnavailable, match="outcome unknown"):
        calls[write]()

    assert pm.api.get("//_faults").json()["struck"] == before + 1


@on_one_server
@pytest.mark.parametrize("kind", ["drop_response", "drop_request", "reply"])
@pytest.mark.parametrize("read", ["next", "register", "changelog"])
def test_a_read_and_a_registration_are_repeated_twice(pm: PmServer, client: Client, read: str, kind: str) -> None:
    task = made(pm)
    source = client()
    calls: dict[str, Callable[[], object]] = {
        "next": source.next_task,
        "register": source.register,
        "changelog": lambda: source.history(task),
    }

    pm.api.fault(kind, on=read, times=2)
    assert calls[read]()

    pm.api.fault(kind, on=read, times=3)
    with pytest.raises(SourceUnavailable) as caught:
        calls[read]()
    assert "outcome unknown" not in str(caught.value)


def test_a_restarted_server_is_spoken_to_without_a_word(pm: PmServer, client: Client) -> None:
    task = made(pm)
    source = client()
    assert source.next_task() == task

    pm.restart()

    source.lock(task)
    assert source.next_task() is None


@on_one_server
def test_a_server_that_is_away_is_told_within_three_seconds(pm: PmServer, client: Client) -> None:
    task = made(pm)
    patient = HeadlessPm(pm.url, pm.key, "dev_1", "backend_dev", "senior", wait=threading.Event().wait)
    pm.kill()
    try:
        began = time.monotonic()
        with pytest.raises(SourceUnavailable, match=r"connection refused.*HEADLESS_PM_API_URL"):
            patient.next_task()
        assert time.monotonic() - began < 4

        with pytest.raises(SourceUnavailable) as caught:
            patient.lock(task)
        assert "outcome unknown" not in str(caught.value)
    finally:
        pm.start()


@on_one_server
def test_an_id_from_a_tampered_journal_reaches_no_address(client: Client) -> None:
    source = client()
    hostile = Task("../agents/dev_1?x=", "T")

    for call in (source.lock, lambda task: source.set_status(task, "created"), lambda task: source.comment(task, "x")):
        with pytest.raises(UnsafeName, match="not a number"):
            call(hostile)


@pytest.mark.parametrize("server", ["ours", "original"], indirect=True)
def test_what_the_server_offers_is_asked_for_again_with_each_registration(pm: PmServer, client: Client) -> None:
    task = made(pm)
    source = client()
    before = source.capabilities()
    arguments = pm._args

    pm.restart(*(("--faults",) if "--real" in arguments else ("--real", "--faults")))
    try:
        assert source.look(task) == task
        source.register()
        assert source.capabilities() != before
        assert source.look(task) == task
    finally:
        pm.restart(*arguments)
