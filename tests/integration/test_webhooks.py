"""Webhooks against a real HTTP server: what is sent, signed, repeated, asked, and never waited for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.config import Config, load
from components.errors import ConfigError
from components.hook_runner import Decision, HookRunner
from components.redact import Redactor
from components.webhooks import Webhooks
from tests.http_listener import Listener, listening
from tests.waiting import until

SECRET = "a-secret-of-webhooks"
PAYLOAD = {"version": 1, "task": {"id": "1", "title": "Use sk-ant-0123456789abcdef and my-own-key-4711"}}


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as told:
        yield told


def configured(tmp_path: Path, text: str, **given: object) -> Config:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    return load({"webhooks": text, "webhook_secret_file": str(secret), **given}, {"HOME": str(tmp_path)}).config


def attached(config: Config, tmp_path: Path) -> tuple[HookRunner, Webhooks]:
    hooks = HookRunner(tmp_path / "no-hooks")
    webhooks = Webhooks(config, Redactor(["my-own-key-4711"]))
    webhooks.attach(hooks)
    return hooks, webhooks


def test_a_moment_is_told_signed_and_without_secrets(listener: Listener, tmp_path: Path) -> None:
    hooks, webhooks = attached(configured(tmp_path, f"post_task={listener.url}"), tmp_path)

    outcome = hooks.run("post_task", PAYLOAD)
    hooks.run("health_check", {})
    webhooks.close()

    assert outcome.decision is Decision.GO
    ((headers, body),) = listener.requests
    assert json.loads(body) == {"version": 1, "task": {"id": "1", "title": "Use [secret] and [secret]"}}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert "authorization" not in headers


def test_a_passing_failure_is_tried_again_under_the_same_id_and_then_given_up(
    listener: Listener, tmp_path: Path
) -> None:
    listener.answers = [(503, b""), (500, b""), (503, b""), (500, b"")]
    hooks, webhooks = attached(configured(tmp_path, f"post_task={listener.url}", webhook_tries=3), tmp_path)

    hooks.run("post_task", PAYLOAD)
    webhooks.close(30)

    assert len(listener.requests) == 3
    assert len({headers["webhook-id"] for headers, _ in listener.requests}) == 1


@pytest.mark.parametrize("status", [400, 404, 302])
def test_a_refusal_is_not_repeated_and_a_redirect_is_not_followed(
    listener: Listener, tmp_path: Path, status: int
) -> None:
    listener.answers = [(status, b"")]
    hooks, webhooks = attached(configured(tmp_path, f"post_task={listener.url}"), tmp_path)

    hooks.run("post_task", PAYLOAD)
    webhooks.close()

    assert len(listener.requests) == 1


def test_a_server_that_does_not_answer_delays_no_task_and_no_end(listener: Listener, tmp_path: Path) -> None:
    listener.gate.clear()
    hooks, webhooks = attached(configured(tmp_path, f"post_task={listener.url}", webhook_timeout=20), tmp_path)
    began = time.monotonic()

    for _ in range(50):
        hooks.run("post_task", PAYLOAD)
    assert time.monotonic() - began < 2
    webhooks.close(0.5)

    assert time.monotonic() - began < 5


def test_a_server_that_answers_late_is_left_at_the_time_limit(listener: Listener, tmp_path: Path) -> None:
    listener.gate.clear()
    config = configured(tmp_path, f"pre_task={listener.url}", webhook_timeout=0.3, webhook_gates="yes")
    hooks, _ = attached(config, tmp_path)
    began = time.monotonic()

    outcome = hooks.run("pre_task", PAYLOAD)

    assert outcome.decision is Decision.LATER
    assert "no answer in time" in outcome.detail
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("status", "answer", "decision", "word"),
    [
        (204, b"", Decision.GO, ""),
        (200, b"not json", Decision.GO, ""),
        (200, b'{"decision": "no", "reason": "frozen \\u001b[31muntil Monday"}', Decision.NO, "frozen until Monday"),
        (200, b'{"decision": "later"}', Decision.LATER, "later"),
        (403, b"", Decision.NO, "HTTP 403"),
        (302, b"", Decision.NO, "HTTP 302"),
        (503, b"", Decision.LATER, "HTTP 503"),
    ],
)
def test_a_gate_obeys_the_answer_where_it_is_configured_so(
    listener: Listener, tmp_path: Path, status: int, answer: bytes, decision: Decision, word: str
) -> None:
    listener.answers = [(status, answer)]
    hooks, _ = attached(configured(tmp_path, f"pre_execution={listener.url}", webhook_gates="yes"), tmp_path)

    outcome = hooks.run("pre_task", PAYLOAD)

    assert outcome.decision is decision
    assert word in outcome.detail


def test_without_that_setting_a_refusal_stops_nothing(listener: Listener, tmp_path: Path) -> None:
    listener.answers = [(403, b"")]
    hooks, webhooks = attached(configured(tmp_path, f"pre_task={listener.url}"), tmp_path)

    assert hooks.run("pre_task", PAYLOAD).decision is Decision.GO
    webhooks.close()
    assert len(listener.requests) == 1


def test_the_queue_is_worked_off_again_after_it_was_empty(listener: Listener, tmp_path: Path) -> None:
    hooks, _ = attached(configured(tmp_path, f"post_task={listener.url}"), tmp_path)

    for number in range(1, 4):
        hooks.run("post_task", PAYLOAD)
        until(lambda wanted=number: len(listener.requests) == wanted, "the webhook is told")


def test_what_is_shown_of_an_address_has_not_its_path(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = configured(tmp_path, "pre_task=http://127.0.0.1:1/services/T0/very-secret", webhook_gates="yes")
    hooks, _ = attached(config, tmp_path)

    outcome = hooks.run("pre_task", PAYLOAD)

    assert outcome.decision is Decision.LATER
    assert "http://127.0.0.1:1/" in outcome.detail
    assert "very-secret" not in outcome.detail + caplog.text


@pytest.mark.parametrize(
    "text", ["before=http://a/", "post_task=ftp://a/", "post_task=", "post_task=http://u:p@a/", "post_task=http://"]
)
def test_a_mistake_in_the_table_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="webhooks"):
        configured(tmp_path, text)


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    config = configured(tmp_path, "post_task=http://127.0.0.1:1/")
    (tmp_path / "secret").chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 600"):
        Webhooks(config)


def test_a_callable_is_registered_and_replaced_by_its_own_id(tmp_path: Path) -> None:
    hooks = HookRunner(tmp_path / "no-hooks")
    hooks.register("pre_execution", lambda _: False, "mine")
    hooks.register("pre_task", lambda _: True, "mine")

    assert hooks.run("pre_task", {}).decision is Decision.GO
    with pytest.raises(ConfigError, match="another id"):
        hooks.register("error", print, "mine")
    hooks.unregister("mine")
