"""The client of a Headless PM server against servers that lie, stall, flood and lead astray."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.errors import SourceRefused, SourceUnavailable, Unauthorized
from components.model import Task
from components.ports import Alarm
from components.sources.headless_pm import HeadlessPm
from tests.unit.test_pm_wire import row

KEY = "secret-key-of-the-pm"
TASK = Task("7", "T", role="backend_dev", created_at=str(row()["created_at"]))
Answer = bytes | Callable[[socket.socket, threading.Event], None]


class RawServer:
    """Answers each request with the next of its answers, the last one for ever; keeps what it was sent."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[bytes] = []
        self.closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self.closing.is_set():
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(5)
                    self.requests.append(self._request(connection))
                    self._answer(connection)

    def _request(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def _answer(self, connection: socket.socket) -> None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, bytes):
            connection.sendall(answer)
        else:
            answer(connection, self.closing)

    def paths(self) -> list[str]:
        """Return the method and path of each request."""
        return [" ".join(request.decode().split(" ", 2)[:2]) for request in self.requests]

    def close(self) -> None:
        """Stop serving."""
        self.closing.set()
        self._thread.join()
        self._listener.close()


@contextlib.contextmanager
def serving(*answers: Answer) -> Iterator[RawServer]:
    server = RawServer(*answers)
    try:
        yield server
    finally:
        server.close()


