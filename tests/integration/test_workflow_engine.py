"""Workflows brought forward by the real engine on the real store, with performers that only write down their calls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components import agent_wanted, cancelling, store_url, workflow_entry, workflow_file
from components.agent import Agent, AgentStatus, NodeKind, OnFailure, Workflow, WorkflowStatus
from components.agent_performer import AgentPerformer
from components.agent_store import AgentStore
from components.config import Config, load
from components.errors import AmbiguousId, IllegalMove
from components.model import Task
from components.ports import QueueEntry
from components.schedule_kind import Schedule
from components.store import Store
from components.typed_task import TypedTask
from components.workflow import Graph, Node, ready
from components.workflow_engine import WorkflowEngine
from tests import postgresql
from tests.local_queue import LocalQueue
from tests.postgresql import PostgreSql
from tests.waiting import until

ROOT = Path(__file__).parents[2]
COMPLETED, FAILED, SKIPPED = AgentStatus.COMPLETED, AgentStatus.FAILED, AgentStatus.SKIPPED
PENDING, CANCELLED, AWAITING = AgentStatus.PENDING, AgentStatus.CANCELLED, AgentStatus.AWAITING
Answer = Callable[[Agent], tuple[AgentStatus, str]]


def succeeds(one: Agent) -> tuple[AgentStatus, str]:
    return COMPLETED, f"{one.node} is done"


class Trivial:
    """Performs by asking a function how it goes; keeps who was begun, in order, with who was over then."""

    def __init__(self, place: Place, answer: Answer) -> None:
        self.place = place
        self.answer = answer
        self.begun: list[str] = []
        self._lock = threading.Lock()

    def perform(self, entry: QueueEntry, is_cancelled: Callable[[], bool]) -> None:
        one = self.place.agents.begin(entry, "here")
        if one is None:
            return
        with self._lock:
            self.begun.append(one.node)
        after, said = self.answer(one)
        if is_cancelled():
            after, said = CANCELLED, "cancelled"
        facts = {"result": said} if after is COMPLETED else {"reason": "agent_failed", "error": said}
        self.place.engine.settle(one, after, **facts)


class Place:
    """A store with an engine on it, and a local queue."""

    def __init__(self, url: str, workers: int = 4) -> None:
        self.store = Store(url)
        self.agents = AgentStore(self.store)
        self.queue = LocalQueue(workers)
        self.engine = WorkflowEngine(self.agents, self.queue)
        self._looking = threading.Event()
        self.config: Config = load({"home": "/nonexistent"}, {}).config

    def enter(self, *nodes: Node) -> Workflow:
        return workflow_entry.enter(self.agents, Graph("test", nodes), self.config)

    def statuses(self, made: Workflow) -> dict[str, AgentStatus]:
        return {one.node: one.status for one in self.agents.agents_of(made.id)}

    def status(self, made: Workflow) -> WorkflowStatus:
        return self.agents.workflow(made.id).status

    def ended(self, made: Workflow, seconds: float = 50) -> WorkflowStatus:
        deadline = time.monotonic() + seconds
        while self.status(made) in (WorkflowStatus.PENDING, WorkflowStatus.ACTIVE) and not self.queue.failures:
            assert time.monotonic() < deadline, f"no end within {seconds} s: {self.agents.counts([made.id])}"
            self._looking.wait(0.1)  # each look is a question to the database: they are not to slow it down
        assert self.queue.failures == []
        return self.status(made)

    def work(self, answer: Answer = succeeds) -> Trivial:
        performer = Trivial(self, answer)
        self.queue.start(performer)
        return performer


@contextmanager
def opened(url: str, workers: int = 4) -> Iterator[Place]:
    place = Place(url, workers)
    try:
        yield place
    finally:
        place.queue.close()
        place.store.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql.running() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        url = store_url.of_file(tmp_path / "store.db")
    else:
        url = str(request.getfixturevalue("server").database())
    with opened(url) as made:
        yield made


@pytest.fixture
def file_place(tmp_path: Path) -> Iterator[Place]:
    with opened(store_url.of_file(tmp_path / "store.db")) as made:
        yield made


@pytest.fixture
def quick_place(tmp_path: Path) -> Iterator[Place]:
    """A place whose disk costs nothing: a thousand ends are two thousand syncs."""
    memory = Path("/dev/shm")
    where = tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path)
    with where as directory, opened(store_url.of_file(Path(directory) / "store.db")) as made:
        yield made


def chain(count: int) -> list[Node]:
    return [Node(f"n{number}", "do", needs=(f"n{number - 1}",) if number else ()) for number in range(count)]


def respects_order(order: list[str], nodes: list[Node]) -> bool:
    places = {name: number for number, name in enumerate(order)}
    return all(places[parent] < places[node.id] for node in nodes for parent in node.needs)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param(chain(1000), id="chain"),
        pytest.param([Node("root", "do"), *(Node(f"n{n}", "do", needs=("root",)) for n in range(999))], id="fan-out"),
    ],
)
def test_a_graph_of_a_thousand_nodes_is_worked_off_in_order_and_each_node_once(
    quick_place: Place, nodes: list[Node]
) -> None:
    made = quick_place.enter(*nodes)
    performer = quick_place.work()

    quick_place.engine.run(made.id)

    assert quick_place.ended(made) is WorkflowStatus.COMPLETED
    assert sorted(performer.begun) == sorted(node.id for node in nodes)
    assert respects_order(performer.begun, nodes)


def test_a_diamond_joins_once_all_its_sides_are_over(place: Place) -> None:
    nodes = [Node("top", "do"), *(Node(f"side{n}", "do", needs=("top",)) for n in range(20))]
    nodes.append(Node("bottom", "do", needs=tuple(f"side{n}" for n in range(20))))
    made = place.enter(*nodes)
    performer = place.work()

    place.engine.run(made.id)

    assert place.ended(made) is WorkflowStatus.COMPLETED
    assert performer.begun[0] == "top"
    assert performer.begun[-1] == "bottom"
    assert len(performer.begun) == 22
    assert [one.node for one in place.agents.parents_of(place.agents.node(made.id, "bottom").id)] == [
        f"side{n}" for n in range(20)
    ]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Node], set[str]]:
    """Draw a graph without cycles, and the nodes that fail."""
    count = draw(st.integers(1, 12))
    nodes = []
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        policy = draw(st.sampled_from(list(OnFailure)))
        nodes.append(Node(f"n{number}", "do", needs=tuple(f"n{one}" for one in sorted(needs)), on_failure=policy))
    return nodes, draw(st.sets(st.sampled_from([node.id for node in nodes]), max_size=3))


@given(graphs())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_graph_ends_as_its_policies_say(tmp_path_factory: pytest.TempPathFactory, drawn: object) -> None:
    nodes, failing = drawn  # type: ignore[misc]
    url = store_url.of_file(tmp_path_factory.mktemp("graph") / "store.db")
    with opened(url) as place:
        made = place.enter(*nodes)
        performer = place.work(lambda one: (FAILED, "no") if one.node in failing else succeeds(one))
        place.engine.run(made.id)
        place.ended(made)
        statuses = place.statuses(made)

    wanted, begun = expected(nodes, failing)
    assert sorted(performer.begun) == sorted(begun)
    assert {name: told(name, statuses, begun) for name in wanted} == {
        name: told(name, wanted, begun) for name in wanted
    }


def told(name: str, statuses: dict[str, AgentStatus], begun: set[str]) -> str:
    """Return how a node ended; where parents of different policies fail, the first one decides how it is called."""
    return "not begun" if name not in begun and statuses[name] in (FAILED, SKIPPED) else str(statuses[name])


def expected(nodes: list[Node], failing: set[str]) -> tuple[dict[str, AgentStatus], set[str]]:
    """Return how a graph ends and who is begun: worked off one by one, by the plain words of the policies."""
    by_id = {node.id: node for node in nodes}
    states = dict.fromkeys(by_id, PENDING)
    begun = set()
    while chosen := ready(nodes, states):
        name = chosen[0]
        begun.add(name)
        states[name] = FAILED if name in failing else COMPLETED
        take_along(name, nodes, by_id, states)
    return states, begun


def take_along(name: str, nodes: list[Node], by_id: dict[str, Node], states: dict[str, AgentStatus]) -> None:
    policy = by_id[name].on_failure
    if states[name] is COMPLETED or policy is OnFailure.CONTINUE:
        return
    rest = [name]
    while rest:
        parent = rest.pop()
        for child in (node.id for node in nodes if parent in node.needs and states[node.id] is PENDING):
            states[child] = FAILED if policy is OnFailure.FAIL else SKIPPED
            if by_id[child].on_failure is not OnFailure.CONTINUE:
                rest.append(child)


@pytest.mark.parametrize(
    ("policy", "after", "end"),
    [("fail", FAILED, "failed"), ("skip", SKIPPED, "failed"), ("continue", COMPLETED, "failed")],
)
def test_a_failed_node_does_to_its_descendants_what_its_policy_says(
    place: Place, policy: str, after: AgentStatus, end: str
) -> None:
    nodes = [
        Node("a", "do", on_failure=OnFailure(policy)),
        Node("b", "do", needs=("a",)),
        Node("c", "do", needs=("b",)),
    ]
    made = place.enter(*nodes, Node("alone", "do"))
    place.work(lambda one: (FAILED, "it broke") if one.node == "a" else succeeds(one))

    place.engine.run(made.id)

    assert str(place.ended(made)) == end
    assert place.statuses(made) == {"a": FAILED, "b": after, "c": after, "alone": COMPLETED}
    if after is not COMPLETED:
        assert place.agents.node(made.id, "c").error == "it was not begun: a failed"


def test_what_failed_is_done_again_and_what_was_completed_is_not(place: Place) -> None:
    made = place.enter(Node("a", "do"), Node("b", "do", needs=("a",)), Node("c", "do", needs=("b",)))
    broken = ["b"]
    performer = place.work(lambda one: (FAILED, "no") if one.node in broken else succeeds(one))
    place.engine.run(made.id)
    place.ended(made)
    broken.clear()

    assert place.engine.retry(made.id) == 2

    assert place.ended(made) is WorkflowStatus.COMPLETED
    assert performer.begun == ["a", "b", "b", "c"]
    assert place.agents.node(made.id, "b").attempt == 2
    with pytest.raises(IllegalMove, match="nothing of workflow"):
        place.engine.retry(made.id)


def test_a_map_makes_one_agent_for_each_item_of_its_parents_output(place: Place) -> None:
    made = place.enter(
        Node("list", "do"),
        Node("each", "Look at {item}", needs=("list",), kind=NodeKind.MAP, over_node="list"),
        Node("sum", "do", needs=("each",)),
    )
    tasks = []

    def answer(one: Agent) -> tuple[AgentStatus, str]:
        tasks.append(one.task)
        return COMPLETED, 'Here it is:\n```json\n["a", {"b": 1}, "c"]\n```' if one.node == "list" else one.task.upper()

    performer = place.work(answer)
    place.engine.run(made.id)

    assert place.ended(made) is WorkflowStatus.COMPLETED
    assert sorted(performer.begun[1:4]) == ["each[0]", "each[1]", "each[2]"]
    assert performer.begun[4:] == ["sum"]
    assert sorted(tasks[1:4]) == ["Look at a", "Look at c", 'Look at {"b": 1}']
    assert json.loads(place.agents.node(made.id, "each").result) == ["LOOK AT A", 'LOOK AT {"B": 1}', "LOOK AT C"]


def test_a_map_over_no_list_fails_and_one_over_an_empty_list_is_over_at_once(place: Place) -> None:
    over = {"needs": ("list",), "kind": NodeKind.MAP, "over_node": "list"}
    made = place.enter(Node("list", "do"), Node("each", "x", **over))  # type: ignore[arg-type]
    other = place.enter(Node("list", "do"), Node("each", "x", **over), Node("z", "do", needs=("each",)))  # type: ignore[arg-type]
    place.work(lambda one: (COMPLETED, "[]" if one.workflow_id == other.id else "nothing"))

    place.engine.run(made.id)
    place.engine.run(other.id)

    assert place.ended(made) is WorkflowStatus.FAILED
    assert "no JSON list" in place.agents.node(made.id, "each").error
    assert place.ended(other) is WorkflowStatus.COMPLETED
    assert place.statuses(other)["z"] is COMPLETED


def test_a_failed_item_of_a_map_is_done_again_alone(place: Place) -> None:
    made = place.enter(
        Node("each", "{item}", kind=NodeKind.MAP, over=("a", "b", "c")), Node("sum", "do", needs=("each",))
    )
    broken = ["b"]
    performer = place.work(lambda one: (FAILED, "no") if one.task in broken else succeeds(one))
    place.engine.run(made.id)
    assert place.ended(made) is WorkflowStatus.FAILED
    assert place.agents.node(made.id, "each").error == "1 of 3 failed: each[1]"
    broken.clear()

    place.engine.retry(made.id)

    assert place.ended(made) is WorkflowStatus.COMPLETED
    assert sorted(performer.begun) == ["each[0]", "each[1]", "each[1]", "each[2]", "sum"]


def test_an_approval_holds_its_children_until_a_person_answers(place: Place) -> None:
    made = place.enter(Node("gate", "Is it right?", kind=NodeKind.APPROVAL), Node("b", "do", needs=("gate",)))
    performer = place.work()
    place.engine.run(made.id)
    place.engine.advance_all()
    assert place.statuses(made) == {"gate": AWAITING, "b": PENDING}
    assert performer.begun == []

    place.engine.decide(made.id, "gate", is_approved=True, comment="Go")

    assert place.ended(made) is WorkflowStatus.COMPLETED
    assert place.agents.node(made.id, "gate").result == "Go"
    with pytest.raises(IllegalMove, match="awaits no approval"):
        place.engine.decide(made.id, "gate", is_approved=False)


def test_a_rejection_is_a_failure(place: Place) -> None:
    made = place.enter(
        Node("gate", "?", kind=NodeKind.APPROVAL, on_failure=OnFailure.SKIP), Node("b", "x", needs=("gate",))
    )
    place.work()
    place.engine.run(made.id)

    place.engine.decide(made.id, "gate", is_approved=False, comment="Not like this")

    assert place.ended(made) is WorkflowStatus.FAILED
    gate = place.agents.node(made.id, "gate")
    assert (gate.status, gate.reason, gate.error) == (FAILED, "rejected", "Not like this")
    assert place.statuses(made)["b"] is SKIPPED


def test_a_cancelled_workflow_begins_nothing_more_and_asks_what_is_at_work_to_end(place: Place) -> None:
    made = place.enter(Node("a", "do"), Node("b", "do", needs=("a",)), Node("gate", "?", kind=NodeKind.APPROVAL))
    begun, gate = threading.Event(), threading.Event()

    def answer(one: Agent) -> tuple[AgentStatus, str]:
        begun.set()
        assert gate.wait(20)
        return succeeds(one)

    place.work(answer)
    place.engine.run(made.id)
    assert begun.wait(20)

    assert place.engine.cancel(made.id) == 1
    gate.set()

    until(lambda: place.statuses(made)["a"] is CANCELLED, "the agent's end")
    assert place.statuses(made) == {"a": CANCELLED, "b": CANCELLED, "gate": CANCELLED}
    assert place.status(made) is WorkflowStatus.CANCELLED
    with pytest.raises(IllegalMove, match="workflow retry"):
        place.engine.run(made.id)
    with pytest.raises(IllegalMove, match="is cancelled already"):
        place.engine.cancel(made.id)


def test_a_runner_sees_that_its_agent_was_cancelled_or_that_another_attempt_has_its_place(
    file_place: Place, tmp_path: Path
) -> None:
    """Regression: where its worker was dead, an attempt that nobody wanted worked on beside the next one."""
    made = file_place.enter(Node("a", "do"), Node("b", "do"), Node("c", "do"))
    file_place.engine.run(made.id)
    three = file_place.agents.agents_of(made.id)
    one, other, third = (file_place.agents.begin(QueueEntry(each.id), "here") for each in three)
    assert one is not None and other is not None and third is not None
    config = load({"home": str(tmp_path / "home"), "store": file_place.store.url}, {}).config

    def is_ended(agent: Agent) -> bool:
        task = Task(f"agent-{agent.short_id}-20261121T120000", "do")
        agent_wanted.require(config, TypedTask(agent.execution_id, task, tmp_path, "shop"))
        return cancelling.is_asked(config.home, agent.execution_id)

    assert not is_ended(one)
    assert not is_ended(replace(one, id="f" * 32))  # a store that was lost ends nobody
    file_place.agents.begin(QueueEntry(one.id, 2), "elsewhere")
    file_place.engine.cancel_agent(third.id)
    assert (is_ended(one), is_ended(other), is_ended(third)) == (True, False, True)
    file_place.engine.cancel(made.id)
    assert is_ended(other)


def test_to_ask_whether_an_agent_is_wanted_takes_no_connection_for_good(place: Place, tmp_path: Path) -> None:
    """Regression: each of its looks left one open, until the server had none for anybody."""
    made = place.enter(Node("a", "do"))
    place.engine.run(made.id)
    one = place.agents.begin(QueueEntry(place.agents.agents_of(made.id)[0].id), "here")
    assert one is not None
    config = load({"home": str(tmp_path / "home")}, {"HEADLESS_PM_STORE": place.store.url}).config
    typed = TypedTask(one.execution_id, Task(f"agent-{one.short_id}", "do"), tmp_path, "shop")
    us = psutil.Process()
    agent_wanted.require(config, typed)
    before = len(us.net_connections()) + us.num_fds()

    for _ in range(5):
        agent_wanted.require(config, typed)

    assert len(us.net_connections()) + us.num_fds() == before


def test_of_no_workflow_no_agents_are_counted(file_place: Place) -> None:
    """Regression: agents that were spawned one by one were, and `workflow list` ended with a traceback."""
    workflow_entry.spawn(file_place.agents, Agent("", task="do"), load({}, {}).config)

    assert file_place.agents.counts([]) == {}


def test_a_name_that_several_workflows_have_means_the_one_that_is_not_over(file_place: Place) -> None:
    """Regression: the newest was cancelled, though it was over, and the one at work went on."""
    place = file_place
    running = place.enter(Node("gate", "?", kind=NodeKind.APPROVAL))
    newest = place.enter(Node("a", "do"))
    place.work()
    for one in (running, newest):
        place.engine.run(one.id)
    until(lambda: place.status(newest) is WorkflowStatus.COMPLETED, "the end of the newest")

    assert place.agents.live_workflow(newest.name).id == running.id
    with pytest.raises(IllegalMove, match=f"workflow {newest.short_id} is completed already"):
        place.engine.cancel(newest.id)
    place.engine.cancel(running.id)
    with pytest.raises(AmbiguousId, match=f"{running.short_id} \\(cancelled\\)"):
        place.agents.live_workflow(newest.name)


def test_a_late_attempt_records_nothing(place: Place) -> None:
    """A worker that was given up comes back: its agent is another worker's by then."""
    made = place.enter(Node("a", "do"), Node("b", "do", needs=("a",)))
    place.engine.run(made.id)
    (entry,) = place.queue.told
    late = place.agents.begin(entry, "first")
    again = place.agents.begin(QueueEntry(entry.agent_id, 2, entry.role), "second")
    assert late is not None
    assert again is not None

    assert not place.agents.note(late, branch="late")
    assert not place.engine.settle(late, COMPLETED, result="late")
    assert place.agents.begin(entry, "first") is None
    assert place.engine.settle(again, COMPLETED, result="in time")

    one = place.agents.node(made.id, "a")
    assert (one.result, one.attempt, one.host, one.branch) == ("in time", 2, "second", "")
    assert place.statuses(made)["b"] is AgentStatus.QUEUED


