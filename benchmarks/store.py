"""How fast the history answers: 10,000 executions in a file, each question of the commands, and moves per second.

Run: python benchmarks/store.py
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from components import store_url
from components.execution import Execution, Selection, Spend
from components.states import Door, ExecutionStatus
from components.store import Store

COUNT = 10_000
ROUNDS = 15
STATUSES = ("succeeded",) * 7 + ("failed", "cancelled", "interrupted")


def filled(url: str) -> Store:
    """Return a store with COUNT executions, 20 of them live, of 10 projects, with four moves and one run each."""
    import sqlalchemy as sa

    from components import store_rows
    from components.store_tables import executions, spend, transitions

    store = Store(url)
    rows = [execution(number) for number in range(COUNT)]
    with store._writing() as connection:
        connection.execute(sa.insert(executions), [store_rows.columns(one) for one in rows])
        moves = [
            {"execution_id": one.id, "before": "", "after": "pending", "at": one.created_at}
            for one in rows
            for _ in "1234"
        ]
        connection.execute(sa.insert(transitions), moves)
        runs = [
            {
                "run": f"r-{one.id}",
                "execution_id": one.id,
                "day": one.created_at[:10],
                "agent_id": one.agent_id,
                "usd": 0.1,
            }
            for one in rows
        ]
        connection.execute(sa.insert(spend), runs)
    return store


def execution(number: int) -> Execution:
    """Return one of many executions."""
    day, second = divmod(number, 500)
    at = f"2026-01-{day + 1:02}T{second // 60:02}:{second % 60:02}:00.000+00:00"
    status = ExecutionStatus.RUNNING if number > COUNT - 20 else ExecutionStatus(STATUSES[number % 10])
    return Execution(
        uuid.uuid4().hex,
        Door.RUN,
        f"/srv/project-{number % 10}",
        f"{number}",
        f"Task number {number} of the shop",
        role="backend_dev",
        agent_id=f"dev_{number % 25}",
        status=status,
        created_at=at,
        started_at=at,
        completed_at=at,
        summary="All tests pass. " * 20,
    )


def timed(what: str, ask: Callable[[], object]) -> None:
    """Print how long a question takes, in milliseconds."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        ask()
        taken.append(1000 * (time.perf_counter() - began))
    print(f"  {what:34} {statistics.median(taken):7.2f} ms  (worst {max(taken):.2f})")


def cpu_of(code: str, *words: str) -> float:
    """Return the CPU seconds of a new Python process, the best of 5."""
    best = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        store = filled(store_url.of_file(Path(directory) / "store.db"))
        some = store.select(Selection(limit=1))[0]
        print(f"{COUNT} executions in a file of {Path(directory, 'store.db').stat().st_size / 1e6:.0f} MB:")
        questions(store, some)
        writing(store)
        print("CPU of a whole process (best of 5):")
        reading = "import sys; from components.store import Store; s = Store(sys.argv[1]); s.live()"
        print(f"  reads the live ones                {cpu_of(reading, store.url):.3f} s")
        print(f"  imports sqlalchemy and no more     {cpu_of('import sqlalchemy'):.3f} s")
        store.close()


def questions(store: Store, some: Execution) -> None:
    """Time what the commands ask."""
    timed("get by 8 letters", lambda: store.get(some.short_id))
    timed("live, all", store.live)
    timed("live of a project", lambda: store.live("/srv/project-3"))
    timed("list, newest 50", lambda: store.select(Selection()))
    timed("list, a page in the middle", lambda: store.select(Selection(before=some.id)))
    timed("list, project and failed", lambda: store.select(Selection("/srv/project-7", (ExecutionStatus.FAILED,))))
    timed("list, text that is nowhere", lambda: store.select(Selection(text="nowhere at all")))
    timed("newest failures", store.failures)
    timed("counts by status", store.counts)
    timed("durations of a project", lambda: store.durations("/srv/project-3"))
    timed("cost by day", lambda: store.cost("day"))
    timed("cost by project", lambda: store.cost("project"))
    timed("transitions of one", lambda: store.transitions_of(some.id))
    timed("transitions after the last but 100", lambda: store.transitions(4 * COUNT - 100))


def writing(store: Store) -> None:
    """Time new executions and their moves, each on the disk before it counts."""
    began, count = time.perf_counter(), 200
    for number in range(count):
        one = replace(execution(1), id=uuid.uuid4().hex, task_id=f"new-{number}", status=ExecutionStatus.PENDING)
        store.add(one)
        store.move(one.id, ExecutionStatus.PENDING, ExecutionStatus.PREPARING)
        store.spend([Spend(one.id, one.id, "a", "2026-01-01", "m", "p", 0.1)])
    print(f"  durable writes                     {3 * count / (time.perf_counter() - began):7.0f} a second")


if __name__ == "__main__":
    main()
