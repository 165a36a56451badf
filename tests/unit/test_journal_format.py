"""The journal's text: what is written is read, and what was not written by us is refused."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import journal_format
from components.model import Held, Task, Verdict, Workspace
from components.states import Complexity, Phase, Reason

HELD = Held(
    task=Task(id="7", title="Do it", complexity=Complexity.MAJOR, created_at="2026-11-21T08:41:02.651203"),
    agent_id="dev_001",
    phase=Phase.RUNNING,
    claim=uuid.uuid4().hex,
    session_id=str(uuid.uuid4()),
    attempt=2,
    taken_from="created",
    locked_at="2026-11-21T08:41:02.651+00:00",
    workspace=Workspace(Path("/r/.worktrees/7"), Path("/r"), "feature/task-7", "abc", is_worktree=True),
    verdict=Verdict(Reason.SUCCEEDED, "fine", 0, 0.5, 12.0, "opus"),
    spent_usd=0.75,
)


def test_what_is_written_is_read() -> None:
    assert journal_format.parse(journal_format.dump(HELD)) == HELD


@given(st.text(), st.text())
def test_any_title_and_description_come_back(title: str, description: str) -> None:
    held = replace(HELD, task=replace(HELD.task, title=title, description=description))

    read = journal_format.parse(journal_format.dump(held))

    encodable = "".join("?" if 0xD800 <= ord(c) <= 0xDFFF else c for c in title)
    assert read.task.title == encodable


def test_a_person_finds_the_facts_at_the_top() -> None:
    data = json.loads(journal_format.dump(HELD))

    assert data["task_id"] == "7"
    assert data["phase"] == "RUNNING"
    assert data["attempt"] == 2
    assert data["worktree_path"] == "/r/.worktrees/7"
    assert data["branch_name"] == "feature/task-7"
    assert data["session_id"] == HELD.session_id


@pytest.mark.parametrize("length", [0, 1, 50, -2])
def test_r5_a_torn_journal_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="whole JSON"):
        journal_format.parse(journal_format.dump(HELD)[:length])


def test_an_edited_journal_is_refused() -> None:
    content = journal_format.dump(HELD).replace(b"RUNNING", b"EXITED", 1)

    with pytest.raises(ValueError, match="checksum"):
        journal_format.parse(content)


def test_a_newer_journal_is_refused_by_its_version() -> None:
    with pytest.raises(ValueError, match="version 3"):
        journal_format.parse(b'{"version": 3}')


@pytest.mark.parametrize(
    "content", [b"[]", b"null", b'"x"', b"{}", b'{"version": 2}', b'{"task_id": {}, "agent_id": 1}']
)
def test_other_json_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="it is not|field is missing|checksum|must be|task"):
        journal_format.parse(content)


def test_the_earlier_runner_s_shape_is_understood_as_a_claim_to_be_made() -> None:
    legacy = {
        "task_id": 1,
        "task_title": "Create hello.txt",
        "agent_id": "orig_qa",
        "locked_at": "2026-11-21T08:54:11.603422",
        "worktree_path": None,
        "branch_name": None,
        "task_data": {"id": 1, "title": "Create hello.txt", "status": "created", "skill_level": "junior"},
    }

    held = journal_format.parse(json.dumps(legacy).encode())

    assert held.phase is Phase.CLAIMING
    assert (held.task.id, held.task.title, held.agent_id) == ("1", "Create hello.txt", "orig_qa")
    assert held.taken_from == journal_format.LEGACY
    assert journal_format.parse(journal_format.dump(held)) == held


def test_a_hostile_task_id_in_an_earlier_runner_s_file_is_refused() -> None:
    legacy = {"task_id": "../../x", "agent_id": "a", "locked_at": "2026-11-21T08:54:11", "task_data": {}}

    with pytest.raises(ValueError, match="id"):
        journal_format.parse(json.dumps(legacy).encode())
