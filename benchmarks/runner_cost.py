"""What the runner itself costs: start, rest, end, and its own CPU per task. Prints the README's figures.

Run: `.venv/bin/python -m benchmarks.runner_cost`. CPU seconds are the daemon's own, from /proc; hooks, git and the
agent are processes of their own and are not counted. The shim's are measured apart, by running it alone.
"""

from __future__ import annotations

import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from components import process
from components.model import Command
from components.run_directory import Limits, RunDirectory, RunState
from tests.pm_server import running_pm
from tests.runner import Runner

TICKS = os.sysconf("SC_CLK_TCK")
IDLE_SECONDS = 30
TASKS = 20


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process itself, without its children: fields 14 and 15 of its stat."""
    fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_megabytes(pid: int) -> float:
    """Return the resident memory of a process."""
    status = Path("/proc", str(pid), "status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def wait_for(runner: Runner, words: str, count: int = 1) -> None:
    """Wait until the daemon has said these words so often."""
    while not runner.log.exists() or runner.log.read_text().count(words) < count:
        time.sleep(0.005)


def measure_idle(directory: Path) -> None:
    """Measure a start to the first poll, a minute of rest, and the end by SIGTERM."""
    with running_pm(directory) as pm:
        runner = Runner(directory, pm)
        runner.env["HEADLESS_PM_POLL_INTERVAL"] = "5"
        daemon = runner.start()
        wait_for(runner, "No tasks available")
        started = cpu_seconds(daemon.pid)
        print(f"cold start to first poll, Claude CLI found and checked: {started:.2f} s CPU")
        time.sleep(IDLE_SECONDS)
        used = cpu_seconds(daemon.pid) - started
        memory = rss_megabytes(daemon.pid)
        print(f"idle: {memory:.1f} MB RSS, {used / IDLE_SECONDS:.3%} of a core over {IDLE_SECONDS} s")
        before = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
        print(f"SIGTERM while idle to exit: {time.monotonic() - before:.3f} s")


def measure_tasks(directory: Path) -> None:
    """Measure the daemon's own CPU per minor task, with an agent that ends at once and no hooks."""
    hooks = directory / "hooks"
    hooks.mkdir()
    with running_pm(directory, "--real") as pm:
        for number in range(TASKS):
            pm.api.task(f"Task {number}")
        runner = Runner(directory, pm)
        runner.env["AGENT_COMMAND"] = "true"
        daemon = runner.start("--hooks-dir", str(hooks))
        wait_for(runner, "Taking task")
        started = cpu_seconds(daemon.pid)
        wait_for(runner, "updated to: dev_done", TASKS)
        own = (cpu_seconds(daemon.pid) - started) / TASKS
        daemon.kill()
        daemon.wait()
    shim = measure_shim(directory)
    print(f"own CPU per task: {(own + shim) * 1000:.0f} ms (daemon {own * 1000:.0f} ms, shim {shim * 1000:.0f} ms)")


def measure_shim(directory: Path) -> float:
    """Return the CPU seconds of one shim with an agent that ends at once."""
    costs = []
    for number in range(TASKS):
        run = RunDirectory(directory / "runs" / f"1-bench-{number}")
        run.path.parent.mkdir(exist_ok=True)
        run.create(Command(argv=("true",)), directory, Limits(timeout=60))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process.start(run, {"PATH": os.environ["PATH"]})
        while run.state() is not RunState.ENDED:
            time.sleep(0.002)
        os.waitpid(run.pids()["shim"].pid, 0)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(costs)


def measure_words(*arguments: str) -> None:
    """Measure the CPU of a short command."""
    costs = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "advanced_agent_runner.py", *arguments], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"{' '.join(arguments)}: {statistics.median(costs):.3f} s CPU")


def main() -> None:
    """Print every figure."""
    measure_words("--version")
    measure_words("--help")
    for measure in (measure_idle, measure_tasks):
        with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
            measure(Path(directory))


if __name__ == "__main__":
    main()
