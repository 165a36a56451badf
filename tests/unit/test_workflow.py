"""Graphs of agents: what is wrong with one, what is ready, how it is written and drawn."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import workflow, workflow_file, workflow_format, workflow_picture
from components.agent import AgentStatus, NodeKind, OnFailure
from components.errors import ConfigError, NotFound
from components.workflow import Graph, Node
from components.workflow_document import Document
from components.workflow_picture import Drawn

ROOT = Path(__file__).parents[2]
HEAD = "name: calculator\nnodes:\n"
GOOD = """
name: calculator
description: A calculator, made by three agents
project: calc
branch: main
on_failure: skip
defaults: {role: backend_dev, level: senior, limits: {claude_timeout: 900}}
nodes:
  - {id: design, role: architect, task: Design it}
  - {id: build, task: Build it, dependencies: [design], seniority: principal, limits: {model: opus}}
  - {id: gate, kind: approval, needs: [build], task: Is it good?}
  - {id: each, task: "Test {item}", needs: [gate], over: [add, subtract], on_failure: continue}
"""


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        workflow_file.parsed(text, "calculator.yaml")
    return str(refused.value)


def test_a_workflow_is_read_with_its_defaults_and_other_names_of_keys() -> None:
    graph = workflow_file.parsed(GOOD, "calculator.yaml")

    design, build, gate, each = graph.nodes
    assert (graph.name, graph.project, graph.branch) == ("calculator", "calc", "main")
    assert (design.role, build.role) == ("architect", "backend_dev")
    assert (design.level, build.level) == ("senior", "principal")
    assert build.limits == {"claude_timeout": 900, "model": "opus"}
    assert build.needs == ("design",)
    assert (gate.kind, each.kind) == (NodeKind.APPROVAL, NodeKind.MAP)
    assert each.over == ("add", "subtract")
    assert (design.on_failure, each.on_failure) == (OnFailure.SKIP, OnFailure.CONTINUE)


def test_what_was_read_can_be_written_and_read_again() -> None:
    graph = workflow_file.parsed(GOOD, "calculator.yaml")

    again = workflow_file.graph_of(workflow_file.written(graph), "again")

    assert again == graph
    jsonschema.validate(workflow_file.written(graph), workflow_format.SCHEMA)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ("- {id: a, task: x, needs: [c]}\n- {id: b, task: x, needs: [a]}\n- {id: c, task: x, needs: [b]}", "cycle: "),
        ("- {id: a, task: x, needs: [a]}", "cycle: a -> a"),
        ("- {id: a, task: x}\n- {id: a, task: y}", "node 'a' (line 4): 2 nodes have this id"),
        ("- {id: design, task: x}\n- {id: b, task: x, needs: [desing]}", "did you mean design?"),
        ("- {id: a, taks: x}", "node 'a', taks (line 3): not known; did you mean task?"),
        ("- {id: a}", "node 'a' (line 3): `task` is missing"),
        ("- {task: x}", "node number 1 (line 3): `id` is missing"),
        ("- {id: a, task: 5}", "node 'a', task (line 3): it is a number; write text"),
        ("- {id: a, task: x, needs: b}", "node 'a', needs (line 3): it is text; write a list"),
        ("- {id: a, task: x, needs: [5]}", "node 'a', needs, 0 (line 3): it is a number; write text"),
        ("- {id: a, task: x, role: backend}", "did you mean backend_dev?"),
        ("- {id: a, task: x, priority: true}", "it is true or false; write a whole number"),
        ("- {id: a, task: x, priority: -1}", "out of bounds; write 0 to"),
        ("- {id: a/b, task: x}", "'a/b' is not allowed; write letters, digits"),
        ("- {id: a, task: x, limits: {agent_command: rm}}", "limits, agent_command (line 3): not known"),
        ("- {id: a, task: x, limits: {max_turns: many}}", "limits, max_turns (line 3): it is text; write a whole"),
        ("- {id: a, task: x, limits: {max_turns: '3'}}", "limits, max_turns (line 3): it is text; write a whole"),
        ("- {id: a, task: x, limits: {max_turns: 0}}", "limits, max_turns (line 3): 0 is out of bounds; write 1 to"),
        ("- {id: a, task: x, limits: {evidence: change_}}", "limits, evidence (line 3): 'change_' is not known; write"),
        ("- {id: a, task: x, over: [1]}\n  kind: map", "not YAML"),
        ("- {id: a, task: x, kind: agent, over: [1]}", "`over` is for a map"),
        ("- {id: a, task: x, kind: map}", "`over` is missing"),
        ("- {id: a, task: x, over: {output_of: b}}\n- {id: b, task: x}", "which is not among its `needs`"),
        ("- {id: a, task: x, over: 5}", "write a list, or {output_of: NODE}"),
        ("- {id: a, task: x, over: [2026-01-01]}", "an item that is no JSON"),
        ("- {id: a, task: x, task: y}", "`task` (line 3): it is given twice"),
        ("- &a {id: a, task: x}\n- *a", "it has an alias"),
        ("- 5", "it is a number; write a table"),
        ("- {id: a, task: x, limits: {max_budget_usd: .nan}}", "node 'a', limits, max_budget_usd (line 3): nan is no"),
        ("- {id: a, task: x, limits: {max_turns: .inf}}", "node 'a', limits, max_turns (line 3): inf is no number"),
        ("- {id: a, task: x, over: [.nan]}", "node 'a', over, 0 (line 3): nan is no number"),
        ("- {id: a, task: x, limits: {executor: nope}}", "limits.executor: 'nope' is not known; choose one of claude,"),
        (f"- {{id: a, task: x, over: {'[' * 900}{']' * 900}}}", "node 'a', over (line 3): more than 50 lists and"),
        (f"- {{id: a, task: x, priority: 0x{'f' * 5000}}}", "node 'a', priority (line 3): the number is too long"),
        (f"- {{id: a, task: x, role: {'[' * 900}{']' * 900}}}", "node 'a', role (line 3): more than 50 lists and"),
        ('- {id: "a\\n", task: x}', "'a\\n' is not allowed; write letters, digits"),
        ('- {id: a, task: x, title: "b\\n"}', "'b\\n' is not allowed; write it without control characters"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_what_to_write(nodes: str, words: str) -> None:
    assert words in refusal(HEAD + "".join(f"  {line}\n" for line in nodes.splitlines()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "workflow: it is nothing; write a table"),
        ("[]", "it is a list; write a table"),
        ("name: x", "`nodes` is missing"),
        ("name: x\nnodes: []", "it has no node"),
        ("name: 5\nnodes: []", "name (line 1): it is a number; write text"),
        ("nam: x\nnodes: []", "did you mean name?"),
        ("name: [", "calculator.yaml, line "),
        ("\t: {", "not YAML"),
        ("[" * 3000, "not YAML"),
        pytest.param("[" * 100_000 + "]" * 100_000, "line 1 has over 1000 lists within each other", id="depth"),
        ("name: x\nnodes: {a: {b: .nan}}", "nodes.a.b (line 2): nan is no number"),
        ("name: x\nbranch: --output=x\nnodes: []", "branch (line 2): '--output=x' is no name of a branch"),
        ("name: !!python/object/apply:os.system [ls]\nnodes: []", "not YAML"),
    ],
)
def test_a_file_that_is_no_workflow_is_refused(text: str, words: str) -> None:
    assert words in refusal(text)


def test_a_parent_named_twice_and_a_mistake_in_an_agent_of_no_workflow_are_told_as_such() -> None:
    with pytest.raises(ConfigError, match="node 'b'.*: it needs 'a' 2 times; name it once"):
        workflow_file.parsed("name: x\nnodes: [{id: a, task: x}, {id: b, task: x, needs: [a, a]}]", "x.yaml")
    with pytest.raises(ConfigError, match="^the agent has 1 mistake:\n  limits.evidence"):
        workflow_file.node_of({"id": "a", "task": "x", "limits": {"evidence": "zzz"}}, subject="the agent")


def test_all_mistakes_are_named_at_once() -> None:
    said = refusal(
        HEAD + "  - {id: a, task: x, needs: [b]}\n  - {id: b, task: x, needs: [a, z]}\n  - {id: b, task: x}\n"
    )

    assert "has 3 mistakes" in said
    assert said.count("\n") == 3


def test_mistakes_of_the_form_hide_none_of_the_graph() -> None:
    """Regression: a misspelt key hid cycles, unknown nodes and ids given twice."""
    said = refusal("""name: calculator
