"""Workflows over the real queue, worked off by several processes that are killed at random.

CHAOS=full works off graphs of a thousand nodes of every shape.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from components import queue_engine, store_url, workflow_entry
from components.agent import AgentStatus, WorkflowStatus
from components.agent_store import AgentStore
from components.config import Config, load
from components.store import Store
from components.workflow import Graph, Node
from components.workflow_engine import WorkflowEngine
from tests import postgresql
from tests.waiting import until

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, sys, time
from components import config as configuration, queue_engine
from components.agent import AgentStatus
from components.agent_store import AgentStore
from components.store import Store
from components.workflow_engine import WorkflowEngine
home, store, ledger, name = sys.argv[1:]
config = configuration.load({"home": home, "store": store, "worker_name": name, "worker_ttl": "2"}, {}).config
class Writes:
    def __init__(self, queue):
        self.agents = AgentStore(Store(config.store))
        self.engine = WorkflowEngine(self.agents, queue)
        self.engine.advance_all()
    def perform(self, entry, is_cancelled):
        one = self.agents.begin(entry, name)
        if one is None:
            known = self.agents.agent(entry.agent_id)
            self.engine.advance(known.workflow_id, known.id)
            return
        time.sleep(float(os.environ["NODE_SECONDS"]))
        if self.engine.settle(one, AgentStatus.COMPLETED, result=name):
            fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(fd, f"{one.node}\\n".encode())
with queue_engine.opened(config, Writes):
    print("ready", flush=True)
    sys.stdin.read()
os._exit(0)
"""

IS_FULL = os.environ.get("CHAOS") == "full"
NODE_SECONDS = "0.02" if IS_FULL else "0.2"
SECONDS = 1200 if IS_FULL else 120
KILLED_AFTER = (20, 120) if IS_FULL else (3, 12)
"""So many nodes are done at least, and at most, before the workers are killed again."""

pytestmark = pytest.mark.timeout(SECONDS + 60)


@contextmanager
def worker(config: Config, ledger: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-c", PROGRAM, str(config.home), config.store, str(ledger), name]
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NODE_SECONDS": NODE_SECONDS},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def layered(width: int, depth: int, draw: random.Random) -> list[Node]:
    """Return a graph in layers, each node behind some of the layer before."""
    nodes: list[Node] = []
    for layer in range(depth):
        before = [f"{layer - 1}x{place}" for place in range(width)] if layer else []
        nodes += [
            Node(f"{layer}x{place}", "do", needs=tuple(draw.sample(before, draw.randint(1, 3)) if before else ()))
            for place in range(width)
        ]
    return nodes


def chain(count: int) -> list[Node]:
    return [Node(f"n{number}", "do", needs=(f"n{number - 1}",) if number else ()) for number in range(count)]


def diamond(count: int) -> list[Node]:
    """Return one node, many behind it, and one behind all of these."""
    middle = [Node(f"m{number}", "do", needs=("first",)) for number in range(count - 2)]
    return [Node("first", "do"), *middle, Node("last", "do", needs=tuple(node.id for node in middle))]


def anyhow(count: int, draw: random.Random) -> list[Node]:
    """Return a graph whose nodes are each behind up to three of all before them."""
    return [
        Node(f"n{number}", "do", needs=tuple(f"n{one}" for one in draw.sample(range(number), min(number, 3))))
        for number in range(count)
    ]


GRAPHS = {
    "layers": lambda draw: layered(25, 40, draw) if IS_FULL else layered(6, 10, draw),
    "chain": lambda _: chain(1000),
    "diamond": lambda _: diamond(1000),
    "random": lambda draw: anyhow(1000, draw),
}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("shape", list(GRAPHS) if IS_FULL else ["layers"])
def test_a_graph_is_worked_off_once_each_by_workers_that_are_killed_at_random(
    tmp_path: Path, kind: str, shape: str
) -> None:
    draw = random.Random(7)
    nodes = GRAPHS[shape](draw)
    with ExitStack() as stack:
        if kind == "sqlite":
            url = store_url.of_file(tmp_path / "store.db")
        else:
            url = str(stack.enter_context(postgresql.running()).database()).replace(":not-asked-for@", "@")
        config = load({"home": str(tmp_path / "home"), "store": url}, {}).config
        store = Store(config.store)
        stack.callback(store.close)
        agents = AgentStore(store)
        made = workflow_entry.enter(agents, Graph("killed", tuple(nodes)), config)
        with queue_engine.opened(config) as queue:
            WorkflowEngine(agents, queue).run(made.id)
        ledger = tmp_path / "ledger"
        ledger.touch()
        rounds = work_off(agents, made.id, config, ledger, draw)
        ended = ledger.read_text().split()
        moves = agents.moves_after(0, made.id, limit=50_000)

    assert rounds >= 2
    assert len(set(ended)) == len(ended)
    # of one whose worker was killed between its end and the note of it there is none, but never two
    assert len(nodes) - len(ended) <= 8 * rounds
    done = {move.node: move.id for move in moves if move.after is AgentStatus.COMPLETED and move.node}
    begun = {move.node: move.id for move in reversed(moves) if move.after is AgentStatus.ACTIVE}
    assert len([move for move in moves if move.after is AgentStatus.COMPLETED and move.node]) == len(nodes) == len(done)
    assert all(done[parent] < begun[node.id] for node in nodes for parent in node.needs)


def work_off(agents: AgentStore, workflow_id: str, config: Config, ledger: Path, draw: random.Random) -> int:
    """Have two workers at it, killing both again and again, until the workflow is over; returns how often."""
    rounds = 0
    deadline = time.monotonic() + SECONDS
    while agents.workflow(workflow_id).status is WorkflowStatus.ACTIVE:
        assert time.monotonic() < deadline, agents.counts([workflow_id])
        rounds += 1
        settled = len(agents.agents_of(workflow_id, [AgentStatus.COMPLETED]))
        with worker(config, ledger, "a") as first, worker(config, ledger, "b") as second:
            more = settled + draw.randint(*KILLED_AFTER)
            until(
                lambda more=more: (  # type: ignore[misc]
                    len(agents.agents_of(workflow_id, [AgentStatus.COMPLETED])) >= more
                    or agents.workflow(workflow_id).status is not WorkflowStatus.ACTIVE
                ),
                "some nodes",
                60,
            )
            for one in (first, second):
                one.send_signal(signal.SIGKILL)
    assert agents.workflow(workflow_id).status is WorkflowStatus.COMPLETED
    return rounds
