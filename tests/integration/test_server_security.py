"""Attempts to get past the service's rules: as a stranger, as another site's page, as a reader, with too much."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.server_process import Server, serving
from tests.waiting import until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that attempts leave as it is."""
    with serving(tmp_path_factory.mktemp("standing")) as made:
        yield made


def run(server: Server, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a `serve` that is to refuse, within a minute."""
    return subprocess.run(
        server.argv(*words), env={**server.env, **env}, capture_output=True, text=True, timeout=60, check=False
    )


def test_who_has_no_token_gets_nothing_but_signs_of_life(server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as stranger:
        answers = {
            path: stranger.get(path).status_code
            for path in ("/api/tasks", "/metrics", "/api/overview", "/nothing", "/api/agent-runtime/executions")
        }
        query = stranger.get(f"/api/tasks?token={server.token()}&access_token={server.token()}").status_code
        wrong = stranger.get("/api/tasks", headers={"Authorization": f"Bearer {server.token()}x"})
        open_ones = [stranger.get(path).status_code for path in ("/", "/health", "/ready", "/docs", "/openapi.json")]
        with pytest.raises(InvalidStatus) as refusal, connect(server.socket_url("/ws/events"), proxy=None):
            pass

    assert set(answers.values()) == {401}
    assert (query, wrong.status_code) == (401, 401)
    assert wrong.headers["WWW-Authenticate"].startswith("Bearer")
    assert open_ones == [200] * 5
    assert refusal.value.response.status_code == 401


def test_the_tokens_are_private_and_shown_once(server: Server, tmp_path: Path) -> None:
    for name in ("serve.token", "serve.read-token"):
        assert (server.home / name).stat().st_mode & 0o777 == 0o600
    assert server.process.stdout is not None
    first = [server.process.stdout.readline() for _ in range(2)]
    assert server.token() in first[0]

    server.stop()
    server.start()
    server.process.terminate()

    assert server.token() not in server.process.stdout.read()


def test_a_token_that_others_can_read_is_not_used(server: Server) -> None:
    (server.home / "serve.token").chmod(0o644)

    refused = run(server, "--port", "0")

    assert refused.returncode == 2
    assert "chmod 600" in refused.stderr


def test_the_reading_token_changes_nothing(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.token('serve.read-token')}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as reader, server.client() as api:
        task = api.post("/api/tasks", json={"title": "T"}).json()["id"]
        refused = [
            reader.post("/api/tasks", json={"title": "T"}).status_code,
            reader.post(f"/api/tasks/{task}/run").status_code,
            reader.delete(f"/api/tasks/{task}").status_code,
        ]
        read = [reader.get(path).status_code for path in (f"/api/tasks/{task}", "/metrics", "/api/overview")]

    assert refused == [403] * 3
    assert read == [200] * 3


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", ""])
def test_a_name_that_is_not_ours_is_not_answered(standing: Server, host: str) -> None:
    with standing.client() as api:
        assert api.get("/api/tasks", headers={"Host": host}).status_code == 421
        assert api.get("/", headers={"Host": host}).status_code == 421


def test_pages_of_other_sites_reach_neither_api_nor_streams(standing: Server) -> None:
    own = standing.url
    with standing.client() as api:
        codes = {
            origin: api.get("/api/tasks", headers={"Origin": origin}).status_code
            for origin in ("http://evil.example", "null", f"{own}.evil.example", "http://localhost:1", own)
        }
    headers = {**standing.headers, "Origin": "http://evil.example"}
    with (
        pytest.raises(InvalidStatus) as refusal,
        connect(standing.socket_url("/ws/events"), additional_headers=headers, proxy=None),
    ):
        pass

    assert codes.pop(own) == 200
    assert set(codes.values()) == {403}
    assert refusal.value.response.status_code == 403


def test_a_page_gives_its_token_as_a_protocol(standing: Server) -> None:
    words = ["agent-runner", f"agent-runner.token.{standing.token()}"]

    with connect(standing.socket_url("/ws/events"), subprotocols=words, origin=standing.url, proxy=None) as stream:
        assert stream.subprotocol == "agent-runner"
        assert json.loads(stream.recv(20))["type"] == "start"


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_of_a_hundred_megabytes_is_refused_before_it_is_read(standing: Server, is_announced: bool) -> None:
    piece = b" " * (1 << 20)
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += len(piece)
            yield piece

    headers = {"Content-Type": "application/json", **({"Content-Length": str(100 << 20)} if is_announced else {})}
    began = time.monotonic()
    with standing.client() as api:
        answer = api.post("/api/tasks", content=pieces(), headers=headers)

    assert answer.status_code == 413
    assert answer.json()["kind"] == "TooLarge"
    assert sent < 50 << 20
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"\xff\xfe", b'{"title": 1}', b'{"title": "\\ud800"}', b'{"title": "a\\u0000b"}']
)
def test_what_is_no_json_or_no_text_is_refused(standing: Server, body: bytes) -> None:
    with standing.client() as api:
        answer = api.post("/api/tasks", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert answer.json()["kind"] == "Invalid"


def test_no_id_leads_out_of_the_home(standing: Server) -> None:
    ids = ("..", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%00", "a/b", "\\..\\", "~", "%2e%2e", "x" * 5000)
    places = ("/api/tasks/{}", "/api/agent-runtime/executions/{}", "/api/agent-runtime/workspaces/{}", "/static/{}")
    with standing.client() as api:
        codes = {api.get(place.format(one)).status_code for place in places for one in ids}
        ended = {api.delete(place.format(one)).status_code for place in places[::2] for one in ids}

    assert codes <= {200, 404, 405, 307}
    assert ended <= {404, 405, 307}
    with standing.client() as api:
        assert "root:" not in api.get("/static/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd").text


def test_too_many_requests_are_told_to_wait(tmp_path: Path) -> None:
    with serving(tmp_path, HEADLESS_PM_RATE_LIMIT="20") as server, server.client() as api:
        codes = [api.get("/health").status_code for _ in range(40)]
        last = api.get("/health")

    assert codes[:15] == [200] * 15
    assert codes[-1] == 429
    assert last.headers["Retry-After"]


def test_guessing_tokens_is_slowed_down_and_does_not_lock_the_owner_out(server: Server) -> None:
    with server.client() as api:
        codes = [api.get("/api/tasks", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(80)]

        assert codes[0] == 401
        assert codes[-1] == 429
        assert api.get("/api/tasks").status_code == 200


def test_every_changing_call_leaves_a_line_in_the_audit(server: Server) -> None:
    with server.client() as api:
        api.get("/api/tasks")
        task = api.post("/api/tasks", json={"title": "T"}).json()["id"]
        api.delete(f"/api/tasks/{task}")
        api.post("/api/tasks", headers={"Authorization": "Bearer no"}, json={})

    file = server.home / "logs" / "audit.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(one["method"], one["status"]) for one in lines] == [("POST", 201), ("DELETE", 204), ("POST", 401)]
    assert lines[1]["path"] == f"/api/tasks/{task}"
    assert [one["caller"].partition(":")[0] for one in lines] == ["full", "full", "nobody"]
    assert server.token() not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_other_machines_are_not_listened_to_without_a_token(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        bare = run(server, "--host", "0.0.0.0", "--port", "0", HEADLESS_PM_HOME=str(tmp_path / "new"))
        without = run(server, "--host", "0.0.0.0", "--port", "0", "--no-token")

    assert (bare.returncode, without.returncode) == (2, 2)
    assert "--make-tokens" in bare.stderr
    assert "without a token" in without.stderr


def test_a_port_in_use_is_told_with_a_remedy(server: Server) -> None:
    refused = run(server, "--port", str(server.port))

    assert refused.returncode == 2
    assert f"127.0.0.1:{server.port}" in refused.stderr
    assert "--port" in refused.stderr


def test_it_serves_https_with_a_certificate(tmp_path: Path) -> None:
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = [str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names]
    subprocess.run([*make, "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)

    with serving(tmp_path, "--tls-key", files[0], "--tls-certificate", files[1]) as server:
        import ssl

        context = ssl.create_default_context(cafile=files[1])
        with httpx.Client(base_url=server.url, headers=server.headers, verify=context, trust_env=False) as api:
            answer = api.get("/api/tasks")

    assert server.url.startswith("https://")
    assert answer.status_code == 200


def test_half_open_connections_and_nonsense_do_not_keep_others_waiting(standing: Server) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(100):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", standing.port)))
            one.sendall([b"", b"GET / HTTP/1.1\r\nHost:", os.urandom(200)][number % 3])

        with standing.client() as api:
            answer = api.get("/api/tasks")

    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() < 2


def test_the_metrics_are_those_of_the_guide(server: Server) -> None:
    with server.client() as api:
        api.post("/api/tasks", json={"title": "T"})
        told = api.get("/metrics").text
    guide = (Path(__file__).parents[2] / "docs" / "api.md").read_text()

    names = {line.split()[2] for line in told.splitlines() if line.startswith("# TYPE")}
    assert 'agent_runner_board_tasks{status="todo"} 1.0' in told
    assert 'route="/api/tasks"' in told
    assert {name.removesuffix("_total").removesuffix("_created") for name in names} <= set(_words(guide))


def _words(text: str) -> Any:
    return (name.removesuffix("_total") for name in re.findall(r"agent_runner_\w+", text))


OTHERS = ("/", "/etc/passwd", "/metrics/x", "/health")


def test_a_daemon_serves_its_metrics_to_this_machine(tmp_path: Path, server: Server) -> None:
    log = tmp_path / "daemon.log"
    words = [
        "run",
        "--role",
        "backend_dev",
        "--agent-id",
        "dev_1",
        "--metrics-port",
        "0",
        "--repo",
        str(server.repository),
    ]
    env = {**server.env, "HEADLESS_PM_API_KEY": "a-key-of-a-test", "HEADLESS_PM_API_URL": "http://127.0.0.1:9"}
    argv = [*server.argv()[:-1], *words]
    with log.open("wb") as output:
        daemon = subprocess.Popen(argv, env=env, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        found = until(lambda: re.search(r"http://127\.0\.0\.1:\d+/metrics", log.read_text()), "the address", 30)
        assert found
        told = httpx.get(found[0], trust_env=False).text
        other = {path: httpx.get(found[0].replace("/metrics", path), trust_env=False).status_code for path in OTHERS}
        strange = httpx.get(found[0], headers={"Host": "evil.example"}, trust_env=False)
    finally:
        daemon.kill()
        daemon.wait()

    assert "agent_runner_store_up 1.0" in told
    assert "agent_runner_request_seconds" not in told
    assert other == {"/": 404, "/etc/passwd": 404, "/metrics/x": 404, "/health": 200}
    assert strange.status_code == 421
    assert "agent_runner" not in strange.text


def test_a_websocket_that_calls_two_names_is_refused_as_a_request_is(standing: Server) -> None:
    """Once the first was taken for the only one where it had a port."""
    ours = f"localhost:{standing.port}"
    for names in ([ours, "evil.example"], ["evil.example", ours], [ours, ours], [f"{ours}, evil.example"], []):
        hosts = "".join(f"Host: {name}\r\n" for name in names)
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        asked = f"GET /ws/events HTTP/1.1\r\n{hosts}Upgrade: websocket\r\nConnection: Upgrade\r\n{key}"
        with socket.create_connection(("127.0.0.1", standing.port)) as one:
            one.sendall(f"{asked}Authorization: Bearer {standing.token()}\r\n\r\n".encode())
            assert one.recv(12) == b"HTTP/1.1 421", names


def test_headers_without_end_are_cut_off(standing: Server) -> None:
    line = b"X-Filler: " + b"x" * 5000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", standing.port)) as one:
        one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            for _ in range(100_000):
                one.sendall(line)

    with standing.client() as api:
        assert api.get("/api/tasks").status_code == 200


def test_a_body_that_is_no_json_is_told_how_to_be_sent(standing: Server) -> None:
    with standing.client() as api:
        form = api.post("/api/tasks", data={"title": "T"})
        plain = api.post("/api/tasks", content='{"title": "T"}', headers={"Content-Type": "text/plain"})
        deep = api.post("/api/tasks", content="[" * 100_000, headers={"Content-Type": "application/json"})

    assert {one.status_code for one in (form, plain, deep)} == {400}
    assert all("Content-Type: application/json" in one.json()["error"] for one in (form, plain))
    assert "no JSON" in deep.json()["error"]


def test_a_request_with_two_hosts_is_not_answered(standing: Server) -> None:
    with socket.create_connection(("127.0.0.1", standing.port)) as one:
        one.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        answer = one.recv(100)

    assert answer.startswith(b"HTTP/1.1 421")
