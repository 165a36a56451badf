"""A program that the demonstration starts beside itself, for as long as it is needed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from components.errors import RunnerError

ROOT = Path(__file__).parent.parent.parent
POLL_SECONDS = 0.05
LAST_LINES = 5
# PR_SET_PDEATHSIG is 1: should we be killed, so is the child. SIGTERM would not do for the runner: it would wait for
# the server, which is gone too, to tell it how the task ended.
LEASHED = (
    "import ctypes, runpy, signal; ctypes.CDLL(None).prctl(1, signal.SIGKILL);"
    " runpy.run_module('components.cli', run_name='__main__', alter_sys=True)"
)


@contextlib.contextmanager
def runner(
    words: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: Path | None = None, patience: float = 5.0
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our own commands; at the end of the context SIGTERM, and after `patience` seconds SIGKILL.

    It has a session of its own, so that a Ctrl-C is ours alone, to be passed on in order; it does not outlive us by
    much, even where we are killed. `output` takes both its
    streams; without it they are ours.
    """
    python_path = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH", "")]))
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(output.open("ab")) if output else None
        child = subprocess.Popen(
            [sys.executable, "-c", LEASHED, *words],
            env={**env, "PYTHONPATH": python_path},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        _end(child, patience)


def _end(child: subprocess.Popen[bytes], patience: float) -> None:
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def wait_for_line(beginning: str, output: Path, child: subprocess.Popen[bytes], *, timeout: float) -> str:
    """Return the rest of the first line of the output that begins so.

    Raises RunnerError, with the output's last lines, when the child ends or `timeout` seconds pass without it.
    """
    deadline = time.monotonic() + timeout
    while True:
        ended = child.poll() is not None
        for line in output.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
            if line.startswith(beginning) and line.endswith("\n"):
                return line.removeprefix(beginning).strip()
        if ended or time.monotonic() > deadline:
            said = "\n".join(output.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])
            how = f"ended with {child.returncode}" if ended else f"said nothing for {timeout:g} s"
            raise RunnerError(f"A program of the demonstration {how} before it said {beginning.strip()!r}: {said}")
        time.sleep(POLL_SECONDS)
