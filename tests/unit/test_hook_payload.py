"""The words a hook is told, and the guide that shows them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from components.errors import ConfigError, GitFailed
from components.hook_payload import GATES, Moment, error_moment, health_moment, moment_named, task_moment
from components.hook_runner import VARIABLES
from components.model import Held, Task, Verdict, Workspace
from components.states import Complexity, Phase, Reason

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "hooks.md").read_text()
HOME = Path("/home/dev/.headless-pm")
REPOSITORY = Path("/srv/shop")


def held(**changes: object) -> Held:
    task = Task("17", "Round prices", complexity=Complexity.MAJOR, level="senior")
    values: dict[str, object] = {"task": task, "agent_id": "dev_001", "phase": Phase.ANNOUNCED, "claim": "c1"}
    return Held(**{**values, "session_id": "s1", "host": "build-1", **changes})  # type: ignore[arg-type]


def ended() -> Held:
    return held(
        phase=Phase.REPORTED,
        run="17-c1-1",
        workspace=Workspace(Path("/srv/shop/.worktrees/task-17"), REPOSITORY, "feature/x", "9fceb02", True),
        verdict=Verdict(Reason.SUCCEEDED, "done", 0, 0.5, 12.5, "sonnet"),
    )


def pre_task(in_hand: Held, retry: bool = False) -> dict[str, object]:
    return task_moment(
        Moment.PRE_TASK, in_hand, role="backend_dev", repository=REPOSITORY, home=HOME, executor="claude", retry=retry
    )


def post_task(in_hand: Held) -> dict[str, object]:
    return task_moment(
        Moment.POST_TASK,
        in_hand,
        role="backend_dev",
        repository=REPOSITORY,
        home=HOME,
        executor="claude",
        retry=False,
        status="dev_done",
    )


def health() -> dict[str, object]:
    return health_moment(
        agent_id="dev_001",
        role="backend_dev",
        repository=REPOSITORY,
        home=HOME,
        locks_directory=HOME / "locks",
        idle=True,
        task_id=None,
        uptime=1.25,
    )


def failure(in_hand: Held | None) -> dict[str, object]:
    return error_moment(
        GitFailed("no room"), agent_id="dev_001", role="backend_dev", repository=REPOSITORY, home=HOME, held=in_hand
    )


BUILT = {
    "pre_task": pre_task(held()),
    "post_task": post_task(ended()),
    "health_check": health(),
    "error": failure(held()),
}


def examples() -> dict[str, dict[str, object]]:
    """Return the guide's payloads by the heading they stand under."""
    found = re.findall(r"^### `(\w+)`$.*?^```json$(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return {moment: json.loads(text) for moment, text in found}


def keys(value: object) -> object:
    """Return only the names in a JSON value, in their order."""
    return [(name, keys(inner)) for name, inner in value.items()] if isinstance(value, dict) else None


def test_the_guide_has_an_example_of_every_moment() -> None:
    assert set(examples()) == set(Moment)


@pytest.mark.parametrize("moment", Moment)
def test_the_guides_example_has_exactly_the_keys_that_a_hook_is_told(moment: Moment) -> None:
    assert keys(examples()[moment]) == keys(BUILT[moment])


@pytest.mark.parametrize("moment", Moment)
def test_a_payload_survives_json(moment: Moment) -> None:
    assert json.loads(json.dumps(BUILT[moment])) == BUILT[moment]


def test_the_guide_names_every_variable_of_the_default_hooks_and_no_other() -> None:
    section = GUIDE.split("## The default hooks")[1].split("\n## ")[0]

    assert set(re.findall(r"HEADLESS_PM_\w+", section)) == set(VARIABLES)


def test_the_default_hooks_read_no_variable_that_is_not_let_through() -> None:
    source = "".join(path.read_text() for path in (ROOT / "hooks").glob("*.py"))

    assert set(re.findall(r"HEADLESS_PM_\w+", source)) == set(VARIABLES)


def test_before_a_task_there_is_no_workspace_and_no_verdict() -> None:
    payload = pre_task(held())

    assert payload["workspace"] is None
    assert not {"verdict", "status", "run_directory"} & payload.keys()


def test_a_step_that_is_run_again_says_so() -> None:
    assert pre_task(held(), retry=True)["retry"] is True
    assert pre_task(held())["retry"] is False


def test_all_fields_of_the_task_are_told_with_plain_values() -> None:
    task = pre_task(held())["task"]

    assert isinstance(task, dict)
    assert list(task) == list(Task.__slots__)
    assert type(task["complexity"]) is str


def test_after_a_task_its_run_is_where_the_journal_says() -> None:
    payload = post_task(ended())

    assert payload["run_directory"] == "/home/dev/.headless-pm/runs/17-c1-1"
    assert payload["temporary_directory"] == "/home/dev/.headless-pm/runs/17-c1-1/tmp"


def test_a_task_that_no_agent_was_started_for_has_no_run_directory() -> None:
    payload = post_task(held(phase=Phase.REPORTED, verdict=Verdict(Reason.HOOK_REJECTED)))

    assert payload["run_directory"] is None
    assert payload["temporary_directory"] is None


@pytest.mark.parametrize("reason", Reason)
def test_only_a_task_that_succeeded_is_a_success(reason: Reason) -> None:
    verdict = post_task(held(verdict=Verdict(reason)))["verdict"]

    assert isinstance(verdict, dict)
    assert verdict["success"] is (reason is Reason.SUCCEEDED)


def test_an_error_without_a_task_in_hand_can_be_told() -> None:
    payload = failure(None)

    assert payload["task"] is None
    assert payload["error"] == {"kind": "GitFailed", "message": "no room"}
    assert keys({**payload, "task": 0}) == keys({**failure(held()), "task": 0})


def test_an_unknown_moment_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"'pre-task' is not one of pre_task, post_task, health_check, error"):
        moment_named("pre-task")


def test_only_the_moment_before_a_task_is_a_gate() -> None:
    assert {Moment.PRE_TASK} == GATES
