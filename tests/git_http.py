"""Real git over real HTTP: `git http-backend` behind a small server with a password, redirects and delays."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class GitServer:
    """Serves the bare repositories of a directory; `password` "" lets everybody in.

    `asked` are the requests it was sent, each with its Authorization header ("" for none). While `gate` is not set,
    requests wait. `redirect` is the origin that all requests are sent to, "" for none.
    """

    def __init__(self, root: Path, host: str = "127.0.0.1") -> None:
        self.root = root
        self.password = ""
        self.redirect = ""
        self.asked: list[tuple[str, str]] = []
        self.gate = threading.Event()
        self.gate.set()
        server = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.answer(self)

            def do_POST(self) -> None:
                server.answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer((host, 0), Answers)
        self.http.daemon_threads = True
        self.origin = f"http://{host}:{self.http.server_address[1]}"

    def url(self, name: str = "shop.git") -> str:
        return f"{self.origin}/{name}"

    def make(self, source: Path, name: str = "shop.git") -> Path:
        """Make a bare repository of what a repository has."""
        bare = self.root / name
        subprocess.run(["git", "clone", "-q", "--bare", str(source), str(bare)], check=True)
        subprocess.run(["git", "-C", str(bare), "config", "http.receivepack", "true"], check=True)
        return bare

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        given = request.headers.get("Authorization", "")
        self.asked.append((request.path, given))
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if request.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(_chunks(request))
        self.gate.wait(30)
        if self.redirect:
            self._send(request, 302, {"Location": self.redirect + request.path}, b"")
        elif (
            self.password and base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")[2] != self.password
        ):
            self._send(request, 401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        else:
            self._backend(request, body)

    def _backend(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        path, _, query = request.path.partition("?")
        env = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": request.command,
            "REMOTE_USER": "somebody",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        }
        told = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False).stdout
        head, _, content = told.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self._send(request, int(headers.pop("Status", "200").split()[0]), headers, content)

    def _send(self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: bytes) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        try:
            request.wfile.write(content)
        except OSError:
            request.close_connection = True


def _chunks(request: BaseHTTPRequestHandler) -> Iterator[bytes]:
    while size := int(request.rfile.readline(), 16):
        yield request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()


@contextmanager
def serving(root: Path, host: str = "127.0.0.1") -> Iterator[GitServer]:
    """Serve a directory until the end of the block."""
    root.mkdir(parents=True, exist_ok=True)
    server = GitServer(root, host)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.http.shutdown()
        server.http.server_close()
        thread.join(10)
