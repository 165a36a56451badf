"""What the commands about workflows and agents answer, where nothing is at work."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("dbos")

from tests.typed import Terminal


@pytest.fixture
def desk(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_a_list_of_workflows_knows_the_statuses_that_there_are(desk: Terminal) -> None:
    """Regression: one that there is not found no workflow, and said that there is none yet."""
    refused = desk.run("workflow", "list", "--status", "foo")

    assert (refused.returncode, "'pending', 'active', 'completed'" in refused.stderr) == (2, True), refused.stderr
    assert desk.say("workflow", "list", "--status", "failed") == "No workflow has the status failed.\n"


def test_an_agent_is_told_of_as_it_was_entered_and_its_cancelling_twice_as_nothing_to_do(desk: Terminal) -> None:
    """Regression: one that was just made had no date, and the end of one that was over was told as done."""
    made = desk.told("agent", "spawn", "Mend it", "--no-worker")
    assert (made["status"], made["created_at"][:2], made["updated_at"][:2]) == ("queued", "20", "20")

    assert "it was queued; cancelled" in desk.say("agent", "cancel", made["id"])
    again = desk.run("agent", "cancel", made["id"])

    told = f"Error: agent {made['id'][:8]} is cancelled already; nothing of it is at work\n"
    assert (again.returncode, again.stderr) == (1, told)
