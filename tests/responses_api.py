"""A model that speaks the OpenAI Responses API as far as the Codex CLI needs it: it plays turns, one a request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40},
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 110,
}


def says(text: str) -> dict[str, Any]:
    """Return a turn that is a text."""
    return {"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": text}]}


def runs(command: str) -> dict[str, Any]:
    """Return a turn that calls the shell, by whichever tool the CLI offers."""
    return {"command": command}


def fails(status: int, message: str = "", **headers: str) -> dict[str, Any]:
    """Return a turn that is an error of the service; the last turn is played again and again."""
    return {"status": status, "message": message or f"status {status}", "headers": headers}


class ResponsesModel:
    """Plays its turns on a port of its own; `requests` are the bodies of what it was asked."""

    def __init__(self, *turns: Mapping[str, Any]) -> None:
        self.turns: Sequence[Mapping[str, Any]] = turns
        self.requests: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.model = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def turn(self, body: dict[str, Any]) -> Mapping[str, Any]:
        """Note what is asked, and return the turn that answers it."""
        self.requests.append(body)
        return self.turns[min(len(self.requests), len(self.turns)) - 1]


def events(turn: Mapping[str, Any], asked: Mapping[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """Yield a turn as the events of a stream."""
    response: dict[str, Any] = {"id": f"resp_{number}"}
    item = _call(turn["command"], asked, number) if "command" in turn else dict(turn)
    yield {"type": "response.created", "response": response}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": {**response, "usage": USAGE, "output": [item]}}


def _call(command: str, asked: Mapping[str, Any], number: int) -> dict[str, Any]:
    offered = {tool.get("name") for tool in asked.get("tools", [])}
    name, given = next(
        (name, given)
        for name, given in (
            ("exec_command", {"cmd": command, "yield_time_ms": 10_000}),
            ("shell_command", {"command": command}),
            ("shell", {"command": ["sh", "-c", command]}),
        )
        if name in offered or name == "shell"
    )
    called = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": name}
    return {**called, "arguments": json.dumps(given)}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send(404, b"{}", {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        model: ResponsesModel = self.server.model  # type: ignore[attr-defined]
        turn = model.turn(body)
        if "status" in turn:
            error = {"error": {"message": turn["message"], "type": "error", "code": str(turn["status"])}}
            self._send(turn["status"], json.dumps(error).encode(), turn["headers"])
            return
        stream = "".join(
            f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
            for event in events(turn, body, len(model.requests))
        )
        self._send(200, stream.encode(), {"content-type": "text/event-stream"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
