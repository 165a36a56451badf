"""What agents cost is remembered, and holds them to their budgets."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components import spending
from components.model import Task
from components.tools import Tools
from tests.bench import Bench

TASK = Task("7", "A task", created_at="2026-01-01T00:00:00")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.held = replace(made.held, task=TASK)
    return made


def note(bench: Bench, tools: Tools, run: str, usd: float, task: Task = TASK) -> None:
    spending.note(tools, replace(bench.held, task=task), run, usd)


def file_of(tools: Tools) -> Path:
    return tools.config.home / "spend" / f"{tools.config.agent_id}.json"


def test_where_no_limit_is_set_there_is_none(bench: Bench) -> None:
    tools = bench.tools()
    note(bench, tools, "7-a-1", 1000.0)

    assert spending.left_today(tools) is None
    assert spending.left_of_task(tools, TASK) is None
    assert spending.budget_of_attempt(tools, TASK) is None
    assert spending.too_dear(tools, TASK) == ""


def test_what_a_run_has_cost_is_entered_once_however_often_it_is_told(bench: Bench) -> None:
    tools = bench.tools(daily_budget_usd=10)
    for _ in range(3):
        note(bench, tools, "7-a-1", 2.5)
    note(bench, tools, "7-a-2", 1.0)

    assert spending.of_task(tools, TASK) == 3.5
    assert spending.left_today(tools) == 6.5


def test_a_run_that_was_entered_yesterday_is_not_entered_again_today(bench: Bench) -> None:
    tools = bench.tools(daily_budget_usd=10)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    file_of(tools).parent.mkdir(parents=True)
    file_of(tools).write_text(json.dumps({yesterday: {"7-a-1": {"task": f"7 {TASK.created_at}", "usd": 4.0}}}))

    note(bench, tools, "7-a-1", 4.0)

    assert spending.left_today(tools) == 10.0
    assert spending.of_task(tools, TASK) == 4.0


def test_the_budget_of_an_attempt_is_the_smallest_that_is_left(bench: Bench) -> None:
    tools = bench.tools(max_budget_usd=4, task_budget_usd=5, daily_budget_usd=9)
    budgets = [spending.budget_of_attempt(tools, TASK)]

    note(bench, tools, "7-a-1", 3.0)
    budgets.append(spending.budget_of_attempt(tools, TASK))
    note(bench, tools, "8-a-1", 5.5, Task("8", "Another"))
    budgets.append(spending.budget_of_attempt(tools, TASK))

    assert budgets == [4.0, 2.0, 0.5]
    assert spending.budgets(tools, TASK) == {
        "max_budget_usd": 4.0,
        "task_budget_usd": 2.0,
        "daily_budget_usd": 0.5,
    }


def test_a_task_is_paid_for_by_all_agents_and_a_day_by_one(bench: Bench) -> None:
    one, two = (bench.tools(task_budget_usd=5, daily_budget_usd=5, agent_id=name) for name in ("dev_1", "dev_2"))
    note(bench, one, "7-a-1", 3.0)
    note(bench, two, "7-b-1", 2.5)

    assert spending.left_of_task(one, TASK) == 0.0
    assert "it has cost $5.50 of $5.00 (task_budget_usd)" in spending.too_dear(two, TASK)
    assert (spending.left_today(one), spending.left_today(two)) == (2.0, 2.5)


def test_a_day_is_over_when_little_is_left_and_only_its_own_limit_ends_with_it(bench: Bench) -> None:
    tools = bench.tools(max_budget_usd=2, daily_budget_usd=10)
    note(bench, tools, "7-a-1", 9.4)
    was_over = spending.is_day_over(tools)

    note(bench, tools, "7-a-2", 0.2)

    assert not was_over
    assert spending.is_day_over(tools)
    assert spending.was_day_s_end(tools, TASK, 0.2)
    assert not spending.was_day_s_end(tools, TASK, 2.0)
    assert 0 < spending.tomorrow() - time.time() <= 86400


def test_a_later_task_of_the_same_id_begins_with_nothing_spent(bench: Bench) -> None:
    """A server whose database was made anew gives the same ids again."""
    tools = bench.tools(task_budget_usd=5)
    note(bench, tools, "7-a-1", 5.0)

    assert spending.left_of_task(tools, replace(TASK, created_at="2026-02-02T00:00:00")) == 5.0


def test_the_day_s_budget_is_warned_of_once_at_four_fifths(bench: Bench) -> None:
    tools = bench.tools(daily_budget_usd=10)
    for number, usd in enumerate((7.9, 0.1, 1.0, 1.0)):
        note(bench, tools, f"7-a-{number}", usd)

    assert bench.said.getvalue().count("(daily_budget_usd)") == 1
    assert "$8.00 today, of $10.00" in bench.said.getvalue()


def test_a_sum_of_cents_reaches_its_budget(bench: Bench) -> None:
    """Eight times $0.10 left a budget of $0.80 with 1e-16 dollars, which paid for another attempt."""
    tools = bench.tools(task_budget_usd=0.8)
    for number in range(8):
        note(bench, tools, f"7-a-{number}", 0.1)

    assert spending.too_dear(tools, TASK)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"2026-01-01": []}',
        b'{"2026-01-01": {"r": 5}}',
        b'{"2026-01-01": {"r": {"task": "7", "usd": "much"}}}',
        b'{"TODAY": {"r": {"task": "7 2026-01-01T00:00:00", "usd": NaN}}}',
        b'{"TODAY": {"r": {"task": "7 2026-01-01T00:00:00", "usd": 1e400}}}',
        b'{"TODAY": {"r": {"task": "7 2026-01-01T00:00:00", "usd": -5}}}',
        b"\xff\xfe",
    ],
)
def test_a_broken_file_is_set_aside_or_read_as_far_as_it_goes(bench: Bench, content: bytes) -> None:
    tools = bench.tools(daily_budget_usd=10, task_budget_usd=10)
    file_of(tools).parent.mkdir(parents=True)
    file_of(tools).write_bytes(content.replace(b"TODAY", datetime.now(UTC).date().isoformat().encode()))

    note(bench, tools, "7-a-1", 2.0)

    assert spending.left_today(tools) == 8.0
    assert spending.left_of_task(tools, TASK) == 8.0


def test_a_file_that_cannot_be_understood_is_kept_aside_when_it_is_written_anew(bench: Bench) -> None:
    """It may be all that tells what was spent; it was overwritten."""
    tools = bench.tools(daily_budget_usd=10)
    file_of(tools).parent.mkdir(parents=True)
    file_of(tools).write_bytes(b'{"2026-01-01": {"7-a-1": {"task"')

    note(bench, tools, "7-a-2", 2.0)

    assert [path.read_bytes() for path in file_of(tools).parent.glob("*.bad-*")] == [
        b'{"2026-01-01": {"7-a-1": {"task"'
    ]


def test_old_days_are_let_go(bench: Bench) -> None:
    tools = bench.tools(daily_budget_usd=10)
    first = datetime.now(UTC).date()
    days = {
        (first - timedelta(days=number)).isoformat(): {f"r{number}": {"task": "1 ", "usd": 1.0}}
        for number in range(1, 90)
    }
    file_of(tools).parent.mkdir(parents=True)
    file_of(tools).write_text(json.dumps(days))

    note(bench, tools, "7-a-1", 2.0)

    kept = json.loads(file_of(tools).read_text())
    assert len(kept) == spending.DAYS_KEPT
    assert max(kept) == first.isoformat()
