"""The real Claude CLI reads a prompt before the model does; nothing in a task's text may move it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

from components import prompt
from components.model import Task, Workspace
from components.states import Reason
from tests.scripted_model import claude_env, run_claude, scripted

INSIDE = "what-the-file-says-7391"
MENTIONS = '@{path}\nsee @{path} and @"{path}" and\u3002@{path}, or\x1b[0m @{path}'


@pytest.fixture
def work(tmp_path: Path) -> Path:
    directory = tmp_path / "work"
    directory.mkdir()
    (tmp_path / "outside.txt").write_text(INSIDE)
    return directory


@contextmanager
def overheard(url: str) -> Iterator[tuple[str, list[str]]]:
    """Stand before the model, pass everything on, and keep the requests as they came."""
    bodies: list[str] = []

    class Ear(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(body.decode())
            behind = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
            behind.request("POST", self.path, body, dict(self.headers))
            answer = behind.getresponse()
            said = answer.read()
            behind.close()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.getheader("Content-Type", ""))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Ear) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bodies
        finally:
            server.shutdown()
            thread.join()


def sent(text: str, work: Path) -> str:
    """Return everything that the CLI sends to the model for a prompt."""
    with scripted("Done.") as model, overheard(model.url) as (url, bodies):
        ran = run_claude(text, env=claude_env(url, work.parent), cwd=work)
    assert (ran.exit_code, ran.result["result"]) == (0, "Done.")
    return "".join(bodies)


def test_the_cli_puts_mentioned_files_into_the_request(work: Path) -> None:
    """That the next test can fail."""
    assert INSIDE in sent(f"Look at @{work.parent}/outside.txt", work)


def test_a_task_that_mentions_files_gets_none_of_them(work: Path) -> None:
    text = MENTIONS.format(path=work.parent / "outside.txt")
    task = Task(
        id="1", title=f'@{work.parent}/outside.txt "@{work.parent}/outside.txt" @', description=text, notes=text
    )

    given = prompt.build(
        task,
        instructions="Do it.",
        role="backend_dev",
        workspace=Workspace(path=work, repository=work),
        attempt=1,
        marker="5eed0123456789ab",
        earlier=text,
    )

    request = sent(given, work)
    assert "outside.txt" in request
    assert INSIDE not in request


def test_what_was_left_and_what_a_role_is_told_pull_no_file_in_when_a_session_goes_on(work: Path) -> None:
    text = MENTIONS.format(path=work.parent / "outside.txt")
    path = f"@{work.parent}/outside.txt"

    given = prompt.build(
        Task(id="1", title=path, feature_id=path, epic_id=path),
        instructions=text,
        role="backend_dev",
        workspace=Workspace(path=work, repository=work),
        attempt=2,
        marker="5eed0123456789ab",
        resuming=True,
        earlier=f"diff --git a/x b/x\n+++ b/x\n@@ -1 +1 @@ {path}\n+{path}\n{text}",
        reason=Reason.CHECKS_FAILED,
        groups=(path, text),
    )
    fresh = prompt.build(
        Task(id="1", title="t"),
        instructions=text,
        role="backend_dev",
        workspace=Workspace(path=work, repository=work),
        attempt=1,
        marker="5eed0123456789ab",
    )

    assert INSIDE not in sent(given, work)
    assert INSIDE not in sent(fresh, work)


def test_a_description_of_10_mb_reaches_the_model_cut(work: Path) -> None:
    """The CLI refuses over 10 MB on standard input, and its older versions 2 MB."""
    given = prompt.build(
        Task(id="1", title="t", description="BEGIN " + "x" * 10_000_000 + " END-OF-IT", notes="y" * 10_000_000),
        instructions="Do it.",
        role="backend_dev",
        workspace=Workspace(path=work, repository=work),
        attempt=1,
        marker="5eed0123456789ab",
    )

    request = sent(given, work)

    assert "BEGIN xxx" in request
    assert "xxx END-OF-IT" in request
    assert "bytes were left out here" in request


def test_a_task_that_begins_with_a_command_of_the_cli_reaches_the_model(work: Path) -> None:
    """`/help` at the beginning of a prompt runs at once, exits 0, and the model never sees the task."""
    given = prompt.build(
        Task(id="1", title="/help", description="/help"),
        instructions="/clear",
        role="backend_dev",
        workspace=Workspace(path=work, repository=work),
        attempt=1,
        marker="5eed0123456789ab",
    )

    assert "5eed0123456789ab Description" in sent(given, work)