def reply(body: bytes | object, status: str = "200 OK", *headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def reset(connection: socket.socket, _: threading.Event) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def dripping(data: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Send the data one byte at a time, each well within any pause that a client may allow."""

    def drip(connection: socket.socket, closing: threading.Event) -> None:
        for byte in data:
            if closing.wait(0.05):
                return
            connection.sendall(bytes([byte]))

    return drip


def flooding(head: bytes, size: int = 2 << 30) -> Callable[[socket.socket, threading.Event], None]:
    """Send up to `size` bytes of nothing of use, as fast as they are taken."""

    def flood(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(head)
        piece = b"x" * 65536
        for _ in range(size // len(piece)):
            if closing.is_set():
                return
            connection.sendall(piece)

    return flood


def client(url: str, *, timeout: float = 5.0, wait: Callable[[float], object] = lambda seconds: None) -> HeadlessPm:
    return HeadlessPm(url, KEY, "dev_1", "backend_dev", "senior", timeout=timeout, wait=wait)


CALLS: dict[str, Callable[[HeadlessPm], object]] = {
    "register": lambda source: source.register(),
    "next_task": lambda source: source.next_task(),
    "look": lambda source: source.look(TASK),
    "lock": lambda source: source.lock(TASK),
    "set_status": lambda source: source.set_status(TASK, "under_work"),
    "comment": lambda source: source.comment(TASK, "hello"),
    "history": lambda source: source.history(TASK),
    "alarm": lambda source: source.alarm(Alarm("t", "c")),
}
WRITES = frozenset({"lock", "set_status", "comment", "alarm"})
every_call = pytest.mark.parametrize("call", CALLS)

NONSENSE: dict[str, tuple[Answer, str]] = {
    "html": (reply(b"<!DOCTYPE html><html><h1>Sign in</h1></html>"), "HTML"),
    "torn json": (reply(b'{"id": 7, "title": "T'), "no whole JSON"),
    "no bytes": (reply(b""), "no whole JSON"),
    "binary": (reply(bytes(range(256))), "no whole JSON"),
    "deep json": (reply(b"[" * 200_000), "nested too deeply|no whole JSON"),
    "a number": (reply(5), "expected|HTTP"),
    "a text": (reply("hello"), "expected|HTTP"),
    "500 as text": (reply(b"Internal Server Error", "500 Internal Server Error"), "HTTP 500"),
    "502 as html": (reply(b"<html>bad gateway</html>", "502 Bad Gateway"), "HTTP 502"),
    "too early": (reply(b"", "425 Too Early"), "HTTP 425"),
    "cut short": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", "ended before the answer was whole"),
    "no http": (b"SSH-2.0-OpenSSH_9.2\r\n", "ended before the answer was whole"),
    "nothing": (b"", "ended before the answer was whole"),
    "reset": (reset, "reset|ended before"),
    "compressed": (reply(b"\x1f\x8b\x08\x00\x00\x00", "200 OK", "Content-Encoding: gzip"), "no whole JSON"),
}


# An offer that is no task is passed over instead, see below.
OFFERS = {("next_task", "a number"), ("next_task", "a text")}


@pytest.mark.parametrize(("call", "kind"), [pair for pair in itertools.product(CALLS, NONSENSE) if pair not in OFFERS])
def test_nonsense_is_told_as_what_was_seen_and_may_pass(call: str, kind: str) -> None:
    answer, told = NONSENSE[kind]

    with serving(answer) as server, pytest.raises(SourceUnavailable, match=told) as caught:
        CALLS[call](client(server.url))

    assert ("outcome unknown" in str(caught.value)) == (call in WRITES and kind != "too early")
    assert "\n" not in str(caught.value)
    if call in WRITES:
        assert len(server.requests) == 1


@every_call
def test_no_server_at_all_is_an_error_to_wait_for_and_not_an_exit(call: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    with pytest.raises(SourceUnavailable, match="connection refused; is the server running there") as caught:
        CALLS[call](client(url))

    assert "outcome unknown" not in str(caught.value)


def test_a_name_that_leads_nowhere_is_told_and_nothing_was_sent() -> None:
    with pytest.raises(SourceUnavailable, match="HEADLESS_PM_API_URL right") as caught:
        client("http://nowhere.invalid:6969").lock(TASK)

    assert "outcome unknown" not in str(caught.value)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n",
    ],
    ids=["announced", "unannounced", "chunked"],
)
def test_two_gigabytes_are_not_read(head: bytes) -> None:
    with serving(flooding(head)) as server:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        with pytest.raises(SourceUnavailable, match="larger than 16,000,000 bytes"):
            client(server.url).next_task()

        assert len(server.requests) == 1
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


@pytest.mark.parametrize("status", ["404 Not Found", "302 Found\r\nLocation: http://127.0.0.1:1/"])
def test_two_gigabytes_of_a_refusal_or_a_redirect_are_not_read(status: str) -> None:
    with serving(flooding(f"HTTP/1.1 {status}\r\nContent-Length: 2147483648\r\n\r\n".encode())) as server:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        with pytest.raises((SourceRefused, SourceUnavailable)) as caught:
            client(server.url).next_task()

        assert len(str(caught.value)) < 1_000
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


@pytest.mark.parametrize(
    "answer",
    [
        dripping(reply(row())),
        dripping(b"HTTP/1.1 200 OK\r\n" + b"X-Wait: please\r\n" * 60),
        dripping(b"HTTP/1.1 100 Continue\r\n\r\n" * 60),
        dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200),
    ],
    ids=["body", "headers", "continue", "chunks"],
)
def test_an_answer_that_drips_is_waited_for_no_longer_than_a_silent_one(answer: Answer) -> None:
    with serving(answer) as server:
        began = time.monotonic()

        with pytest.raises(SourceUnavailable, match=r"no answer within 1 s; outcome unknown"):
            client(server.url, timeout=1.0).lock(TASK)

        assert 0.9 < time.monotonic() - began < 4


def test_a_silent_server_is_asked_once_more_only_while_that_is_soon() -> None:
    def silent(_: socket.socket, closing: threading.Event) -> None:
        closing.wait()

    with serving(silent) as server:
        began = time.monotonic()

        with pytest.raises(SourceUnavailable, match=r"no answer within 3\.1 s"):
            client(server.url, timeout=3.1).next_task()

        assert time.monotonic() - began < 6
        assert len(server.requests) == 1


def test_the_key_is_never_sent_to_another_origin() -> None:
    with serving(reply(row())) as thief:
        for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"):
            for call in CALLS.values():
                away = reply(b"", status, f"Location: {thief.url}/api/v1/tasks/next?role=backend_dev")
                with (
                    serving(away) as server,
                    pytest.raises(SourceUnavailable, match=r"a redirect to .*set HEADLESS_PM_API_URL"),
                ):
                    call(client(server.url))
                assert all(KEY.encode() in request for request in server.requests)

        assert thief.requests == []


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(reply(row())) as server, serving(reply(b"", "502 Bad Gateway")) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)

        task = client(server.url).next_task()

        assert task is not None and proxy.requests == []


def test_a_proxy_of_the_environment_is_used_for_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(reply(row())) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)

        task = client("http://pm.example.invalid:6969").next_task()

        assert task is not None
        assert proxy.paths()[0].startswith("GET http://pm.example.invalid:6969/api/v1/tasks/next?")


def test_passwords_of_a_netrc_file_and_cookies_stay_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password from-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    with serving(reply(row(), "200 OK", "Set-Cookie: a=b; Path=/")) as server:
        source = client(server.url)
        source.next_task()
        source.next_task()

    sent = b"".join(server.requests).lower()
    assert b"authorization" not in sent and b"cookie" not in sent
    assert sent.count(KEY.encode()) == 2


def test_what_is_asked_for_next_says_that_the_server_shall_not_wait() -> None:
    with serving(reply(None)) as server:
        assert client(server.url).next_task() is None

    assert server.paths() == ["GET /api/v1/tasks/next?role=backend_dev&level=senior&timeout=0"]


def test_a_connection_is_used_again() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull"

    def twice(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(answer)
        assert b"/tasks/next" in connection.recv(65536)
        connection.sendall(answer)

    with serving(twice) as server:
        source = client(server.url)
        source.next_task()
        source.next_task()

        assert len(server.requests) == 1


def test_retry_after_is_waited_for_up_to_ten_seconds() -> None:
    waits: list[float] = []
    later = reply(b"", "503 Service Unavailable", "Retry-After: 7")

    with serving(later, reply(row())) as server:
        task = client(server.url, wait=waits.append).next_task()

    assert task is not None
    assert len(waits) == 1 and 7 <= waits[0] <= 8.5


def test_retry_after_may_be_a_date_by_the_servers_own_clock() -> None:
    waits: list[float] = []
    dates = ("Date: Mon, 01 Jan 2001 00:00:00 GMT", "Retry-After: Mon, 01 Jan 2001 00:00:04 GMT")

    with serving(reply(b"", "429 Too Many Requests", *dates), reply(row())) as server:
        client(server.url, wait=waits.append).next_task()

    assert len(waits) == 1 and 4 <= waits[0] <= 5.5


@pytest.mark.parametrize("value", ["11", "99999999999999999999"])
def test_a_longer_retry_after_is_left_to_whoever_asked(value: str) -> None:
    waits: list[float] = []

    with (
        serving(reply(b"", "503 Service Unavailable", f"Retry-After: {value}")) as server,
        pytest.raises(SourceUnavailable, match="HTTP 503, to be asked again in"),
    ):
        client(server.url, wait=waits.append).next_task()

    assert waits == [] and len(server.requests) == 1


@pytest.mark.parametrize("value", ["soon", "-5", "", "Mon, 99 Jan", "1e9"])
def test_a_retry_after_that_makes_no_sense_is_none(value: str) -> None:
    waits: list[float] = []

    with serving(reply(b"", "503 Busy", f"Retry-After: {value}"), reply(row())) as server:
        client(server.url, wait=waits.append).next_task()

    assert len(waits) == 1 and waits[0] <= 1.5


def test_waits_between_tries_are_short_and_random() -> None:
    waits: list[float] = []

    with serving(reply(b"", "500 Oops")) as server:
        source = client(server.url, wait=waits.append)
        for _ in range(10):
            with pytest.raises(SourceUnavailable):
                source.next_task()

    assert len(server.requests) == 30 and len(waits) == 20
    assert min(waits) >= 0 and max(waits) <= 1.5 and len(set(waits)) > 10


def test_an_interrupted_wait_ends_the_tries() -> None:
    class Stopped(Exception):
        pass

    def interrupted(seconds: float) -> None:
        raise Stopped

    with serving(reply(b"", "500 Oops")) as server, pytest.raises(Stopped):
        client(server.url, wait=interrupted).next_task()

    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 410, 422])
def test_a_refusal_carries_the_servers_words_and_no_terminal_escape(status: int) -> None:
    detail = {"detail": "\x1b]0;owned\x07\x1b[31mNo\x1b[0m\nsuch thing " + "x" * 5_000}

    with (
        serving(reply(detail, f"{status} No")) as server,
        pytest.raises(SourceRefused, match="No such thing") as caught,
    ):
        client(server.url).comment(TASK, "hello")

    assert f"({status})" in str(caught.value) and "outcome unknown" not in str(caught.value)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700


@pytest.mark.parametrize("status", ["401 No", "403 No", "422 No"])
def test_a_server_that_repeats_the_key_does_not_bring_it_into_a_message(status: str) -> None:
    refusal = reply({"detail": f"bad key {KEY}"}, status)

    with serving(refusal) as server, pytest.raises((SourceRefused, Unauthorized)) as caught:
        client(server.url).comment(TASK, "hello")

    assert KEY not in str(caught.value) and KEY not in repr(vars(caught.value))


def test_another_service_at_the_address_is_recognised() -> None:
    with (
        serving(reply({"detail": "Not Found"}, "404 Not Found")) as server,
        pytest.raises(SourceRefused, match="is HEADLESS_PM_API_URL the address of a Headless PM server"),
    ):
        client(server.url).register()


def test_an_offer_that_cannot_be_read_is_passed_over_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    hostile = row(id="../../x")
    wrong = row(id=8, target_role="wizard")
    good = row(id=9, created_at="2026-11-21T09:00:00")
    listed = reply([hostile, wrong, "noise", row(id=3, locked_by="dev_2"), row(id=4, status="committed"), good])

    with serving(reply(hostile), listed, reply([]), reply(wrong), listed, reply([])) as server:
        source = client(server.url)
        with caplog.at_level(logging.WARNING):
            first, second = source.next_task(), source.next_task()

    assert first is not None and second is not None and (first.id, second.id) == ("9", "9")
    assert [record.getMessage().count("left alone") for record in caplog.records] == [1, 1]
    assert "'../../x'" in caplog.text and "wizard" in caplog.text


def test_statuses_that_a_server_does_not_know_are_asked_for_once(caplog: pytest.LogCaptureFixture) -> None:
    def no_such_status(connection: socket.socket, _: threading.Event) -> None:
        path = server.paths()[-1]
        if "/health" in path:
            connection.sendall(reply({"status": "healthy"}))
        elif "status=" not in path or "status=created" in path:
            connection.sendall(reply([]))
        else:
            detail = {"detail": [{"loc": ["query", "status"], "msg": "Input should be 'created'"}]}
            connection.sendall(reply(detail, "422 Unprocessable Entity"))

    with serving(no_such_status) as server:
        source = client(server.url)
        with pytest.raises(SourceUnavailable, match="looking again"):
            source.look(TASK)
        first = len(server.requests)
        with pytest.raises(SourceUnavailable, match="looking again"):
            source.look(TASK)

    assert len(server.requests) - first == 2
    assert [path.partition("?")[2] for path in server.paths()[first:]] == [
        "status=created&role=backend_dev",
        "role=backend_dev",
    ]


def test_a_server_that_knows_upper_case_only_is_spoken_to_in_upper_case() -> None:
    def upper_only(connection: socket.socket, _: threading.Event) -> None:
        request = server.requests[-1].decode()
        moved = row(status="UNDER_WORK")
        if '"under_work"' in request:
            detail = {"detail": [{"loc": ["body", "status"], "msg": "Input should be 'UNDER_WORK'"}]}
            connection.sendall(reply(detail, "422 Unprocessable Entity"))
        else:
            connection.sendall(reply({"task": moved}))

    with serving(upper_only) as server:
        source = client(server.url)
        assert source.set_status(TASK, "under_work").status == "under_work"
        assert source.set_status(TASK, "under_work").status == "under_work"

    spoken = [json.loads(request.partition(b"\r\n\r\n")[2])["status"] for request in server.requests]
    assert spoken == ["under_work", "UNDER_WORK", "UNDER_WORK"]


def test_a_task_that_moves_while_it_is_looked_for_is_found_in_the_list_of_all() -> None:
    def moving(connection: socket.socket, _: threading.Event) -> None:
        path = server.paths()[-1]
        body = {} if "/health" in path else [] if "status=" in path else [row(status="blocked")]
        connection.sendall(reply(body))

    with serving(moving) as server:
        seen = client(server.url).look(TASK)

    assert seen is not None and seen.status == "blocked"


def test_a_task_is_missed_when_two_rounds_miss_it_and_the_list_of_all_is_too_large() -> None:
    def large(connection: socket.socket, closing: threading.Event) -> None:
        path = server.paths()[-1]
        if "/health" in path or "status=" in path:
            connection.sendall(reply({} if "/health" in path else []))
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 25000000\r\n\r\n")

    with serving(large) as server, pytest.raises(SourceUnavailable, match="looking again"):
        client(server.url).look(TASK)

    assert sum("status=under_work" in path for path in server.paths()) == 2


def test_an_answer_about_another_task_is_not_believed() -> None:
    with (
        serving(reply({"task": row(id=8)})) as server,
        pytest.raises(SourceUnavailable, match="moved task 8 for 7; outcome unknown"),
    ):
        client(server.url).set_status(TASK, "under_work")


def test_an_address_may_end_like_the_api_does() -> None:
    with serving(reply(None)) as server:
        client(f"{server.url}/api/v1/").next_task()
        client(f"{server.url}/prefix/").next_task()

    assert [path.partition("?")[0] for path in server.paths()] == [
        "GET /api/v1/tasks/next",
        "GET /prefix/api/v1/tasks/next",
    ]


def test_a_health_page_of_a_proxy_means_no_additions() -> None:
    for page in (reply(b"<html>hello</html>"), reply({"detail": "Not Found"}, "404 Not Found")):
        with serving(page) as server:
            assert client(server.url).capabilities() == frozenset()