def test_the_moves_of_a_workflow_can_be_followed(place: Place) -> None:
    made = place.enter(Node("a", "do"), Node("b", "do", needs=("a",)))
    place.work()
    place.engine.run(made.id)
    place.ended(made)

    moves = place.agents.moves_after(0, made.id)

    assert [(one.node, str(one.before), str(one.after)) for one in moves] == [
        ("", "pending", "active"),
        ("a", "pending", "queued"),
        ("a", "queued", "active"),
        ("a", "active", "completed"),
        ("b", "pending", "queued"),
        ("b", "queued", "active"),
        ("b", "active", "completed"),
        ("", "active", "completed"),
    ]
    assert place.agents.last_move() == moves[-1].id
    assert place.agents.moves_after(moves[-2].id, made.id) == moves[-1:]


def test_a_spawned_agent_begins_when_its_parent_is_over(place: Place) -> None:
    parent = workflow_entry.spawn(place.agents, Agent("", task="first"), place.config)
    child = workflow_entry.spawn(place.agents, Agent("", task="second"), place.config, parent)
    seen: list[str] = []

    def answer(one: Agent) -> tuple[AgentStatus, str]:
        seen.append(one.id)
        return COMPLETED, "done"

    place.work(answer)
    place.engine.advance("")

    until(lambda: place.agents.agent(child.id).status is COMPLETED, "the child")
    assert seen == [parent.id, child.id]
    assert [one.id for one in place.agents.spawned()] == [child.id, parent.id]


