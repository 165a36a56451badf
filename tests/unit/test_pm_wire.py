"""What a Headless PM server says, read into values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import pm_wire
from components.model import Task
from components.states import Complexity

ROW = {
    "id": 7,
    "feature_id": 2,
    "epic_id": 3,
    "title": "Add a button",
    "description": "A blue one.",
    "created_by": "pm_001",
    "target_role": "backend_dev",
    "difficulty": "senior",
    "complexity": "minor",
    "branch": "main",
    "status": "created",
    "locked_by": None,
    "locked_at": None,
    "notes": None,
    "created_at": "2026-11-21T08:41:02.651203",
    "updated_at": "2026-11-21T08:41:02.651246",
    "task_type": "regular",
    "poll_interval": None,
}


def row(**fields: Any) -> dict[str, Any]:
    return {**ROW, **fields}


def test_a_task_of_the_current_server_is_read_whole() -> None:
    assert pm_wire.parse_task(ROW) == Task(
        id="7",
        title="Add a button",
        description="A blue one.",
        role="backend_dev",
        level="senior",
        complexity=Complexity.MINOR,
        branch="main",
        status="created",
        locked_by=None,
        created_by="pm_001",
        created_at="2026-11-21T08:41:02.651203",
        notes="",
        feature_id="2",
        epic_id="3",
    )


def test_a_task_of_the_2025_servers_has_an_upper_case_status_and_no_epic() -> None:
    old = row(status="UNDER_WORK", locked_by="dev_1")
    del old["epic_id"]

    task = pm_wire.parse_task(old)

    assert (task.status, task.epic_id, task.locked_by) == ("under_work", "", "dev_1")
    assert pm_wire.is_upper_case(old)
    assert not pm_wire.is_upper_case(ROW)


@pytest.mark.parametrize(
    "value", ["../../x", "1/../2", "-1", -1, 1.0, True, None, "", "1" * 19, "７", "1\n", [1], {"a": 1}, 10**18]
)
def test_an_id_that_is_not_a_short_number_is_refused_in_either_mode(value: object) -> None:
    for strict in (True, False):
        with pytest.raises(ValueError, match="the task's id is"):
            pm_wire.parse_task(row(id=value), strict=strict)


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (7, "7"), ("007", "007"), ("9" * 18, "9" * 18)])
def test_an_id_of_up_to_18_digits_is_kept_as_text(value: object, text: str) -> None:
    assert pm_wire.parse_task(row(id=value)).id == text


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("title", None, "title is nothing"),
        ("title", 5, "title is a number"),
        ("description", ["x"], "description is a list"),
        ("target_role", "wizard", "target_role is 'wizard'"),
        ("target_role", None, "target_role is ''"),
        ("status", None, "status is nothing"),
        ("locked_by", 3, "locked_by is a number"),
        ("created_at", 1700000000, "created_at is a number"),
    ],
)
def test_a_field_that_makes_no_sense_is_named(field: str, value: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        pm_wire.parse_task(row(**{field: value}))


@pytest.mark.parametrize("data", [None, [], "task", 5, True])
def test_what_is_no_object_is_no_task(data: object) -> None:
    with pytest.raises(ValueError, match="a task was expected"):
        pm_wire.parse_task(data, strict=False)


@pytest.mark.parametrize(
    ("value", "complexity"),
    [("minor", "minor"), ("MINOR", "minor"), ("major", "major"), ("gigantic", "major"), (None, "major")],
)
def test_a_complexity_that_is_not_known_gets_a_worktree_of_its_own(value: object, complexity: str) -> None:
    assert pm_wire.parse_task(row(complexity=value)).complexity == complexity


def test_a_level_that_is_not_known_is_kept_as_text() -> None:
    assert pm_wire.parse_task(row(difficulty="Wizard")).level == "wizard"


def test_the_earlier_runners_lock_file_is_read_leniently() -> None:
    data = {"id": 1, "title": "Create hello.txt", "status": "created", "skill_level": "senior"}

    task = pm_wire.parse_task(data, strict=False)

    assert (task.id, task.title, task.status, task.level) == ("1", "Create hello.txt", "created", "senior")
    assert (task.complexity, task.role, task.created_at) == (Complexity.MAJOR, "", "")


def test_in_lenient_mode_a_field_of_a_wrong_type_is_absent() -> None:
    odd = row(title=None, description=5, target_role=["qa"], status={}, locked_by=1, notes=2.5)

    task = pm_wire.parse_task(odd, strict=False)

    assert (task.title, task.description, task.role, task.status, task.locked_by, task.notes) == ("",) * 4 + (None, "")


def test_ten_megabytes_of_description_are_cut_with_a_note() -> None:
    task = pm_wire.parse_task(row(description="x" * 10_000_000, title="t" * 10_000))

    assert task.description.startswith("x" * 1_000_000 + "\n\n[Cut here: the text had 10,000,000 characters")
    assert len(task.description) < 1_000_200
    assert len(task.title) == 500


def test_a_title_is_one_line_without_terminal_escapes() -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m\r\nline\u202etwo\x9b5m\x00end"

    title = pm_wire.parse_task(row(title=hostile)).title

    assert title == "red line two end"


def test_text_that_utf8_cannot_hold_does_not_reach_the_journal() -> None:
    task = pm_wire.parse_task(json.loads(json.dumps(row(description="a\ud800b\0c", locked_by="\udfff"))))

    assert (task.description, task.locked_by) == ("a?bc", "?")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ROW, "x"]), inner, max_size=12),
        max_leaves=20,
    ),
    st.booleans(),
)
def test_whatever_json_comes_gives_a_task_or_a_value_error(data: object, strict: bool) -> None:
    merged = {**ROW, **data} if isinstance(data, dict) else data
    try:
        task = pm_wire.parse_task(merged, strict=strict)
    except ValueError:
        return
    assert pm_wire.ID.fullmatch(task.id)
    assert not pm_wire.UNPRINTABLE.search(task.title)
    assert task.description.encode() is not None


def test_a_registration_says_what_the_server_has_stored() -> None:
    answer = {"agent": {"agent_id": "dev_1", "role": "QA", "level": "JUNIOR"}, "next_task": None, "mentions": []}

    registration = pm_wire.parse_registration(answer)

    assert (registration.agent_id, registration.role, registration.level) == ("dev_1", "qa", "junior")


@pytest.mark.parametrize("answer", [{}, [], None, {"agent": None}, {"agent": {"agent_id": "x"}}, {"agent": [1]}])
def test_a_registration_without_an_agent_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match=r"agent|role"):
        pm_wire.parse_registration(answer)


def change(number: int, task_id: object, at: str) -> dict[str, Any]:
    return {"id": number, "task_id": task_id, "old_status": "CREATED", "new_status": "under_work", "changed_at": at}


def test_changes_are_those_of_the_task_since_it_was_made_newest_first() -> None:
    task = Task("7", "T", created_at="2026-11-21T08:00:00.000000")
    rows = [
        change(3, 7, "2026-11-21T09:00:00.000000"),
        change(4, 8, "2026-11-21T09:30:00.000000"),
        change(5, 7, "2026-11-21T10:00:00.000000"),
        change(1, 7, "2026-11-21T07:59:59.999999"),
        "noise",
        {"task_id": 9},
    ]

    changes = pm_wire.parse_changes(rows, task)

    assert [(one.changed_at[11:13], one.old_status) for one in changes] == [("10", "created"), ("09", "created")]


def test_a_refusal_is_told_in_the_servers_words_whatever_their_form() -> None:
    fastapi = {"detail": [{"type": "enum", "loc": ["body", "role"], "msg": "Input should be 'qa'", "input": "x"}, 5]}

    assert pm_wire.parse_detail({"detail": "Task 1 is\n\x1b[31mgone"}, "") == "Task 1 is gone"
    assert pm_wire.parse_detail(fastapi, "") == "body.role: Input should be 'qa'; 5"
    assert pm_wire.parse_detail(None, "<h1>no</h1>") == "<h1>no</h1>"
    assert len(pm_wire.parse_detail({"detail": "x" * 100_000}, "")) == 500


def test_a_refusal_is_about_a_field_where_it_says_so() -> None:
    def about(name: str) -> dict[str, Any]:
        return {"detail": [{"loc": ["query", name], "msg": "no"}]}

    assert pm_wire.complains_of(about("status"), "status")
    assert not pm_wire.complains_of(about("role"), "status")
    assert pm_wire.complains_of({"detail": "no such status"}, "status")


@pytest.mark.parametrize(
    ("health", "capabilities"),
    [
        ({"capabilities": ["get_task", "unlock", 5]}, {"get_task", "unlock"}),
        ({"status": "healthy"}, set()),
        ({"capabilities": "get_task"}, set()),
        (None, set()),
    ],
)
def test_capabilities_are_what_is_announced_and_none_otherwise(health: object, capabilities: set[str]) -> None:
    assert pm_wire.parse_capabilities(health) == capabilities


def test_outgoing_text_is_cut_visibly_and_can_be_encoded() -> None:
    assert pm_wire.outgoing("abcdef", 4) == "abc…"
    assert pm_wire.outgoing("a\udcffb", 10).encode() == b"a?b"
