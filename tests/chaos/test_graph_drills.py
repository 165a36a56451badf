"""Graphs worked off by real workers, runners and agents while these are killed at random: each node once, in order.

Judged by the ledger that the nodes' own commands append to, and by the store. By default a small graph;
CHAOS=full has a thousand nodes of each form, on a file and on PostgreSQL. CHAOS_SEED=n repeats the choices of a run,
CHAOS_NODES=n is how many.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("dbos")

from components.agent import AgentStatus, WorkflowStatus
from components.agent_store import AgentStore
from components.config import load
from components.store import Store
from tests import postgresql
from tests.typed import Terminal

IS_FULL = os.environ.get("CHAOS") == "full"
SEED = int(os.environ.get("CHAOS_SEED") or time.time_ns() % 1_000_000)
NODES = int(os.environ.get("CHAOS_NODES") or (1000 if IS_FULL else 6))
KILL_SECONDS = (1.0, 4.0) if IS_FULL else (1.0, 2.5)
SECONDS_PER_NODE = 4.0

AGENT = """
import fcntl, os, re, sys, time
here = sys.argv[1]
node = re.search(r"<<<\\w+ Description\\nnode (\\w+)\\n", sys.stdin.read())[1]
def note(event):
    fd = os.open(f"{here}/ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{event} {node} {os.environ['AGENT_RUNNER_ATTEMPT']} {time.monotonic():.6f}\\n".encode())
    os.close(fd)
