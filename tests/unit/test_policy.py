"""What an agent's end means, and what follows it."""

from __future__ import annotations

import pytest

from components import judgement, policy, reason_words
from components.model import AgentResult, ExitRecord, Progress
from components.policy import Action
from components.states import Reason, Role, TaskStatus

DONE = AgentResult(is_error=False, text="All done.")
EXIT_0 = ExitRecord(exit_code=0, signal=None)


PAGE = "API Error: API returned an empty or malformed response (HTTP 200)"
"""What the CLI says where a proxy answers with a page of its own."""


def ended(exit_code: int | None = None, signal: int | None = None, why: str | None = None) -> ExitRecord:
    return ExitRecord(exit_code=exit_code, signal=signal, why=why)


@pytest.mark.parametrize(
    ("record", "result", "reason"),
    [
        (EXIT_0, DONE, Reason.SUCCEEDED),
        (ended(1), AgentResult(is_error=True, subtype="success", api_error_status=529), Reason.OVERLOADED),
        (ended(1), AgentResult(is_error=True, subtype="success", api_error_status=401), Reason.AUTH_FAILED),
        (ended(1), AgentResult(is_error=True, subtype="success", api_error_status=429), Reason.RATE_LIMITED),
        (ended(1), AgentResult(is_error=True, subtype="error_max_turns"), Reason.BUDGET_EXHAUSTED),
        (ended(1), AgentResult(is_error=True, text=PAGE), Reason.OVERLOADED),
        (EXIT_0, AgentResult(is_error=True, subtype="error_during_execution"), Reason.AGENT_FAILED),
        (EXIT_0, None, Reason.AGENT_FAILED),
        (ended(127), None, Reason.AGENT_MISSING),
        (ended(143), None, Reason.KILLED),
        (ended(None, 9), None, Reason.KILLED),
        (ended(None, 15, "timeout"), None, Reason.TIMED_OUT),
        (ended(143, None, "stop"), None, Reason.RUNNER_STOPPED),
        (ended(143, None, "output"), None, Reason.OUTPUT_LIMIT),
        (ended(143, None, "leash"), None, Reason.KILLED),
        (None, None, Reason.KILLED),
    ],
)
def test_the_reason_comes_from_what_was_seen(
    record: ExitRecord | None, result: AgentResult | None, reason: Reason
) -> None:
    assert judgement.judge(record, result).reason is reason


def test_a_result_line_is_a_second_witness_when_the_shim_was_killed() -> None:
    assert judgement.judge(None, DONE).reason is Reason.SUCCEEDED


@pytest.mark.parametrize(
    ("unanswered", "reason"),
    [
        ("overloaded", Reason.OVERLOADED),
        ("unknown", Reason.OVERLOADED),
        ("no_answer", Reason.OVERLOADED),
        ("rate_limit", Reason.RATE_LIMITED),
        ("", None),
    ],
)
@pytest.mark.parametrize(
    ("why", "stopped_for"), [("timeout", None), ("stop", Reason.STALLED), ("stop", Reason.TIMED_OUT)]
)
def test_a_service_that_hangs_is_not_the_task_s_fault(
    unanswered: str, reason: Reason | None, why: str, stopped_for: Reason | None
) -> None:
    """Time and silence ended the CLI while it asked again: the task was parked as one that takes too long."""
    told = Progress(unanswered=unanswered, retries=2)

    verdict = judgement.judge(ended(143, why=why), None, told=told, stopped_for=stopped_for)

    assert verdict.reason is (reason or stopped_for or Reason.TIMED_OUT)
    assert ("no answer, asked again 2 times" in verdict.detail) == bool(reason)


def test_how_long_a_service_did_not_answer_is_told_where_it_never_did() -> None:
    record = ExitRecord(exit_code=143, signal=None, why="timeout", seconds=600.4)

    verdict = judgement.judge(record, None, told=Progress(unanswered="no_answer"))

    assert (
        verdict.detail == "the model's service did not answer as it should: no answer for 600 s, so the agent was ended"
    )


def test_a_limit_that_has_nothing_to_do_with_time_is_that_limit_while_the_service_is_asked_again() -> None:
    told = Progress(unanswered="overloaded")

    assert judgement.judge(ended(143, why="output"), None, told=told).reason is Reason.OUTPUT_LIMIT
    assert judgement.judge(ended(143, why="stop"), None, told=told).reason is Reason.RUNNER_STOPPED


def test_an_unknown_end_is_never_a_success() -> None:
    for record in (None, EXIT_0, ended(0, None, "stop"), ended(None, 9)):
        assert judgement.judge(record, None).reason is not Reason.SUCCEEDED


def test_every_reason_has_an_action_and_words() -> None:
    assert set(policy.ACTIONS) == set(Reason)
    assert set(reason_words.WORDS) == set(Reason)


