"""Whoever is killed while an agent works, it goes on, its end is judged, and its stream has each byte once."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from tests.server_process import Server, serving
from tests.waiting import until

LONG = 60.0
TALKING = """
import time
number = 0
while not (here / 'gate').exists():
    number += 1
    print(f'line {number}', flush=True)
    time.sleep(0.01)
print('the end', flush=True)
"""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, play=TALKING) as made:
        yield made


class Listener(threading.Thread):
    """Hears a stream to its exit, connecting again at the offset that it has whenever it breaks."""

    def __init__(self, server: Server, path: str) -> None:
        super().__init__(daemon=True)
        self.server, self.path = server, path
        self.heard = b""
        self.connections = 0
        self.exits: list[dict[str, Any]] = []
        self.start()

    def run(self) -> None:
        deadline = time.monotonic() + LONG
        while not self.exits and time.monotonic() < deadline:
            with contextlib.suppress(OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                address = f"{self.server.socket_url(self.path)}?from={len(self.heard)}"
                with connect(address, additional_headers=self.server.headers, proxy=None) as stream:
                    self.connections += 1
                    for frame in stream:
                        self._hear(json.loads(frame))

    def _hear(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "output" and frame["stream"] == "stdout":
            assert frame["offset"] == len(self.heard)
            self.heard += frame["data"].encode() if frame["encoding"] == "utf-8" else base64.b64decode(frame["data"])
            assert frame["end"] == len(self.heard)
        if frame["type"] == "exit":
            self.exits.append(frame)


def test_runner_and_service_are_killed_the_agent_is_adopted_and_its_stream_is_whole(server: Server) -> None:
    with server.client() as api:
        task = api.post("/api/tasks", json={"title": "Talk"}).json()["id"]
        started = api.post(f"/api/tasks/{task}/run").json()
        listener = Listener(server, f"/ws/executions/{started['execution_id']}")
        until(lambda: listener.heard.count(b"\n") > 20, "some output", LONG)
        agent = server.agent_pid()

        os.kill(started["pid"], signal.SIGKILL)
        server.stop(signal.SIGKILL)
        heard = len(listener.heard)
        server.start()
        until(lambda: len(listener.heard) > heard + 200, "more output", LONG)
        until(lambda: server.runner_pid(started["execution_id"]) not in (0, started["pid"]), "another runner", LONG)
        runner = server.runner_pid(started["execution_id"])
        meanwhile = until(lambda: (told := api.get(f"/api/tasks/{task}").json())["pid"] == runner and told, "pid", LONG)
        (server.directory / "gate").touch()
        done = until(lambda: (told := api.get(f"/api/tasks/{task}").json())["status"] == "review" and told, "end", LONG)
        listener.join(LONG)

    whole = b"".join(path.read_bytes() for path in (server.home / "runs").glob("*/out"))
    assert listener.heard == whole
    assert whole.endswith(b"the end\n")
    assert (meanwhile["status"], meanwhile["execution_id"]) == ("running", started["execution_id"])
    assert [one["status"] for one in listener.exits] == ["succeeded"]
    assert listener.connections == 2
    assert len(list((server.home / "runs").glob("*"))) == 1, "the agent was started again"
    assert server.agent_pid() == agent
    assert done["output"][-1] == "the end"


def test_an_order_whose_runner_is_killed_gets_another_while_the_service_runs(server: Server) -> None:
    order = {"worker": "backend_dev", "repository": "shop", "task": "Talk"}
    with server.client() as api:
        started = api.post("/api/agent-runtime/execute", json=order).json()
        listener = Listener(server, f"/ws/executions/{started['execution_id']}")
        until(lambda: listener.heard.count(b"\n") > 20, "some output", LONG)

        os.kill(started["pid"], signal.SIGKILL)
        until(lambda: server.runner_pid(started["execution_id"]) not in (0, started["pid"]), "another runner", LONG)
        (server.directory / "gate").touch()
        listener.join(LONG)

        told = api.get("/metrics").text

    assert "agent_runner_runners_replaced_total 1.0" in told
    assert "agent_runner_adopted_total 1.0" in told
    assert len(listener.exits) == listener.connections == 1
    assert listener.exits[0]["reason"] == "succeeded"
    assert listener.heard.endswith(b"the end\n")
