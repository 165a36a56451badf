"""Limits of an account: waited for without spending attempts, by every agent of the account, over restarts."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.fake_claude import FakeClaude
from tests.pm_server import PmServer
from tests.runner import Runner
from tests.waiting import until

MakeRunner = Callable[..., Runner]
LIMITED_ONCE = """
import time
def play(cli):
    cli.begin()
    if cli.life == 1:
        info = {{"status": "rejected", "resetsAt": int(time.time()) + {seconds}, "rateLimitType": "five_hour"}}
        cli.say(type="rate_limit_event", rate_limit_info=info)
        cli.end("You've hit your limit", is_error=True, api_error_status=429)
        return 1
    cli.work()
    cli.end()
"""


def is_done(pm: PmServer, task: dict[str, object]) -> bool:
    return bool(pm.api.look(task["id"])["status"] == "dev_done")


def test_a_limit_of_the_account_is_waited_for_in_the_same_session_and_costs_no_attempt(
    runner: MakeRunner, pm: PmServer
) -> None:
    task = pm.api.task("Wait for it")
    one = runner()
    claude = FakeClaude(one, LIMITED_ONCE.format(seconds=4))

    ran = one.run("--single-task", HEADLESS_PM_MAX_ATTEMPTS="1")

    assert ran.returncode == 0, ran.stdout
    first, second = claude.ledger()
    assert 2.5 < second["at"] - first["at"] < 15
    assert "--session-id" in first["argv"]
    assert (
        second["argv"][second["argv"].index("--resume") + 1] == first["argv"][first["argv"].index("--session-id") + 1]
    )
    assert "goes on at" in ran.stdout
    assert is_done(pm, task)


def test_a_wait_survives_the_death_of_the_daemon(runner: MakeRunner, pm: PmServer) -> None:
    task = pm.api.task("Wait for it")
    one = runner()
    claude = FakeClaude(one, LIMITED_ONCE.format(seconds=6))
    daemon = one.start("--single-task")
    until(lambda: one.said("goes on at"), "the wait")
    one.kill(daemon)

    again = one.start("--single-task")

    assert again.wait(30) == 0
    first, second = claude.ledger()
    assert second["at"] - first["at"] > 4.5
    assert is_done(pm, task)


def test_the_other_agents_of_the_account_take_nothing_meanwhile(runner: MakeRunner, pm: PmServer) -> None:
    pm.api.task("First")
    one, other = runner(), runner(agent_id="dev_2")
    claude = FakeClaude(one, LIMITED_ONCE.format(seconds=6))
    FakeClaude(other, LIMITED_ONCE.format(seconds=6))
    one.start("--single-task")
    until(lambda: one.said("goes on at"), "the wait")
    second_task = pm.api.task("Second")
    other.start("--max-tasks", "1")

    until(lambda: other.said("on hold"), "the other's hold")
    until(lambda: is_done(pm, second_task), "the second task")

    begun = [line["at"] for line in claude.ledger()]
    assert min(begun[1:]) - begun[0] > 4.5


def test_a_hold_is_private_and_holds_no_secret(runner: MakeRunner, pm: PmServer) -> None:
    pm.api.task("Wait for it")
    one = runner()
    FakeClaude(one, LIMITED_ONCE.format(seconds=60))
    one.start("--single-task")
    until(lambda: one.said("goes on at"), "the wait")

    (hold,) = (one.home / "accounts").glob("*.json")

    assert hold.stat().st_mode & 0o777 == 0o600
    assert json.loads(hold.read_text())["reason"] == "rate_limited"
    assert "made-up" not in hold.read_text() + hold.name


@pytest.mark.parametrize("text", ["Invalid API key · Fix external API key", "Credit balance is too low"])
def test_refused_credentials_park_one_task_with_one_clear_message_and_no_storm(
    runner: MakeRunner, pm: PmServer, text: str
) -> None:
    tasks = [pm.api.task("One"), pm.api.task("Two")]
    one = runner()
    claude = FakeClaude(one, f"def play(cli):\n    cli.begin()\n    cli.end({text!r}, is_error=True)\n    return 1\n")
    one.start()
    until(lambda: one.said("Taking nothing new"), "the pause")

    statuses = sorted(pm.api.look(task["id"])["status"] for task in tasks)

    assert statuses == ["created", "pending"]
    assert len(claude.ledger()) == 1
    assert one.said("Log in with") or one.said("Add credit")


def test_a_day_whose_budget_is_spent_takes_nothing_more(runner: MakeRunner, pm: PmServer) -> None:
    tasks = [pm.api.task("One"), pm.api.task("Two")]
    one = runner()
    claude = FakeClaude(one, "def play(cli):\n    cli.begin()\n    cli.work()\n    cli.end(cost=0.9)\n")
    daemon = one.start(HEADLESS_PM_DAILY_BUDGET_USD="0.8")
    until(lambda: one.said("budget is spent"), "the end of the budget")
    one.kill(daemon)

    again = one.run("--idle-timeout", "1", HEADLESS_PM_DAILY_BUDGET_USD="0.8")

    assert "budget is spent" in again.stdout
    assert len(claude.ledger()) == 1
    assert sorted(pm.api.look(task["id"])["status"] for task in tasks) == ["created", "dev_done"]


def test_a_limit_told_in_words_is_understood(runner: MakeRunner, pm: PmServer) -> None:
    pm.api.task("Wait for it")
    one = runner()
    claude = FakeClaude(
        one,
        """
        def play(cli):
            cli.begin()
            if cli.life == 1:
                cli.end("You've hit your session limit. Try again in 3 seconds", is_error=True)
                return 1
            cli.work()
            cli.end()
        """,
    )

    ran = one.run("--single-task")

    assert ran.returncode == 0, ran.stdout
    first, second = claude.ledger()
    assert 2 < second["at"] - first["at"] < 15