@pytest.mark.parametrize("reason", [Reason.KILLED, Reason.AGENT_FAILED, Reason.CHECKS_FAILED])
def test_the_last_attempt_that_fails_parks_the_task(reason: Reason) -> None:
    assert policy.action(reason, 2, 3) in (Action.RESUME, Action.RETRY)
    assert policy.action(reason, 3, 3) is Action.PARK


@pytest.mark.parametrize("role", list(Role))
def test_r8_every_status_for_every_role_is_one_that_the_server_knows(role: Role) -> None:
    known = {"pending", "created", "under_work", "dev_done", "qa_done", "documentation_done", "committed", "evaluation"}
    for reason in Reason:
        for attempt in (1, 3):
            assert set(policy.destinations(reason, role, attempt, 3)) <= known


def test_success_is_dev_done_for_developers_and_qa_done_for_qa() -> None:
    assert policy.destinations(Reason.SUCCEEDED, Role.BACKEND_DEV, 1, 3) == (TaskStatus.DEV_DONE,)
    assert policy.destinations(Reason.SUCCEEDED, Role.QA, 1, 3) == (TaskStatus.QA_DONE,)


def test_qa_that_rejects_sends_the_task_back_to_the_developers() -> None:
    result = AgentResult(is_error=False, text="The suite fails.\nQA: REJECTED - test_sum fails")

    verdict = judgement.judge(EXIT_0, result, role=Role.QA)

    assert verdict.reason is Reason.REJECTED
    assert policy.destinations(verdict.reason, Role.QA, 1, 3) == (TaskStatus.CREATED,)


def test_only_the_last_line_of_qa_decides() -> None:
    result = AgentResult(is_error=False, text="It said QA: REJECTED before\nQA: PASSED")

    assert judgement.judge(EXIT_0, result, role=Role.QA).reason is Reason.SUCCEEDED


def test_a_lost_claim_sets_no_status_at_all() -> None:
    assert policy.destinations(Reason.LOST_CLAIM, Role.BACKEND_DEV, 1, 3) == ()


def test_r14_the_backoff_doubles_and_is_capped() -> None:
    assert [policy.backoff(times) for times in (1, 2, 3)] == [30, 60, 120]
    assert policy.backoff(1000) == policy.BACKOFF_CAP_SECONDS


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("All good.\nQA: PASSED", Reason.SUCCEEDED),
        ("QA: PASSED\nOn a second look:\nQA: REJECTED - the total is wrong", Reason.REJECTED),
        ("QA: REJECTED - crash\n\nAfter the fix the line should read\nQA: PASSED", Reason.REJECTED),
        ("3 tests fail.\n\nIf they were fixed I would say:\n> QA: PASSED", Reason.NO_VERDICT),
        ("QA: PASSED \u2705", Reason.SUCCEEDED),
        ('{"verdict": "FAILED", "checks": {"lint": {"verdict": "PASSED"}}}', Reason.REJECTED),
        ('{"tests": {"verdict": "PASSED"}, "overall": "fail"}', Reason.NO_VERDICT),
        ('{"verdict": "passed"} is what I would say', Reason.NO_VERDICT),
        ('```json\n{"verdict": "rejected", "why": "the total is wrong"}\n```', Reason.REJECTED),
        ('{"verdict": "passed"}', Reason.SUCCEEDED),
        ("It looks good to me.", Reason.NO_VERDICT),
    ],
)
def test_qa_speaks_by_its_last_verdict_and_without_one_nothing_passed(text: str, reason: Reason) -> None:
    said = AgentResult(is_error=False, text=text)

    assert judgement.judge(EXIT_0, said, role=Role.QA).reason is reason


def test_a_wait_that_was_misread_is_no_wait() -> None:
    assert policy.wait_until(0.0, 0, now=1000.0) == 1030.0
    assert policy.wait_until(2000.0, 5, now=1000.0) == 2000.0
    assert policy.wait_until(900.0, 0, now=1000.0) == 1030.0
    assert policy.wait_until(1e12, 0, now=1000.0) == 1030.0


def test_an_overloaded_service_is_not_the_tasks_fault() -> None:
    assert policy.action(Reason.OVERLOADED, 1, 3) is Action.RETRY
    assert policy.action(Reason.OVERLOADED, 3, 3) is Action.GIVE_BACK


def test_credentials_are_not_asked_again_soon_and_a_limit_is() -> None:
    assert policy.hold_ends(Reason.AUTH_FAILED, 0.0, 0, now=0.0) == 3600
    assert policy.hold_ends(Reason.AUTH_FAILED, 0.0, 9, now=0.0) == 8 * 3600
    assert policy.hold_ends(Reason.RATE_LIMITED, 0.0, 0, now=0.0) == 30