life = os.open(f"{here}/lives/{node}", os.O_RDWR | os.O_CREAT)
try:
    fcntl.flock(life, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    note("overlap")
note("start")
print("did", node)
note("end")
"""

Needs = dict[str, list[str]]


def dag(count: int, rng: random.Random) -> Needs:
    """Each node needs up to three of those before it."""
    return {
        f"n{one}": [f"n{before}" for before in rng.sample(range(one), min(one, rng.randrange(4)))]
        for one in range(count)
    }


def fan_out(count: int, _: random.Random) -> Needs:
    """One first node, and all others need it."""
    return {f"n{one}": ["n0"] if one else [] for one in range(count)}


def diamond(count: int, _: random.Random) -> Needs:
    """One first node, many that need it, and one that needs them all."""
    sides = [f"n{one}" for one in range(1, count - 1)]
    return {**fan_out(count - 1, _), f"n{count - 1}": sides}


@dataclass(frozen=True)
class Line:
    """What a node's command noted; `at` is monotonic."""

    event: str
    node: str
    attempt: int
    at: float


class Machines(Terminal):
    """Machines, each a home with a worker, on one store; the first has a driver too. They share a repository."""

    def __init__(self, directory: Path, names: list[str], store: str = "") -> None:
        super().__init__(directory)
        (directory / "lives").mkdir()
        (directory / "node.py").write_text(AGENT)
        self.env["AGENT_COMMAND"] = f"{sys.executable} -I -S -B {directory / 'node.py'} {directory}"
        self.env["HEADLESS_PM_WORKER_TTL"] = "10"
        if store:
            self.env["HEADLESS_PM_STORE"] = store
        self.homes = {name: directory / name if store else self.home for name in names}
        self.home = self.homes[names[0]]  # where the driver is: nobody starts it again, so a worker there takes over
        self.env["HEADLESS_PM_HOME"] = str(self.home)
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.kills: Counter[str] = Counter()

    def work(self, name: str) -> None:
        """Start, or start again, the worker of a name."""
        env = {**self.env, "HEADLESS_PM_HOME": str(self.homes[name])}
        with (self.directory / f"{name}.log").open("ab") as log:
            argv = self.argv("worker", "--name", name, "--concurrency", "3")
            self.workers[name] = subprocess.Popen(
                argv, env=env, cwd=self.repository, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def lines(self) -> list[Line]:
        """Return what the nodes' commands noted, in order."""
        path = self.directory / "ledger"
        words = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [Line(event, node, int(attempt), float(at)) for event, node, attempt, at in words]

    def ours(self, *words: str) -> list[int]:
        """Return the processes of our homes with these words on their command line."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                line = Path("/proc", entry, "cmdline").read_bytes().decode(errors="replace").split("\0")
                environ = Path("/proc", entry, "environ").read_bytes()
                if set(words) <= set(line) and str(self.directory).encode() in environ:
                    found.append(int(entry))
        return found

    def strike(self, rng: random.Random) -> None:
        """SIGKILL a worker, which comes back at once, or the driver, or a runner."""
        kind = rng.choice(["worker", "worker", "driver", "runner"])
        if kind == "worker":
            name = rng.choice(sorted(self.workers))
            self.workers[name].kill()
            self.workers[name].wait()
            self.work(name)
            self.kills[kind] += 1
        found = {"driver": self.ours("drive"), "runner": self.ours("execute")}.get(kind)
        for pid in rng.sample(found, 1) if found else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.kills[kind] += 1

    def close(self) -> None:
        for worker in self.workers.values():
            worker.kill()
            worker.wait()
        for pid in self.ours("drive"):
            os.kill(pid, signal.SIGKILL)
        for home in {*self.homes.values()}:
            self.home = home
            super().close()


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


FORMS: dict[str, Callable[[int, random.Random], Needs]] = {"dag": dag, "fan_out": fan_out, "diamond": diamond}
CASES = [("dag", "file"), ("fan_out", "file"), ("diamond", "file"), ("dag", "postgresql"), ("diamond", "postgresql")]


@pytest.mark.timeout(240 + SECONDS_PER_NODE * NODES)
@pytest.mark.parametrize(("form", "kind"), CASES if IS_FULL else CASES[:1])
def test_a_graph_is_worked_off_once_each_and_in_order_while_workers_driver_and_runners_are_killed(
    tmp_path: Path, closing: ExitStack, form: str, kind: str
) -> None:
    print(f"CHAOS_SEED={SEED}")
    rng = random.Random(SEED)
    needs = FORMS[form](NODES, rng)
    url = closing.enter_context(postgresql.running()).database() if kind == "postgresql" else ""
    place = Machines(tmp_path, ["one", "two"], url.replace(":not-asked-for@", "@"))
    closing.callback(place.close)
    for name in place.homes:
        place.work(name)
    store = Store(load({}, place.env).config.store)
    closing.callback(store.close)
    agents = AgentStore(store)

    begun = time.monotonic()
    workflow_id = str(place.told("workflow", "run", file_of(place, needs), "-b")["id"])
    work_off(place, agents, workflow_id, rng)

    print(f"{form} of {NODES} on {kind}: {NODES / (time.monotonic() - begun):.2f} nodes a second; killed {place.kills}")
    assert complaints(place, needs) == []
    assert place.kills["worker"] >= 1
    nodes = agents.agents_of(workflow_id)
    assert {one.node: one.result.strip() for one in nodes} == {node: f"did {node}" for node in needs}
    completed = Counter(
        move.node for move in agents.moves_after(0, workflow_id, 100 * NODES) if move.after is AgentStatus.COMPLETED
    )
    assert {node: completed[node] for node in needs} == dict.fromkeys(needs, 1)


def file_of(place: Machines, needs: Needs) -> str:
    """Write a graph as the file of a workflow, and return where."""
    nodes = [{"id": node, "task": f"node {node}", "needs": wanted} for node, wanted in needs.items()]
    path = place.directory / "graph.yaml"
    path.write_text(json.dumps({"name": "drill", "nodes": nodes}))
    return str(path)


def work_off(place: Machines, agents: AgentStore, workflow_id: str, rng: random.Random) -> None:
    """Kill now and then until the workflow is over."""
    deadline = time.monotonic() + 180 + SECONDS_PER_NODE * NODES
    strike_at = 0.0
    while agents.workflow(workflow_id).status is WorkflowStatus.ACTIVE:
        assert time.monotonic() < deadline, agents.counts([workflow_id])
        if time.monotonic() >= strike_at and place.lines():
            place.strike(rng)
            strike_at = time.monotonic() + rng.uniform(*KILL_SECONDS)
        time.sleep(0.1)
    assert agents.workflow(workflow_id).status is WorkflowStatus.COMPLETED


def complaints(place: Machines, needs: Needs) -> list[str]:
    """Return what the ledger tells against us: nodes that overlap, began twice, never, or before their parents' end."""
    lines = place.lines()
    found = [f"two at once: {line}" for line in lines if line.event == "overlap"]
    starts = Counter(line.node for line in lines if line.event == "start")
    ends = {line.node: line.at for line in lines if line.event == "end"}
    found += [f"{node} began {starts[node]} times" for node in needs if starts[node] != 1]
    found += [f"{node} never ended" for node in needs if node not in ends]
    for line in lines:
        if line.event == "start":
            early = [parent for parent in needs[line.node] if ends.get(parent, line.at) >= line.at]
            found += [f"{line.node} began before {parent} had ended" for parent in early]
    return found
