"""The real Claude CLI at a Messages API that misbehaves: what becomes of the task, how soon, after how many requests.

The scripted model counts what it is asked, so a storm of retries is seen. A run of the CLI takes about a second of CPU
time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.demo.scripted_model import ScriptedModel
from tests.fake_claude import Ending, ending, see_through
from tests.pm_server import PmServer, running_pm
from tests.runner import Runner
from tests.scripted_model import claude_path, scripted
from tests.waiting import until

MakeRunner = Callable[..., Runner]
WORK: dict[str, Any] = {"Bash": "echo work >> work.txt && git add work.txt && git commit -qm Work"}
SECONDS = 100


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PmServer]:
    """A server whose locks are atomic: nothing here is about claims, and so no claim has to settle."""
    with running_pm(tmp_path_factory.mktemp("pm")) as pm:
        yield pm


@pytest.fixture
def at_the_model(runner: MakeRunner) -> Callable[[ScriptedModel], Runner]:
    """Make a runner whose agents are real CLIs that ask this model, each answer once and for 20 s at most."""

    def make(model: ScriptedModel) -> Runner:
        one = runner()
        one.env.pop("HEADLESS_PM_EVIDENCE", None)
        one.env.update(
            HEADLESS_PM_CLAUDE_PATH=claude_path(),
            HEADLESS_PM_API_RETRIES="0",
            HEADLESS_PM_API_TIMEOUT="20",
            HEADLESS_PM_MAX_ATTEMPTS="1",
            CLAUDE_CONFIG_DIR=str(one.directory / "claude-config"),
            ANTHROPIC_BASE_URL=model.url,
            ANTHROPIC_API_KEY="sk-ant-made-up-for-this-test",
        )
        return one

    return make


AtTheModel = Callable[[ScriptedModel], Runner]


def work_at(
    at_the_model: AtTheModel, pm: PmServer, *turns: object, **env: str
) -> tuple[Ending, list[dict[str, Any]], float]:
    """Do a task by turns of the model; return how it ended, what the model was asked, and how long it took."""
    task = pm.api.task("A task")
    with scripted(*turns) as model:
        began = time.monotonic()
        end = see_through(at_the_model(model), task, **env)
        return end, list(model.requests), time.monotonic() - began


def fault(name: str, times: int | None = None, **more: object) -> dict[str, Any]:
    """Return a turn of work that meets a fault first."""
    return {"fault": {"name": name, **({} if times is None else {"times": times}), **more}, **WORK}


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize(
    ("first", "retries", "most_requests"),
    [
        pytest.param(WORK, 0, 2, id="no fault"),
        pytest.param(fault("529", 1), 1, 3, id="overloaded once"),
        pytest.param(fault("500", 1), 1, 3, id="an error once"),
        pytest.param(fault("429", 1, retry_after=1), 1, 3, id="a limit with retry-after"),
        pytest.param(fault("slow", seconds=0.2), 0, 2, id="a slow stream"),
        pytest.param(fault("cut", 1), 0, 4, id="a stream that is cut"),
        pytest.param(fault("malformed"), 0, 4, id="a stream that is no stream"),
        pytest.param({**WORK, "sleep": 3}, 0, 2, id="a slow answer"),
    ],
)
def test_a_fault_that_passes_does_not_keep_the_work_from_being_done(
    at_the_model: AtTheModel, pm: PmServer, first: dict[str, Any], retries: int, most_requests: int
) -> None:
    end, asked, _ = work_at(at_the_model, pm, first, "All done.", HEADLESS_PM_API_RETRIES=str(retries))

    assert (end.reasons, end.status) == (("succeeded",), "dev_done"), end.said
    assert 2 <= len(asked) <= most_requests


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize(
    ("name", "retries", "reason", "status", "most_requests", "words"),
    [
        ("529", 1, "overloaded", "created", 2, "529"),
        ("500", 0, "overloaded", "created", 1, "500"),
        ("401", 1, "auth_failed", "pending", 2, "Log in with `claude /login`"),
        ("403", 1, "auth_failed", "pending", 1, "Log in with `claude /login`"),
        ("404", 1, "model_missing", "pending", 2, "Name another one under `models`"),
        ("credit", 1, "no_credit", "pending", 1, "Add credit"),
        ("400", 0, "agent_failed", "pending", 6, "API Error: 400"),
        ("413", 0, "agent_failed", "pending", 6, "too large"),
    ],
)
def test_a_fault_that_stays_is_named_and_not_hammered(
    at_the_model: AtTheModel,
    pm: PmServer,
    name: str,
    retries: int,
    reason: str,
    status: str,
    most_requests: int,
    words: str,
) -> None:
    end, asked, seconds = work_at(at_the_model, pm, fault(name), HEADLESS_PM_API_RETRIES=str(retries))

    assert (end.reasons, end.status) == ((reason,), status), end.said
    assert words in end.notes
    assert 1 <= len(asked) <= most_requests
    assert seconds < 45


@pytest.mark.timeout(SECONDS)
def test_a_service_that_does_not_answer_is_given_up_in_time(at_the_model: AtTheModel, pm: PmServer) -> None:
    end, asked, seconds = work_at(at_the_model, pm, fault("hang"), HEADLESS_PM_API_TIMEOUT="2")

    assert (end.reasons, end.status) == (("overloaded",), "created"), end.said
    assert len(asked) <= 2
    assert seconds < 45


@pytest.mark.timeout(SECONDS)
def test_refused_credentials_are_not_tried_again_however_many_attempts_there_are(
    at_the_model: AtTheModel, pm: PmServer
) -> None:
    end, asked, _ = work_at(at_the_model, pm, fault("401"), HEADLESS_PM_MAX_ATTEMPTS="3")

    assert (end.reasons, end.status) == (("auth_failed",), "pending"), end.said
    assert len(asked) == 1


@pytest.mark.timeout(SECONDS)
def test_a_limit_whose_end_is_told_is_waited_for_and_costs_no_attempt(at_the_model: AtTheModel, pm: PmServer) -> None:
    """The CLI tells the end of a limit only to who has signed in, not to the owner of a key."""
    told = {
        "anthropic-ratelimit-unified-status": "rejected",
        "anthropic-ratelimit-unified-reset": str(int(time.time()) + 15),
        "anthropic-ratelimit-unified-representative-claim": "five_hour",
    }
    task = pm.api.task("A task")
    with scripted(fault("429", 1, headers=told), "All done.") as model:
        one = at_the_model(model)
        del one.env["ANTHROPIC_API_KEY"]
        one.env["CLAUDE_CODE_OAUTH_TOKEN"] = "sk-ant-oat01-made-up-for-this-test"

        end = see_through(one, task)

    assert (end.reasons, end.status) == (("rate_limited", "succeeded"), "dev_done"), end.said
    assert "goes on at" in end.said
    limited, *later = model.requests
    assert later[0]["at"] >= int(told["anthropic-ratelimit-unified-reset"])
    assert {asked["session"] for asked in model.requests} == {limited["session"]}
    assert len(model.requests) == 3


@pytest.mark.timeout(SECONDS)
def test_a_limit_whose_end_is_not_told_is_waited_for_without_asking(at_the_model: AtTheModel, pm: PmServer) -> None:
    task = pm.api.task("A task")
    with scripted(fault("429")) as model:
        one = at_the_model(model)
        daemon = one.start("--single-task")
        until(lambda: one.said("goes on at"), "the wait", 40)

        assert pm.api.look(task["id"])["status"] == "under_work"
        assert len(model.requests) == 1
        one.kill(daemon)


@pytest.mark.timeout(SECONDS)
def test_a_cli_that_is_killed_within_a_turn_goes_on_in_its_session(at_the_model: AtTheModel, pm: PmServer) -> None:
    """The answer is in the CLI's transcript a moment after it came; then its command kills the CLI, the first time."""
    kill = "touch .git/once; echo work >> work.txt; sleep 1; kill -9 $PPID; sleep 5"
    turn = {"Bash": f"if ! test -e .git/once; then {kill}; fi; git add work.txt && git commit -qm Work"}

    end, asked, _ = work_at(at_the_model, pm, turn, "All done.", HEADLESS_PM_MAX_ATTEMPTS="2")

    assert (end.reasons, end.status) == (("killed", "succeeded"), "dev_done"), end.said
    assert len({request["session"] for request in asked}) == 1
    assert [request["turn"] for request in asked] == [0, 0, 1], "a turn that was cut is asked for once more"


@pytest.mark.timeout(SECONDS)
def test_a_service_that_goes_away_within_a_turn_gives_the_task_back(at_the_model: AtTheModel, pm: PmServer) -> None:
    task = pm.api.task("A task")
    with scripted(WORK, fault("hang")) as model:
        one = at_the_model(model)
        daemon = one.start("--single-task")
        until(lambda: len(model.requests) == 2, "the second turn", 40)

    assert daemon.wait(45) == 1
    end = ending(one, task, one.log.read_text())
    assert (end.reasons, end.status) == (("overloaded",), "created"), end.said


@pytest.mark.timeout(SECONDS)
def test_a_service_that_is_not_there_gives_the_task_back(at_the_model: AtTheModel, pm: PmServer) -> None:
    task = pm.api.task("A task")
    with scripted("Never asked.") as model:
        one = at_the_model(model)

    end = see_through(one, task)

    assert (end.reasons, end.status) == (("overloaded",), "created"), end.said