def test_a_child_of_a_node_keeps_its_workflow_from_being_over(place: Place) -> None:
    made = place.enter(Node("a", "do"))
    place.engine.run(made.id)
    node = place.agents.node(made.id, "a")
    workflow_entry.spawn(place.agents, Agent("", task="more"), place.config, node)
    performer = place.work()

    assert place.ended(made) is WorkflowStatus.COMPLETED
    assert len(performer.begun) == 2
    assert performer.begun[1].startswith("spawned-")


PROGRAM = """
import sys, time
from components.agent_store import AgentStore
from components.agent import AgentStatus
from components.store import Store
from components.workflow_engine import WorkflowEngine
from tests.local_queue import LocalQueue
url, ledger, rest = sys.argv[1], sys.argv[2], float(sys.argv[3])
agents = AgentStore(Store(url))
queue = LocalQueue(2)
engine = WorkflowEngine(agents, queue)
class Writes:
    def perform(self, entry, is_cancelled):
        one = agents.begin(entry, "here")
        if one is not None:
            time.sleep(rest)
            with open(ledger, "a") as file:
                file.write(f"{one.node}\\n")
            engine.settle(one, AgentStatus.COMPLETED)
queue.start(Writes())
for one in agents.workflows("active"):  # what a queue of its own would remember: an entry that was begun comes again
    queue.enqueue([entry_of(one) for one in agents.agents_of(one.id, [AgentStatus.ACTIVE])])
engine.advance_all()
for line in sys.stdin:
    pass
queue.close()
""".replace(
    "entry_of(one)", "__import__('components.ports').ports.QueueEntry(one.id, one.attempt, one.role, one.priority)"
)


