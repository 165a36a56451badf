"""How long a killed daemon's agent is alone: from the start of the next daemon until it watches the same agent again.

Once with the server there, and once with the server away.

Run: `.venv/bin/python -m benchmarks.recovery [ROUNDS]`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from components import durable
from tests.pm_server import running_pm
from tests.runner import Runner


def is_watched(path: Path) -> bool:
    """Whether a daemon holds the lock on `watched`."""
    fd = durable.try_lock(path / "watched")
    if fd is None:
        return True
    os.close(fd)
    return False


def wait_until_watched(path: Path) -> None:
    """Wait, looking every 10 ms."""
    while not is_watched(path):
        time.sleep(0.01)


def recover(runner: Runner, run: Path, daemon: subprocess.Popen[bytes], rounds: int) -> subprocess.Popen[bytes]:
    """Kill and start a daemon again and again beside one agent; print the median, p99 and worst time in seconds."""
    times = []
    for _ in range(rounds):
        runner.kill(daemon)
        started = time.monotonic()
        daemon = runner.start()
        wait_until_watched(run)
        times.append(time.monotonic() - started)
    assert runner.starts() == 1
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    median = statistics.median(times)
    print(f"{rounds} kills: re-attached after {median:.2f} s (median), {p99:.2f} s (p99), {ordered[-1]:.2f} s (worst)")
    return daemon


def main() -> None:
    """Measure with the server there, then with the server away."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, running_pm(Path(name), "--real") as pm:
        pm.api.task("Long")
        runner = Runner(Path(name), pm, "wait")
        daemon = runner.start()
        while not runner.starts():
            time.sleep(0.01)
        run = runner.runs()[0].path
        wait_until_watched(run)
        print("server there: ", end="", flush=True)
        daemon = recover(runner, run, daemon, rounds)
        pm.kill()
        print("server away:  ", end="", flush=True)
        recover(runner, run, daemon, rounds)
        runner.close()


if __name__ == "__main__":
    main()
