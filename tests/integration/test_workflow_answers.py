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
