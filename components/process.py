"""Processes: the only module, with the shim, that starts any."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.model import Captured

COOKIE = "AGENT_RUNNER_COOKIE"
OUTPUT_LIMIT = 1 << 20
POLL_SECONDS = 0.5


def capture(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Captured:
    """Run a helper program in a session of its own and return what it printed (the first MB of each stream).

    Its end is the end of the process, not of its output: a child left in the background that holds the output open
    is not waited for. After `timeout` seconds, or 16 MB of output, everything it started is killed.
    Raises OSError when the program cannot be started.
    """
    cookie = uuid.uuid4().hex
    environment = {**(os.environ if env is None else env), COOKIE: cookie}
    started = time.monotonic()
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        child = subprocess.Popen(
            argv,
            stdin=given,
            stdout=out,
            stderr=err,
            env=environment,
            cwd=cwd,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        ended = _wait_within(child, started + timeout, (out.fileno(), err.fileno()))
        if not ended:
            kill_marked(child, cookie)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read(OUTPUT_LIMIT))
        return Captured(
            child.returncode if ended else None, texts[0], texts[1], time.monotonic() - started, timed_out=not ended
        )


def _wait_within(child: subprocess.Popen[bytes], deadline: float, outputs: Sequence[int]) -> bool:
    """Wait for the child; False when the deadline (monotonic seconds) or the output limit came first."""
    fd = os.pidfd_open(child.pid)
    try:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            if poller.poll(max(0.0, min(left, POLL_SECONDS)) * 1000):
                child.wait()
                return True
            if left <= 0 or any(os.fstat(output).st_size > 16 * OUTPUT_LIMIT for output in outputs):
                return False
    finally:
        os.close(fd)


def kill_marked(child: subprocess.Popen[bytes], cookie: str) -> None:
    """Kill a child, its group and whatever carries its cookie in its environment, until none is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    quiet = 0
    while quiet < 2:
        quiet = 0 if _kill_all(_carriers(cookie)) else quiet + 1


def _kill_all(pids: Sequence[int]) -> int:
    killed = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def _carriers(cookie: str) -> list[int]:
    """Return the processes of this machine that carry a cookie in their environment."""
    mark = f"{COOKIE}={cookie}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                    found.append(int(entry))
    return found