brunch: main
defaults: {role: nobody}
nodes:
  - {id: a, taks: x, needs: [b, z], limits: {max_turns: many}}
  - {id: b, task: 5, needs: [a]}
  - {id: c}
  - {id: c, task: x, level: 7}
  - {task: x, needs: [y]}
""")

    expected = ["brunch", "defaults", "'a', taks", "'b', task", "'c', level", "number 5 (", "'c' (line 7): `task`"]
    expected += ["limits, max_turns", "2 nodes have this id", "needs 'z'", "needs 'y'", "cycle: a -> b -> a"]
    assert [words for words in expected if words not in said] == []
    assert "has 12 mistakes" in said


@pytest.mark.parametrize("key", ["task", "title", "id", "\ud800"])
def test_half_a_character_is_refused_with_its_place(key: str) -> None:
    """Regression: a store refused it later, with an internal error."""
    node = {"id": "a", "task": "x", key: "b\ud800"}
    with pytest.raises(ConfigError) as refused:
        workflow_file.graph_of({"name": "x", "nodes": [node]}, "x")
    with pytest.raises(ConfigError, match="half a character"):
        workflow_file.node_of(node)

    assert f", {key.replace(chr(0xD800), '?')}: it has half a character" in str(refused.value)
    str(refused.value).encode()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        workflow_file.read(tmp_path / "none.yaml")


def test_each_cycle_is_walked_once_and_what_is_behind_it_is_no_cycle() -> None:
    nodes = [Node("a", needs=("b",)), Node("b", needs=("a",)), Node("c", needs=("a",)), Node("d", needs=("d",))]

    assert workflow.cycles([*nodes, Node("e")]) == [["a", "b", "a"], ["d", "d"]]


@pytest.mark.parametrize("shape", ["chain", "cycle", "fan"])
def test_a_hundred_thousand_nodes_are_checked_within_seconds(shape: str) -> None:
    count = 100_000
    needs: dict[str, Callable[[int], tuple[str, ...]]] = {
        "chain": lambda number: (f"n{number - 1}",) if number else (),
        "cycle": lambda number: (f"n{(number - 1) % count}",),
        "fan": lambda number: ("n0",) if number else (),
    }
    nodes = tuple(Node(f"n{number}", needs=needs[shape](number)) for number in range(count))
    began = time.process_time()

    if shape == "cycle":
        with pytest.raises(ConfigError, match="cycle: n"):
            workflow.check(Graph("big", nodes))
    else:
        workflow.check(Graph("big", nodes))

    assert time.process_time() - began < 5


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_more_nodes_than_are_taken_are_refused_before_all_are_read(form: str) -> None:
    lines = [f"{{id: n{number}, task: x, needs: []}}" for number in range(100_000)]
    text = HEAD + "".join(f"  - {line}\n" for line in lines) if form == "yaml" else ""
    text = text or json.dumps(
        {"name": "big", "nodes": [{"id": f"n{number}", "task": "x"} for number in range(100_000)]}
    )
    began = time.process_time()

    with pytest.raises(ConfigError, match=r"^big.yaml: it has more than 50,000 nodes; make several workflows of it"):
        workflow_file.parsed(text, "big.yaml")

    assert time.process_time() - began < 5


def test_a_large_file_is_read_without_a_look_at_all_that_was_read_for_garbage() -> None:
    """Regression: of the 8 s that 60,000 nodes took, most went into such looks, more with each node."""
    text = HEAD + "".join(f"  - {{id: n{number}, task: x, needs: []}}\n" for number in range(10_000))
    looks: list[int] = []

    def note(phase: str, facts: dict[str, int]) -> None:
        if phase == "start" and facts["generation"] == 2:
            looks.append(1)

    gc.callbacks.append(note)
    try:
        document = Document(text, 10_000)
    finally:
        gc.callbacks.remove(note)

    assert len(looks) == 0
    assert gc.isenabled()
    assert document.place(("nodes", 9_999)) == " (line 10002)"


@given(st.integers(1, 30), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_layers_hold_every_node_behind_all_that_it_needs(count: int, random: Any) -> None:
    nodes = [
        Node(
            f"n{number}",
            needs=tuple({f"n{random.randrange(number)}" for _ in range(random.randrange(3))} if number else ()),
        )
        for number in range(count)
    ]
    random.shuffle(nodes)

    layers = workflow.layers(nodes)

    depth = {name: number for number, layer in enumerate(layers) for name in layer}
    assert sorted(depth) == sorted(node.id for node in nodes)
    assert all(depth[parent] < depth[node.id] for node in nodes for parent in node.needs)
    assert workflow.cycles(nodes) == []


def test_what_is_ready_follows_from_states_and_policies() -> None:
    nodes = [
        Node("a"),
        Node("b", on_failure=OnFailure.CONTINUE),
        Node("c", needs=("a",)),
        Node("d", needs=("b",)),
        Node("e", needs=("a", "b")),
    ]
    pending = dict.fromkeys("abcde", AgentStatus.PENDING)

    assert workflow.ready(nodes, pending) == ["a", "b"]
    assert workflow.ready(nodes, {**pending, "a": AgentStatus.ACTIVE, "b": AgentStatus.FAILED}) == ["d"]
    assert workflow.ready(nodes, {**pending, "a": AgentStatus.FAILED, "b": AgentStatus.COMPLETED}) == ["d"]
    both = {**pending, "a": AgentStatus.COMPLETED, "b": AgentStatus.SKIPPED}
    assert workflow.ready(nodes, both) == ["c", "d", "e"]


def test_the_published_schema_is_the_programs_own() -> None:
    published = json.loads((ROOT / "docs" / "workflow.schema.json").read_text())

    assert published == json.loads(workflow_format.schema_text())
    jsonschema.Draft202012Validator.check_schema(published)


VALUES: list[Any] = [
    *(
        "a",
        "",
        "qa",
        "senior",
        "map",
        "continue",
        "opus",
        "x\ny",
        "x\n",
        5,
        -5,
        0.5,
        True,
        None,
        [],
        ["a"],
        [5],
        {},
        "x" * 300,
    ),
    *(
        {"output_of": "a"},
        {"output_of": 5},
        {"claude_timeout": 5},
        {"claude_timeout": [5]},
        {"max_turns": True},
        {"no": 1},
    ),
]


@pytest.mark.parametrize("key", [*workflow_format.NODE["properties"], "unknown"])
def test_the_schema_takes_a_key_of_a_node_exactly_where_the_program_does(key: str) -> None:
    validator = jsonschema.Draft202012Validator(workflow_format.NODE)
    for value in VALUES:
        node = {"id": "a", key: value}
        assert validator.is_valid(node) == (not list(workflow_format.problems_of(node, workflow_format.NODE))), node


@pytest.mark.parametrize("key", [*workflow_format.FILE_KEYS, "unknown"])
def test_the_schema_takes_a_key_of_a_file_exactly_where_the_program_does(key: str) -> None:
    validator = jsonschema.Draft202012Validator(dict(workflow_format.SCHEMA))
    for value in [*VALUES, {"role": "qa"}, {"seniority": "senior"}, {"id": "a"}, [{"id": "a"}], [{"task": "a"}]]:
        data = {"name": "x", "nodes": [], key: value}
        assert validator.is_valid(data) == (not list(workflow_format.problems_of(data, workflow_format.SCHEMA))), data


def test_a_picture_shows_shapes_statuses_and_nothing_that_means_something_to_mermaid() -> None:
    drawn = [
        Drawn("a", 'end "<b>"; click', status="completed"),
        Drawn("b", "gate", ("a",), NodeKind.APPROVAL, "pending"),
        Drawn("c", "each", ("b", "not drawn"), NodeKind.MAP),
    ]

    assert workflow_picture.mermaid(drawn).splitlines() == [
        "flowchart TD",
        '    n0["end #34;#60;b#62;#34;#59; click"]:::completed',
        '    n1{{"gate"}}',
        '    n2[["each"]]',
        "    n0 --> n1",
        "    n1 --> n2",
        "    classDef completed fill:#c8e6c9,stroke:#1b5e20",
    ]


def test_the_example_of_the_guide_is_right_and_has_what_the_guide_says() -> None:
    text = (ROOT / "docs" / "calculator.yaml").read_text()
    guide = (ROOT / "docs" / "workflows.md").read_text()

    graph = workflow_file.parsed(text, "calculator.yaml")

    assert f"{len(graph.nodes)} nodes in {len(workflow.layers(graph.nodes))} steps, at most 2 at once" in guide
    assert {node.kind for node in graph.nodes} == set(NodeKind)


def test_the_guide_names_every_key() -> None:
    guide = (ROOT / "docs" / "workflows.md").read_text()

    missing = [
        key for key in (*workflow_format.NODE["properties"], *workflow_format.FILE_KEYS) if f"`{key}`" not in guide
    ]

    assert missing == []
