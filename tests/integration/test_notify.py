"""People are told of what happens, at a real address, without secrets, and no task ever waits for it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.config import Config, load
from components.errors import ConfigError
from components.hook_runner import Decision, HookRunner
from components.notify import Notifications
from components.redact import Redactor
from components.settings import BY_NAME
from components.states import Reason
from tests.http_listener import Listener, listening
from tests.server_process import serving
from tests.waiting import until


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as told:
        yield told


def configured(tmp_path: Path, *addresses: str, **given: object) -> Config:
    return load(given, {"HOME": str(tmp_path), "HEADLESS_PM_NOTIFY": " ".join(addresses)}).config


def attached(config: Config, tmp_path: Path, **more: Any) -> tuple[HookRunner, Notifications]:
    hooks = HookRunner(tmp_path / "no-hooks")
    notifications = Notifications(config, Redactor(["my-own-key-4711"]), **more)
    notifications.attach(hooks)
    return hooks, notifications


def ended(reason: Reason, status: str = "", **verdict: object) -> dict[str, object]:
    """Return what is told of a task that has ended so."""
    return {
        "agent_id": "dev_1",
        "role": "backend_dev",
        "host": "here",
        "attempt": 3,
        "status": status,
        "task": {"id": "7", "title": "Paint with my-own-key-4711"},
        "verdict": {"reason": reason.value, "detail": "no paint", "seconds": 12.0, "cost_usd": 0.5, **verdict},
    }


def told_to(listener: Listener) -> list[dict[str, Any]]:
    return [json.loads(body) for _, body in listener.requests]


@pytest.mark.parametrize(
    ("reason", "status", "event", "words"),
    [
        (Reason.AGENT_FAILED, "pending", "parked", "Needs a person"),
        (Reason.AGENT_FAILED, "", "failed", "Failed"),
        (Reason.TIMED_OUT, "", "parked", "Needs a person"),
        (Reason.AUTH_FAILED, "pending", "auth", "account"),
        (Reason.NO_CREDIT, "", "auth", "account"),
        (Reason.HOOK_REJECTED, "created", "failed", "Failed"),
    ],
)
def test_a_bad_end_is_told_by_its_kind_and_without_secrets(
    listener: Listener, tmp_path: Path, reason: Reason, status: str, event: str, words: str
) -> None:
    hooks, notifications = attached(configured(tmp_path, listener.url), tmp_path)

    outcome = hooks.run("post_task", ended(reason, status))
    notifications.close()

    assert outcome.decision is Decision.GO
    (told,) = told_to(listener)
    assert (told["event"], told["verdict"]["reason"], told["task"]["id"]) == (event, reason, "7")
    assert words in told["title"]
    assert "no paint" in told["text"]
    assert "4711" not in json.dumps(told)


def test_a_success_is_told_only_where_that_is_wanted(listener: Listener, tmp_path: Path) -> None:
    for wanted in ("failed", "succeeded"):
        hooks, notifications = attached(configured(tmp_path, listener.url, notify_on=wanted), tmp_path)
        hooks.run("post_task", ended(Reason.SUCCEEDED))
        hooks.run("post_task", ended(Reason.LOST_CLAIM))
        notifications.close()

    assert [one["event"] for one in told_to(listener)] == ["succeeded"]


def test_trouble_of_the_runner_itself_is_told_and_a_tasks_failure_not_twice(listener: Listener, tmp_path: Path) -> None:
    hooks, notifications = attached(configured(tmp_path, listener.url), tmp_path)

    hooks.run("error", {"agent_id": "dev_1", "error": {"kind": "GitFailed", "message": "No space left"}})
    hooks.run("error", {**ended(Reason.TIMED_OUT), "error": {"kind": "timed_out", "message": ""}})
    notifications.close()

    assert [(one["event"], one["text"].splitlines()[-1]) for one in told_to(listener)] == [
        ("error", "GitFailed: No space left")
    ]


def test_a_spent_budget_is_told_once_a_day(listener: Listener, tmp_path: Path) -> None:
    config = configured(tmp_path, listener.url, daily_budget_usd="5", agent_id="dev_1")
    left = iter([1.0, -0.2, -0.2])
    hooks, notifications = attached(config, tmp_path, budget_left=lambda: next(left))

    for _ in range(3):
        hooks.run("post_task", ended(Reason.SUCCEEDED))
    notifications.close()

    assert [one["event"] for one in told_to(listener)] == ["budget"]
    assert "$5.00" in told_to(listener)[0]["text"]


def test_an_address_of_apprise_is_told_by_apprise(listener: Listener, tmp_path: Path) -> None:
    address = listener.url.replace("http://", "json://")
    hooks, notifications = attached(configured(tmp_path, address), tmp_path)

    hooks.run("post_task", ended(Reason.TIMED_OUT))
    until(lambda: listener.requests, "a notice")
    notifications.close()

    (told,) = told_to(listener)
    assert told["title"] == "Needs a person: Paint with [secret]"
    assert "no paint" in told["message"]


def test_apprise_is_loaded_only_where_an_address_needs_it(listener: Listener) -> None:
    code = (
        "import sys; from components.config import load; from components.notify import Notifications\n"
        "Notifications(load({}, {'HEADLESS_PM_NOTIFY': sys.argv[1]}).config); sys.exit('apprise' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code, listener.url], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize("address", ["nonsense://my-own-key-4711", "slack://my-own-key-4711"])
def test_an_address_that_nothing_can_tell_is_refused_and_not_shown(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="notify") as refused:
        attached(configured(tmp_path, address), tmp_path)

    assert "4711" not in str(refused.value)
    assert address.partition(":")[0] in str(refused.value)


def test_a_list_that_is_none_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        configured(tmp_path, "https://example.org/a", "my-own-key-4711")

    assert "number 2" in str(refused.value)
    assert "4711" not in str(refused.value)
    assert "4711" not in BY_NAME["notify"].show(("https://example.org/my-own-key-4711",))


def test_addresses_that_do_not_answer_delay_no_task_and_no_end(
    listener: Listener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listener.gate.clear()
    config = configured(tmp_path, "http://127.0.0.1:9/my-own-key-4711", listener.url, "json://127.0.0.1:9/4711")
    hooks, notifications = attached(config, tmp_path)
    began = time.monotonic()

    with caplog.at_level(logging.DEBUG):
        for _ in range(50):
            hooks.run("post_task", ended(Reason.TIMED_OUT))
        notifications.close(timeout=0.3)
    listener.gate.set()

    assert time.monotonic() - began < 2.0
    assert "notices were not told" in caplog.text
    assert "4711" not in caplog.text


def test_a_passing_failure_is_tried_again_and_a_refusal_is_not(listener: Listener, tmp_path: Path) -> None:
    listener.answers = [(503, b""), (204, b""), (404, b""), (204, b"")]
    hooks, notifications = attached(configured(tmp_path, listener.url), tmp_path)

    for _ in range(3):
        hooks.run("post_task", ended(Reason.TIMED_OUT))
    until(lambda: len(listener.requests) == 4, "two tries of the first, one of each other")
    notifications.close()

    assert len(listener.requests) == 4


def test_a_task_that_a_hook_refuses_is_in_todo_again_with_why_and_people_are_told(
    listener: Listener, tmp_path: Path
) -> None:
    hooks, heard = tmp_path / "hooks", tmp_path / "heard"
    hooks.mkdir(mode=0o755)
    for name, words in (("pre_task", "echo 'not on a Friday' >&2; exit 1"), ("post_task", f"cat > {heard}")):
        (hooks / f"{name}.sh").write_text(f"#!/bin/sh\n{words}\n")
        (hooks / f"{name}.sh").chmod(0o755)
    env = {"HEADLESS_PM_HOOKS_DIRECTORY": str(hooks), "HEADLESS_PM_NOTIFY": listener.url}

    with serving(tmp_path, play="(here / 'ran').touch()", **env) as server, server.client() as api:
        task = api.post("/api/tasks", json={"title": "Paint"}).json()["id"]
        api.post(f"/api/tasks/{task}/run")
        back = until(lambda: (told := api.get(f"/api/tasks/{task}").json())["error"] and told, "an error", 60)

    assert back["status"] == "todo"
    assert "not on a Friday" in back["error"]
    assert not (tmp_path / "ran").exists()
    assert json.loads(heard.read_text())["verdict"]["reason"] == "hook_rejected"
    assert [one["event"] for one in told_to(listener)] == ["failed"]
    assert "not on a Friday" in told_to(listener)[0]["text"]
