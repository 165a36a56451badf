"""Each defect of the original can be had on demand, alone or all at once, in the words of its three generations."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest
import requests

from components.errors import ConfigError
from components.headless_pm.settings import REAL, Defects, defects
from tests.pm_server import Api, at_once, running_pm


def test_two_lockers_may_both_be_told_200_and_the_last_one_has_it(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--defect", "racy_lock=0.5") as pm:
        for agent_id in ("dev_0", "dev_1"):
            pm.api.register(agent_id)
        task_id = pm.api.task()["id"]

        codes = at_once(pm, 2, lambda api, number: api.lock(task_id, f"dev_{number}"))

        assert codes == [200, 200]
        assert pm.api.look(task_id)["locked_by"] in ("dev_0", "dev_1")
        assert "atomic_lock" not in pm.api.get("//health").json()["capabilities"]


def test_the_holder_is_refused_as_another_agent(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--defect", "strict_relock") as pm:
        task_id = pm.api.task()["id"]
        pm.api.register("dev_1")
        pm.api.lock(task_id, "dev_1")

        again = pm.api.lock(task_id, "dev_1")

        assert again.status_code == 409
        assert "already locked by another agent" in again.json()["detail"]


def test_there_is_no_reading_one_task_and_no_unlock(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--defect", "no_get_task", "--defect", "no_unlock") as pm:
        task_id = pm.api.task()["id"]

        assert pm.api.get(f"/tasks/{task_id}").status_code == 405
        assert pm.api.unlock(task_id, "pm_1").status_code == 404
        assert pm.api.get("//health").json()["capabilities"] == ["atomic_lock", "relock", "wake"]


def test_the_id_of_a_deleted_task_is_given_out_again(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--defect", "reused_ids") as pm:
        first = pm.api.task("first")
        pm.api.call("DELETE", f"/tasks/{first['id']}", agent_id="pm_1")

        second = pm.api.task("second")

        assert second["id"] == first["id"]
        assert second["created_at"] != first["created_at"]


def test_notes_of_a_status_change_wipe_the_comments(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--defect", "notes_overwritten") as pm:
        task_id = pm.api.task()["id"]
        pm.api.comment(task_id, "dev_1", "first")

        pm.api.status(task_id, "pm_1", "under_work", "")
        kept = pm.api.look(task_id)["notes"]
        pm.api.status(task_id, "pm_1", "under_work", "started")

        assert (kept, pm.api.look(task_id)["notes"]) == ("dev_1: first", "started")


def test_comments_at_once_get_lost(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--defect", "racy_comments=0.3") as pm:
        task_id = pm.api.task()["id"]

        codes = at_once(pm, 5, lambda api, number: api.comment(task_id, "dev_1", f"<{number}>"))

        assert codes == [200] * 5
        assert pm.api.look(task_id)["notes"].count("<") < 5


def test_a_waiting_poll_looks_on_a_grid_only(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--defect", "poll_grid=2") as pm, ThreadPoolExecutor(1) as pool:
        task_id = pm.api.task(status="pending")["id"]
        started = time.monotonic()
        poll = pool.submit(Api(pm.url, pm.key).next, timeout=20)
        with pytest.raises(TimeoutError):
            poll.result(0.3)

        pm.api.status(task_id, "pm_1", "created")

        assert poll.result(20).json()["id"] == task_id
        assert time.monotonic() - started >= 1.9


def test_40_waiting_polls_freeze_everything(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--defect", "poll_grid=1") as pm, ThreadPoolExecutor(40) as pool:
        polls = [pool.submit(Api(pm.url, pm.key).next, timeout=6) for _ in range(40)]
        with pytest.raises(TimeoutError):
            polls[-1].result(2)

        with pytest.raises(requests.Timeout):
            requests.get(f"{pm.url}/health", timeout=1)

        assert [poll.result(25).json() for poll in polls] == [None] * 40
        assert requests.get(f"{pm.url}/health", timeout=10).status_code == 200


@pytest.mark.parametrize(
    ("args", "status", "kind"),
    [((), 409, "application/json"), (("--defect", "plain_500"), 500, "text/plain; charset=utf-8")],
)
def test_deleting_an_agent_that_made_tasks_is_refused_or_breaks_the_server(
    tmp_path: Path, args: tuple[str, ...], status: int, kind: str
) -> None:
    with running_pm(tmp_path, *args) as pm:
        pm.api.task()
        pm.api.register("pm_2", "pm")

        answer = pm.api.call("DELETE", "/agents/pm_1", requester_agent_id="pm_2")

        assert (answer.status_code, answer.headers["Content-Type"]) == (status, kind)


@pytest.mark.parametrize("args", [(), ("--defect", "plain_500")])
def test_an_error_of_the_server_is_500_as_json_or_as_text(tmp_path: Path, args: tuple[str, ...]) -> None:
    with running_pm(tmp_path, *args) as pm:
        with sqlite3.connect(pm.database) as connection:
            connection.execute("DROP TABLE mention")
        connection.close()

        answer = pm.api.get("/mentions")

        assert answer.status_code == 500
        assert ("json" in answer.headers["Content-Type"]) is not bool(args)
        assert "Internal Server Error" in answer.text


@pytest.mark.parametrize("since", ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00+00:00", "1577836800"])
def test_changes_since_a_time_with_a_zone_are_silently_none(tmp_path: Path, since: str) -> None:
    with running_pm(tmp_path, "--defect", "naive_since") as pm:
        pm.api.task()

        answer = pm.api.get("/changes", since=since, agent_id="x").json()

        assert answer == {"changes": [], "last_timestamp": "2020-01-01T00:00:00Z"}
        assert pm.api.get("/changes", since="2020-01-01T00:00:00", agent_id="x").json()["changes"]


def test_a_new_task_is_in_the_queue_at_once(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--defect", "new_created") as pm:
        task_id = pm.api.task(status="created")["id"]

        assert [row["old_status"] for row in pm.api.get("/changelog").json()] == ["created"]
        assert pm.api.status(task_id, "pm_1", "pending").status_code == 200


def test_every_answer_is_delayed(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--defect", "delay=0.4") as pm:
        started = time.monotonic()

        pm.api.get("//health")

        assert time.monotonic() - started >= 0.4


GENERATIONS = {
    "main": ("pending", 200, 422, True, 200),
    "hooks": ("created", 422, 422, False, 401),
    "installer": ("CREATED", 422, 200, False, 401),
}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_three_generations_speak_differently(tmp_path: Path, generation: str) -> None:
    first, pending, upper, has_epic, context = GENERATIONS[generation]
    with running_pm(tmp_path, "--generation", generation) as pm:
        made = pm.api.task(status=first.lower())

        assert (made["status"], "epic_id" in made) == (first, has_epic)
        assert pm.api.status(made["id"], "pm_1", "pending").status_code == pending
        assert pm.api.status(made["id"], "pm_1", "UNDER_WORK").status_code == upper
        assert pm.api.status(made["id"], "pm_1", "testing").status_code == (200 if generation == "installer" else 422)
        assert requests.get(f"{pm.api.base}/context", timeout=10).status_code == context


def test_the_real_one_announces_nothing_and_takes_the_development_keys(tmp_path: Path) -> None:
    with running_pm(tmp_path, "--real") as pm:
        assert "capabilities" not in pm.api.get("//health").json()
        for key in ("development-key", "XXXXXX", pm.key):
            assert requests.get(f"{pm.api.base}/agents", headers={"X-API-Key": key}, timeout=10).status_code == 200
    with running_pm(tmp_path, "--real", "--generation", "hooks") as pm:
        answer = requests.get(f"{pm.api.base}/agents", headers={"X-API-Key": "XXXXXX"}, timeout=10)
        assert answer.status_code == 401


def test_real_sets_every_switch_that_it_names_and_named_ones_win() -> None:
    real = defects(real=True, named=["racy_lock=0.5", "strict_relock=off", "poll_grid=off"])

    assert (real.racy_lock, real.strict_relock, real.poll_grid) == (0.5, False, None)
    assert all(getattr(real, name) for name in REAL if name not in ("racy_lock", "strict_relock", "poll_grid"))
    assert real.dev_keys
    assert defects() == Defects()


@pytest.mark.parametrize("word", ["racy_luck", "racy_lock=soon", "racy_lock=-1", "racy_lock=nan", "no_unlock=2"])
def test_a_switch_that_is_not_understood_is_named_with_a_remedy(word: str) -> None:
    with pytest.raises(ConfigError, match=f"--defect {word.split('=', maxsplit=1)[0]}.*(choose from|expected|write)"):
        defects(named=[word])


def test_every_switch_says_what_it_does() -> None:
    assert all(len(switch.metadata["help"]) > 10 for switch in fields(Defects))
