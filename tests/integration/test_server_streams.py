"""Live output: byte by byte what the agent printed, for many clients, whoever is slow and whoever is killed."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import ClientConnection, connect

from tests.server_process import Server, serving
from tests.waiting import until

LONG = 60.0
WAIT = "import time\nwhile not (here / 'gate').exists(): time.sleep(0.02)\n"
MEGABYTES_GROWN = 30

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def begun(api: httpx.Client) -> tuple[str, str]:
    """Put a task on the board and run it; return its id and its execution's."""
    task = str(api.post("/api/tasks", json={"title": "Print"}).json()["id"])
    answer = api.post(f"/api/tasks/{task}/run")
    assert answer.status_code == 200, answer.text
    return task, str(answer.json()["execution_id"])


def opened(server: Server, path: str, **more: Any) -> ClientConnection:
    return connect(server.socket_url(path), additional_headers=server.headers, proxy=None, **more)


def frames(server: Server, path: str) -> list[dict[str, Any]]:
    """Return all frames of a stream, to its end."""
    with opened(server, path) as stream:
        return [json.loads(frame) for frame in stream]


def content(told: list[dict[str, Any]], stream: str = "stdout", at: int = 0) -> bytes:
    """Return what the frames of a stream hold, having checked that each begins where the one before ended."""
    found = b""
    for frame in told:
        if frame["type"] == "output" and frame["stream"] == stream:
            assert frame["offset"] == at + len(found)
            data = frame["data"]
            found += data.encode() if frame["encoding"] == "utf-8" else base64.b64decode(data)
            assert frame["end"] == at + len(found)
    return found


def printed(server: Server, execution: str, name: str = "out") -> bytes:
    runs = sorted((server.home / "runs").glob(f"*-{execution[:8]}-*"))
    return b"".join((run / name).read_bytes() for run in runs if (run / name).exists())


def test_a_stream_is_what_the_agent_printed_whatever_bytes_those_are(server: Server, api: httpx.Client) -> None:
    server.play(
        "import random\nr = random.Random(1)\nfor n in range(40):\n"
        "    os.write(1, r.randbytes(997)); os.write(1, 'é€𝄞 \\x1b[31m\\n'.encode() * 500); os.write(2, b'\\xff\\n')\n"
    )
    task, execution = begun(api)

    told = frames(server, f"/ws/tasks/{task}")
    again = frames(server, f"/ws/executions/{execution}?from=1001&from_stderr=3")

    assert content(told) == printed(server, execution)
    assert content(told, "stderr") == printed(server, execution, "err")
    assert content(again, at=1001) == printed(server, execution)[1001:]
    assert content(again, "stderr", at=3) == printed(server, execution, "err")[3:]
    assert [told[-1][name] for name in ("type", "status", "exit_code", "task_status")] == [
        "exit",
        "succeeded",
        0,
        "review",
    ]
    assert all(frame["timestamp"] for frame in told)


def test_a_megabyte_of_text_and_bytes_is_told_whole_from_any_offset_while_it_is_printed(
    server: Server, api: httpx.Client
) -> None:
    """Once all that followed a character across a multiple of 32 KiB was left out, and a proper end told."""
    server.play(
        "os.write(1, b'x' * 32766 + '\\u20ac\\n'.encode())\n" + WAIT + "import random\nr = random.Random(2)\n"
        "for n in range(60):\n    os.write(1, '𝄞€é'.encode() * r.randint(1, 2500) + r.randbytes(r.randint(0, 9)))\n"
        "os.write(1, b'y' * (1 << 20) + '€'.encode()[:2])"
    )
    task, execution = begun(api)
    with ThreadPoolExecutor(3) as pool:
        live = pool.submit(frames, server, f"/ws/tasks/{task}")
        within = pool.submit(frames, server, f"/ws/executions/{execution}?from=32767")
        events = pool.submit(_events, api, f"/api/executions/{execution}/stream")
        until(lambda: len(printed(server, execution)) > 32766, "the first output", LONG)
        (server.directory / "gate").touch()
        told = [(live.result(), 0), (within.result(), 32767), (events.result(), 0)]
    whole = printed(server, execution)

    told += [(frames(server, f"/ws/executions/{execution}?from={at}"), at) for at in (32766, 65537, len(whole) - 1)]

    assert len(whole) > 1 << 20
    for one, at in told:
        assert content(one, at=at) == whole[at:]
        assert (one[-1]["type"], one[-1]["offsets"]["stdout"]) == ("exit", len(whole))


