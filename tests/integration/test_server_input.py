"""What is wrong with a request is told by the name of the field, also where a WebSocket was asked for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.server_process import Server, serving

RUNTIME = "/api/agent-runtime"
ORDER = {"worker": "backend_dev", "repository": "shop", "task": "Paint"}
SOME = "0" * 32

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that starts nothing."""
    with serving(tmp_path_factory.mktemp("input")) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        (f"/ws/executions/{SOME}?from=abc", 400, "from"),
        (f"/ws/tasks/{SOME}?stream=zzz", 400, "stream"),
        (f"/ws/tasks/{SOME}?max_lag=-1", 400, "max_lag"),
        ("/ws/events?after=x", 400, "after"),
        ("/ws/events?afer=1", 400, "afer"),
        (f"/ws/tasks/{SOME}?form=1", 400, "form"),
        ("/ws/nope", 404, None),
        ("/", 404, None),
    ],
)
def test_a_websocket_that_cannot_be_is_refused_with_why(
    server: Server, path: str, status: int, named: str | None
) -> None:
    """Once every one of them got a 403 without a word."""
    with (
        pytest.raises(InvalidStatus) as refusal,
        connect(server.socket_url(path), additional_headers=server.headers, proxy=None),
    ):
        pass

    answer = refusal.value.response
    told = json.loads(answer.body or b"{}")
    assert (answer.status_code, told.get("field")) == (status, named)
    assert told["error"]


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("GET", "/api/costs?sinse=2026-11-01&by=day", "sinse: there is no such parameter; did you mean since?"),
        ("GET", "/api/days?day=7", "day: there is no such parameter; did you mean days?"),
        ("GET", "/api/overview?all=1", "all: there is no such parameter; none is known here"),
        ("GET", "/api/tasks?state=todo", "state: there is no such parameter; did you mean status?"),
        ("GET", f"{RUNTIME}/executions?limt=5", "limt: there is no such parameter; did you mean limit?"),
        ("GET", "/api/workflows?page=2", "page: there is no such parameter; known are: status, before, limit"),
        ("POST", f"{RUNTIME}/executions/{SOME}/restart?resum=1", "resum: there is no such parameter; did you mean"),
        ("DELETE", f"{RUNTIME}/workspaces/x?forse=1", "forse: there is no such parameter; did you mean force?"),
        ("GET", f"/api/executions/{SOME}/stream?form=1", "form: there is no such parameter; did you mean from?"),
    ],
)
def test_a_parameter_that_a_route_does_not_know_is_refused_with_the_nearest(
    server: Server, method: str, path: str, words: str
) -> None:
    """Once a misspelt `since` was passed over, and the costs were those of all days."""
    with server.client() as api:
        answer = api.request(method, path)

    told = answer.json()
    assert (answer.status_code, told["field"]) == (400, words.partition(":")[0])
    assert told["error"].startswith(words)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"timeout_ms": "5000"}, "timeout_ms"),
        ({"timeout_ms": 500.0}, "timeout_ms"),
        ({"timeout_ms": True}, "timeout_ms"),
        ({"budget_usd": True}, "budget_usd"),
        ({"budget_usd": "5"}, "budget_usd"),
        ({"branch": "../../x"}, "branch"),
        ({"repository": "ext::sh -c touch"}, "repository"),
    ],
)
def test_an_order_has_numbers_for_numbers_and_the_field_is_named(
    server: Server, change: dict[str, Any], named: str
) -> None:
    with server.client() as api:
        answer = api.post(f"{RUNTIME}/execute", json={**ORDER, **change})

    assert (answer.status_code, answer.json().get("field")) == (400, named), answer.text


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/api/tasks?colour=red", "colour"),
        ("/api/tasks?before=garbage", "before"),
        (f"{RUNTIME}/executions?colour=red", "colour"),
        (f"{RUNTIME}/executions?since=garbage", "since"),
        (f"{RUNTIME}/executions?until=2026-99-01", "until"),
        (f"{RUNTIME}/executions?before=garbage", "before"),
    ],
)
def test_a_query_that_means_nothing_is_refused_by_the_name_of_what_is_wrong(
    server: Server, path: str, named: str
) -> None:
    with server.client() as api:
        answer = api.get(path)

    assert (answer.status_code, answer.json().get("field")) == (400, named), answer.text


def test_a_time_may_be_a_day_or_of_another_zone(server: Server) -> None:
    with server.client() as api:
        paths = ("2026-11-21", "2026-11-21T14:30:00%2B05:30", "2026-11-21T14:30:00+05:30", "2026-11-21T14:30:00Z")
        codes = [api.get(f"{RUNTIME}/executions?since={word}").status_code for word in paths]

    assert codes == [200] * 4


@pytest.mark.parametrize("text", ['{"title": ', "{'title': 1}", "", "\udcff"])
def test_what_is_no_json_is_wrong_as_a_whole(server: Server, text: str) -> None:
    """Once the place where it breaks was told as the field, such as "1"."""
    with server.client() as api:
        answer = api.post(
            "/api/tasks",
            content=text.encode(errors="surrogateescape"),
            headers={"Content-Type": "application/json"},
        )

    assert (answer.status_code, answer.json()["field"]) == (400, "body")


def test_pages_may_be_asked_for_by_head_and_a_refused_method_tells_all_that_are_taken(server: Server) -> None:
    with server.client() as api:
        heads = [api.head(path) for path in ("/", "/docs", "/health", "/ready")]
        allowed = {path: api.put(path).headers["Allow"] for path in ("/api/tasks", f"/api/tasks/{SOME}", "/")}

    assert [(one.status_code, one.content) for one in heads] == [(200, b"")] * 4
    assert allowed == {"/api/tasks": "GET, POST", f"/api/tasks/{SOME}": "DELETE, GET", "/": "GET, HEAD"}


@pytest.mark.parametrize(
    ("full", "read", "said"),
    [("short", "r" * 43, "serve.token"), ("s" * 43, "s" * 43, "serve.read-token")],
)
def test_a_token_that_can_be_guessed_or_is_both_is_not_used(
    server: Server, tmp_path: Path, full: str, read: str, said: str
) -> None:
    for name, token in (("serve.token", full), ("serve.read-token", read)):
        (tmp_path / name).write_text(token)
        (tmp_path / name).chmod(0o600)

    refused = subprocess.run(
        server.argv("--port", "0", "--repo", str(server.repository)),
        env={**server.env, "HEADLESS_PM_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert refused.returncode == 2
    assert f"{tmp_path}/{said}" in refused.stderr.replace("\n", "")
    assert "--make-tokens" in refused.stderr