def test_a_killed_engine_goes_on_and_never_runs_a_completed_node_again(file_place: Place, tmp_path: Path) -> None:
    width, length = 3, 14
    nodes = [
        Node(f"{row}x{at}", "do", needs=(f"{row}x{at - 1}",) if at else ())
        for row in range(width)
        for at in range(length)
    ]
    made = file_place.enter(*nodes)
    with file_place.agents.turn() as moves:
        moves.begin_workflow(made.id, ["pending"])
    ledger = tmp_path / "ledger"
    ledger.touch()
    rounds = 0
    while file_place.status(made) is WorkflowStatus.ACTIVE:
        rounds += 1
        before = set(completed(file_place, made))
        written = ledger.read_text().split()
        with engine_process(file_place.store.url, ledger) as process:
            until(partial(is_further, file_place, made, ledger, len(written) + 11), "some nodes", 30)
            process.send_signal(signal.SIGKILL)
        assert before.isdisjoint(ledger.read_text().split()[len(written) :])
    counts = {name: ledger.read_text().split().count(name) for name in {node.id for node in nodes}}

    assert rounds >= 3
    assert file_place.status(made) is WorkflowStatus.COMPLETED
    assert min(counts.values()) == 1
    assert sum(counts.values()) - len(nodes) <= 2 * rounds  # at work at the kill: begun again, it was not over
    assert respects_order(list(dict.fromkeys(ledger.read_text().split())), nodes)