def _events(api: httpx.Client, path: str) -> list[dict[str, Any]]:
    with api.stream("GET", path) as answer:
        return [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: ")]


def test_frames_of_lines_join_and_the_last_line_needs_no_end(server: Server, api: httpx.Client) -> None:
    """Once a frame began where the service had read last, and a line without an end was lost where it came early."""
    server.play("print('first'); print('x' * 300_000); print('last', end='', flush=True)\n" + WAIT)
    _, execution = begun(api)
    told = []
    with opened(server, f"/ws/executions/{execution}?view=lines&stream=stdout") as stream:
        while not told or told[-1].get("end", 0) < 300_007:
            told.append(json.loads(stream.recv(LONG)))
        (server.directory / "gate").touch()
        told += [json.loads(frame) for frame in stream]

    lines = [frame for frame in told if frame["type"] == "lines"]
    assert [frame["offset"] for frame in lines] == [0, *(frame["end"] for frame in lines[:-1])]
    assert lines[-1]["end"] == len(printed(server, execution))
    assert [one["text"] for frame in lines for one in frame["lines"]][-1] == "last"


def test_a_stream_goes_on_at_its_offset_after_the_service_was_killed(server: Server, api: httpx.Client) -> None:
    server.play("print('before ' * 9000, flush=True)\n" + WAIT + "print('after')")
    task, execution = begun(api)
    found = []
    with opened(server, f"/ws/tasks/{task}") as stream:
        while not found or found[-1].get("end", 0) < 63_001:
            found.append(json.loads(stream.recv(LONG)))
        server.stop(signal.SIGKILL)
        with pytest.raises(ConnectionClosed):
            stream.recv(LONG)

    server.start()
    (server.directory / "gate").touch()
    rest = frames(server, f"/ws/executions/{execution}?from={found[-1]['end']}")

    assert content(found) + content(rest, at=found[-1]["end"]) == printed(server, execution)
    assert content(rest, at=found[-1]["end"]) == b"after\n"


def test_all_attempts_are_one_stream(tmp_path: Path) -> None:
    play = "print('attempt', os.environ['AGENT_RUNNER_ATTEMPT']); sys.exit(os.environ['AGENT_RUNNER_ATTEMPT'] == '1')"
    with serving(tmp_path, play=play, HEADLESS_PM_EVIDENCE="none") as server, server.client() as api:
        order = {"worker": "backend_dev", "repository": "shop", "task": "Try"}
        execution = api.post("/api/agent-runtime/execute", json=order).json()["execution_id"]

        told = frames(server, f"/ws/executions/{execution}")

        assert content(told) == b"attempt 1\nattempt 2\n"
        assert [frame["attempt"] for frame in told if frame["type"] == "attempt"] == [1, 2]


def test_readable_lines_come_whole_and_are_gone_on_with_after_the_last(server: Server, api: httpx.Client) -> None:
    server.play("for n in range(5000): print(f'line {n} \\x1b[31mred')")
    _, execution = begun(api)

    told = [one for one in frames(server, f"/ws/executions/{execution}?view=lines") if one["type"] == "lines"]
    rest = frames(server, f"/ws/executions/{execution}?view=lines&from={told[0]['end']}")

    lines = [line["text"] for one in told for line in one["lines"]]
    assert lines == [f"line {n} red" for n in range(5000)]
    assert [line["text"] for one in rest if one["type"] == "lines" for line in one["lines"]] == lines[
        len(told[0]["lines"]) :
    ]


def test_a_client_that_wants_to_be_live_is_taken_forward_and_told_of_the_gap(server: Server, api: httpx.Client) -> None:
    server.play("for n in range(200000): print('line', n)")
    _, execution = begun(api)
    frames(server, f"/ws/executions/{execution}")
    whole = printed(server, execution)

    told = frames(server, f"/ws/executions/{execution}?max_lag=100000")

    gap = next(one for one in told if one["type"] == "gap")
    assert gap["skipped"] == gap["end"] - gap["offset"] > 0
    rest = [one for one in told if one["type"] == "output" and one["offset"] >= gap["end"]]
    assert content(rest, at=gap["end"]) == whole[gap["end"] :]
    assert whole[gap["end"] - 1 : gap["end"]] == b"\n"


def test_events_for_curl_go_on_after_the_last_one(server: Server, api: httpx.Client) -> None:
    server.play("for n in range(9000): print('line', n)")
    task, execution = begun(api)

    with api.stream("GET", f"/api/tasks/{task}/stream") as answer:
        events = [line.removeprefix("id: ") for line in answer.iter_lines() if line.startswith(("id: ", "event: "))]
    last = events[events.index("event: output") + 1]
    with api.stream("GET", f"/api/executions/{execution}/stream", headers={"Last-Event-ID": last}) as answer:
        rest = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: ")]

    assert events[-2] == "event: exit"
    at = int(last.partition("-")[0])
    assert 0 < at < len(printed(server, execution))
    assert content(rest, at=at) == printed(server, execution)[at:]


def test_fifty_clients_get_all_of_it_and_a_client_that_never_reads_costs_nothing(
    server: Server, api: httpx.Client
) -> None:
    server.play(
        "import time\nbegan = time.monotonic()\nline = b'x' * 1023 + b'\\n'\n" + WAIT + "began = time.monotonic()\n"
        "for n in range(40):\n    os.write(1, line * 512)\n"
        "    time.sleep(max(0, began + n * 0.025 - time.monotonic()))\n"
        "(here / 'took').write_text(str(time.monotonic() - began))"
    )
    task, execution = begun(api)
    memory = psutil.Process(server.process.pid)
    with opened(server, f"/ws/tasks/{task}") as one:
        one.recv(LONG)
        idle = _deaf(server, f"/ws/executions/{execution}")
        before = memory.memory_info().rss
        with ThreadPoolExecutor(50) as pool:
            following = [pool.submit(_counted, server, f"/ws/executions/{execution}") for _ in range(50)]
            (server.directory / "gate").touch()
            most = before
            while not all(future.done() for future in following):
                most = max(most, memory.memory_info().rss)
                time.sleep(0.05)
            counts = [future.result() for future in following]
        idle.close()

    size = len(printed(server, execution))
    assert size == 40 * 512 * 1024
    assert counts == [size] * 50
    assert (most - before) >> 20 < MEGABYTES_GROWN
    assert float((server.directory / "took").read_text()) < 5.0


def _counted(server: Server, path: str) -> int:
    """Return how many bytes of output a client got, each once."""
    at = 0
    with opened(server, path, compression=None) as stream:
        for frame in stream:
            told = json.loads(frame)
            if told["type"] == "output":
                assert told["offset"] == at
                at = told["end"]
    return at


def _deaf(server: Server, path: str) -> socket.socket:
    """Return the connection of a client that asks for a stream and never reads a byte of it."""
    deaf = socket.create_connection(("127.0.0.1", server.port))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    upgrade = f"Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}"
    deaf.sendall(f"GET {path} HTTP/1.1\r\n{upgrade}Authorization: Bearer {server.token()}\r\n\r\n".encode())
    return deaf


def test_the_service_ends_at_once_although_streams_are_open(server: Server, api: httpx.Client) -> None:
    server.play(WAIT)
    task, _ = begun(api)
    with opened(server, f"/ws/tasks/{task}") as stream, opened(server, "/ws/events") as events:
        stream.recv(LONG)
        events.recv(LONG)
        began = time.monotonic()

        code = server.stop()

        assert code == 0
        assert time.monotonic() - began < 4.0
        with pytest.raises(ConnectionClosed):
            while True:
                stream.recv(LONG)


def test_events_tell_moves_and_changes_and_what_was_missed(server: Server, api: httpx.Client) -> None:
    with opened(server, "/ws/events") as events:
        start = json.loads(events.recv(LONG))
        task, execution = begun(api)
        told = []
        while not any(one.get("after") == "succeeded" for one in told):
            told.append(json.loads(events.recv(LONG)))
    with opened(server, f"/ws/events?after={start['last_event']}") as events:
        events.recv(LONG)
        missed = []
        while not missed or missed[-1].get("after") != "succeeded":
            missed.append(json.loads(events.recv(LONG)))

    moves = [one for one in told if one["type"] == "execution"]
    assert {one["task"]["id"] for one in told if one["type"] == "task"} == {task}
    assert {one["execution_id"] for one in moves} == {execution}
    assert missed == moves


def test_a_thousand_idle_streams_of_all_kinds_cost_no_time_and_one_too_many_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, play=WAIT, HEADLESS_PM_MAX_STREAMS="1000") as server, server.client() as api:
        _, execution = begun(api)
        waiting = api.post("/api/tasks", json={"title": "Not yet"}).json()["id"]
        until(lambda: list((server.home / "runs").glob("*")), "the run", LONG)
        paths = (f"/ws/executions/{execution}", f"/ws/tasks/{waiting}", "/ws/events", f"/ws/tasks/{waiting}")
        memory = psutil.Process(server.process.pid)
        before = memory.memory_info().rss
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(contextlib.closing(_deaf(server, paths[n % 4]))) for n in range(1000)]
            for one in idle:
                one.settimeout(LONG)
                assert one.recv(12) == b"HTTP/1.1 101"

            used, began = sum(memory.cpu_times()[:2]), time.monotonic()
            answers = [api.get("/api/tasks").elapsed.total_seconds() for _ in range(20)]
            until(lambda: time.monotonic() - began > 2.0, "two seconds of rest")
            share = (sum(memory.cpu_times()[:2]) - used) / (time.monotonic() - began)
            refused = [_refusal(server, path) for path in paths]
            curl = api.get(f"/api/tasks/{waiting}/stream")
            grown = memory.memory_info().rss - before
            server.stop(signal.SIGKILL)

    assert {one.status_code for one in refused} == {503}
    assert b"max_streams is 1000" in (refused[0].body or b"")
    assert (curl.status_code, curl.json()["kind"]) == (503, "TooManyStreams")
    assert sorted(answers)[len(answers) // 2] < 0.2
    assert share < 0.4, "idle streams are looked at one by one"
    assert grown / 1000 < 100_000


def _refusal(server: Server, path: str) -> Response:
    with pytest.raises(InvalidStatus) as refusal, opened(server, path):
        pass
    return refusal.value.response


def test_whoever_waits_for_a_task_is_told_its_output_or_that_it_went(server: Server, api: httpx.Client) -> None:
    server.play("print('at last')")
    tasks = [api.post("/api/tasks", json={"title": "Later"}).json()["id"] for _ in range(2)]
    with opened(server, f"/ws/tasks/{tasks[0]}") as one, opened(server, f"/ws/tasks/{tasks[1]}") as other:
        api.post(f"/api/tasks/{tasks[0]}/run")
        api.delete(f"/api/tasks/{tasks[1]}")
        told = [json.loads(frame) for frame in one]
        gone = json.loads(other.recv(LONG))

    assert content(told) == b"at last\n"
    assert (gone["type"], gone["kind"]) == ("error", "NotFound")


def test_what_is_not_there_is_told_and_closed(server: Server) -> None:
    for path in ("/ws/tasks/nothing", "/ws/executions/..", "/ws/executions/ffff"):
        with opened(server, path) as stream:
            told = json.loads(stream.recv(LONG))
            with pytest.raises(ConnectionClosed) as end:
                stream.recv(LONG)
        assert told["type"] == "error"
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 4404
