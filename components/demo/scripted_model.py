"""A loopback server that speaks the Anthropic Messages API, so that the real Claude CLI works without an account.

with ScriptedModel(scripts, log=path) as model:
    ...  # ANTHROPIC_BASE_URL=model.url

python -m components.demo.scripted_model --port 0 --scripts FILE --log FILE [--parent PID]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import select
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from components.demo import messages_api
from components.demo.conversation import Conversation, parse_conversation
from components.demo.script import STREAM_FAULTS, Fault, Repertoire, Script, Turn, load_scripts
from components.errors import ConfigError

LOGGED_CHARACTERS = 4000


class ScriptedModel:
    """The server, in a thread of its own from entering to leaving the context.

    `requests` is the log so far: one mapping per answer, as in the log file.
    """

    def __init__(self, scripts: Sequence[Script] = (), *, log: Path | None = None, port: int = 0) -> None:
        self.repertoire = Repertoire(scripts)
        self.requests: list[dict[str, Any]] = []
        self.stopping = threading.Event()
        self._log = log
        self._played: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Answer)
        self._server.model = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="scripted-model")

    @property
    def url(self) -> str:
        """Where it listens: the value for ANTHROPIC_BASE_URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next_turn(self, asked: Conversation) -> Turn:
        """Choose the turn for a request and log it; a fault that was played often enough is left out."""
        try:
            name, turn = self.repertoire.turn(asked.prompt, asked.turn)
        except ConfigError as mistake:
            name, turn = "", Turn(text=f"The script in the prompt cannot be played. {mistake}")
        with self._lock:
            key = (asked.session, asked.turn)
            fault = turn.fault
            if fault and not _is_due(fault, self._played[key], asked):
                fault = None
            self._played[key] += 1
            self._record(asked, name, fault)
        return Turn(turn.text, turn.tools, turn.sleep, fault, turn.input_tokens, turn.output_tokens)

    def _record(self, asked: Conversation, script: str, fault: Fault | None) -> None:
        entry = {
            "at": time.time(),
            "session": asked.session,
            "model": asked.model,
            "script": script,
            "turn": asked.turn,
            "stream": asked.stream,
            "fault": fault.name if fault else None,
            "cwd": asked.directory,
            "prompt": asked.prompts[-1][:LOGGED_CHARACTERS] if asked.prompts else "",
            "tool_results": [result[:LOGGED_CHARACTERS] for result in asked.tool_results],
        }
        self.requests.append(entry)
        if self._log:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")


def _is_due(fault: Fault, played: int, asked: Conversation) -> bool:
    """Whether a fault is played once more: not for ever, and in a stream only if it is one of streams."""
    return (fault.times is None or played < fault.times) and (asked.stream or fault.name not in STREAM_FAULTS)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    model: ScriptedModel

    def handle_error(self, request: object, client_address: object) -> None:
        """An agent that goes away in the middle of an answer is nothing to speak of."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        """The CLI asks at its start whether anybody is there."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        """Play the next turn of the conversation."""
        given = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.partition("?")[0] != "/v1/messages":
            self._send(404, {"type": "error", "error": {"type": "not_found_error", "message": self.path}})
            return
        try:
            session = self.headers.get("X-Claude-Code-Session-Id", "")
            asked = parse_conversation(json.loads(given), session)
        except (ValueError, KeyError, TypeError, AttributeError) as mistake:
            self._send(400, {"type": "error", "error": {"type": "invalid_request_error", "message": repr(mistake)}})
            return
        self._play(self.server.model.next_turn(asked), asked)

    def _play(self, turn: Turn, asked: Conversation) -> None:
        fault = turn.fault
        self.server.model.stopping.wait(turn.sleep)
        if fault and fault.name == "hang":
            self.server.model.stopping.wait(fault.seconds)
            self.close_connection = True
        elif fault and fault.name not in STREAM_FAULTS:
            status, body = messages_api.error(fault, asked.model)
            self._send(status, body, messages_api.headers(fault))
        elif asked.stream:
            self._stream(messages_api.message(turn, asked), fault)
        else:
            self._send(200, messages_api.message(turn, asked))

    def _stream(self, whole: Mapping[str, Any], fault: Fault | None) -> None:
        self._head(200, {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"})
        pieces: Iterable[bytes] = map(messages_api.encode, messages_api.events(whole))
        if fault and fault.name == "malformed":
            pieces = [b"event: message_start\ndata: {this is no JSON\n\n"]
        if fault and fault.name == "slow":
            pieces = self._slowly(pieces, fault.seconds)
        if fault and fault.name == "cut":
            pieces = itertools.islice(pieces, 3)
        for piece in pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if fault and fault.name == "cut":
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _slowly(self, pieces: Iterable[bytes], seconds: float) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            self.server.model.stopping.wait(seconds)

    def _send(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        text = json.dumps(body).encode()
        self._head(status, {"Content-Type": "application/json", "Content-Length": str(len(text)), **(headers or {})})
        self.wfile.write(text)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        self.send_header("request-id", f"req_scripted_{time.monotonic_ns()}")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing on stderr: the log file tells more."""


def wait_for_end(pid: int | None) -> None:
    """Wait until a process has ended; for ever when there is none to wait for."""
    if pid is None:
        threading.Event().wait()
        return
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            select.select([fd], [], [])
        finally:
            os.close(fd)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the parent ends, or until a signal."""
    parser = argparse.ArgumentParser(prog="scripted_model", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 is any free one; it is printed")
    parser.add_argument("--scripts", type=Path, help="YAML or JSON file of scripts; without it only scripts in prompts")
    parser.add_argument("--log", type=Path, help="JSON lines, one per request")
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this process ends")
    given = parser.parse_args(argv)
    try:
        scripts = load_scripts(given.scripts) if given.scripts else ()
    except ConfigError as mistake:
        print(mistake, file=sys.stderr)
        return 2
    with ScriptedModel(scripts, log=given.log, port=given.port) as model:
        print(f"Scripted model listening on {model.url}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            wait_for_end(given.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