def is_further(place: Place, made: Workflow, ledger: Path, lines: int) -> bool:
    return len(ledger.read_text().split()) >= lines or place.status(made) is not WorkflowStatus.ACTIVE


def completed(place: Place, made: Workflow) -> list[str]:
    return [one.node for one in place.agents.agents_of(made.id, [COMPLETED])]


@contextmanager
def engine_process(url: str, ledger: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-c", textwrap.dedent(PROGRAM), url, str(ledger), "0.004"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def test_advancing_costs_what_has_changed_and_not_the_whole_graph(file_place: Place) -> None:
    """An engine that looked through the graph at each end would take a hundred times as long for the large one."""

    def seconds(count: int) -> float:
        made = file_place.enter(
            *(Node(f"n{n}", "do") for n in range(count)), Node("a", "do"), Node("b", "x", needs=("a",))
        )
        file_place.engine.run(made.id)
        one = file_place.agents.begin(QueueEntry(file_place.agents.node(made.id, "a").id), "here")
        assert one is not None
        began = time.process_time()
        file_place.engine.settle(one, COMPLETED)
        return time.process_time() - began

    seconds(1)
    small = min(seconds(2) for _ in range(3))
    large = min(seconds(2000) for _ in range(2))

    assert large < 5 * small + 0.02


def test_a_graph_of_json_is_the_graph_that_was_entered(file_place: Place) -> None:
    text = "name: x\ndefaults: {role: qa}\nnodes:\n  - {id: a, task: t, limits: {max_turns: 5, model: opus}}\n"
    graph = workflow_file.parsed(text, "x.yaml")
    made = workflow_entry.enter(file_place.agents, graph, file_place.config)
    workflow_entry.add(file_place.agents, made, [Node("b", "u", needs=("a",))], file_place.config)

    kept = workflow_file.graph_of(json.loads(file_place.agents.workflow(made.id).source), "kept")

    assert [node.id for node in kept.nodes] == ["a", "b"]
    assert kept.nodes[0] == graph.nodes[0]
    one = file_place.agents.node(made.id, "a")
    assert workflow_entry.settings_of(one) == {"max_turns": "5", "models": f"{one.level}=opus"}
    assert [parent.node for parent in file_place.agents.parents_of(file_place.agents.node(made.id, "b").id)] == ["a"]


def test_what_a_schedule_asks_for_is_entered_once_for_each_firing(file_place: Place, tmp_path: Path) -> None:
    graph = tmp_path / "nightly.yaml"
    graph.write_text("name: nightly\nnodes: [{id: a, task: Update}, {id: b, task: Test, needs: [a]}]\n")
    performer = AgentPerformer(file_place.config, {}, file_place.agents, file_place.engine)
    task = Schedule("daily", "0 3 * * *", task="Look around", role="qa")
    workflow = Schedule("nightly", "0 4 * * *", workflow=str(graph))

    for firing in ("2026-11-21T03:00:00Z", "2026-11-21T03:00:00Z", "2026-11-22T03:00:00Z"):
        performer.recur(task, firing)
        performer.recur(workflow, firing)

    assert [one.task for one in file_place.agents.spawned()] == ["Look around", "Look around"]
    assert [one.name for one in file_place.agents.workflows()] == ["nightly", "nightly"]
    assert sorted(entry.role for entry in file_place.queue.told) == ["backend_dev", "backend_dev", "qa", "qa"]


def test_an_agent_whose_project_is_gone_fails_with_the_reason(file_place: Place, tmp_path: Path) -> None:
    config = replace(file_place.config, home=tmp_path / "home")
    gone = workflow_entry.spawn(file_place.agents, Agent("", task="x", project=str(tmp_path / "gone")), config)
    file_place.engine.advance("")
    (entry,) = file_place.queue.told

    AgentPerformer(config, {}, file_place.agents, file_place.engine).perform(entry, lambda: False)

    one = file_place.agents.agent(gone.id)
    assert (one.status, one.reason) == (FAILED, "workspace_failed")
    assert "gone" in one.error


def test_an_agent_that_its_machines_die_of_is_not_tried_on_all_of_them(file_place: Place) -> None:
    one = workflow_entry.spawn(file_place.agents, Agent("", task="x", project="/srv/shop"), file_place.config)
    file_place.engine.advance("")
    (entry,) = file_place.queue.told

    performer = AgentPerformer(file_place.config, {}, file_place.agents, file_place.engine)
    performer.perform(replace(entry, attempt=4, lost=3), lambda: False)

    ended = file_place.agents.agent(one.id)
    assert (ended.status, ended.reason) == (FAILED, "killed")
    assert "3 workers" in ended.error


def test_a_large_graph_is_kept_whole(file_place: Place) -> None:
    graph = Graph("large", nodes=tuple(Node(f"n{number}", "x" * 2000) for number in range(600)))

    made = workflow_entry.enter(file_place.agents, graph, file_place.config)

    kept = file_place.agents.workflow(made.id)
    assert len(kept.source) > 1_000_000
    assert len(workflow_entry.in_order(kept, file_place.agents.agents_of(made.id))) == 600


def test_a_second_store_in_a_process_does_not_let_go_of_the_locks_of_the_first(tmp_path: Path) -> None:
    """Regression: making the second one opened and closed the file, which frees a process's locks on it.

    So the next process to end took the log away, and a driver saw no more of what others entered: its workflow hung.
    """
    file = tmp_path / "store.db"
    first, second = (Store(store_url.of_file(file)) for _ in range(2))
    for one in (first, second):
        with one.writing() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS told (word TEXT)")

    enter = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute(sys.argv[2])"
    subprocess.run([sys.executable, "-c", enter, str(file), "INSERT INTO told VALUES ('seen')"], check=True)

    with first.writing() as connection:
        assert connection.exec_driver_sql("SELECT word FROM told").scalar() == "seen"
    assert file.with_name("store.db-wal").exists()
    for one in (first, second):
        one.close()
