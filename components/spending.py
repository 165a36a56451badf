"""What agents have cost, by day and task, on the disk: it holds them to their budgets over any number of restarts.

`<home>/spend/<agent>.json` maps a day (UTC) to its runs, each with its task and its USD. A run is entered under its
name, so entering it again after a crash changes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components import durable
from components.model import Held, Task
from components.tools import Tools

DAYS_KEPT = 40
MOST_USD = 1e9
WARN_AT = 0.8
"""The part of a limit at which a warning is given."""
SMALLEST_SHARE = 0.05
"""Of a day's budget: with less an agent ends before it has done anything."""


def note(tools: Tools, held: Held, run_name: str, cost_usd: float) -> None:
    """Enter what a run has cost."""
    path = _path(tools)
    if path.exists() and not _is_whole(path):
        tools.ui.warning(f"{path} cannot be read; it is kept as {durable.quarantine(path)}, and counting begins anew")
    days = _read(path)
    if any(run_name in runs for runs in days.values()):
        return
    before = _sum(days.get(_today(), {}))
    days.setdefault(_today(), {})[run_name] = {"task": _name(held.task), "usd": round(cost_usd, 6)}
    durable.make_directory(path.parent)
    durable.write(path, json.dumps(dict(sorted(days.items())[-DAYS_KEPT:])).encode())
    limit = tools.config.daily_budget_usd
    if limit and before < WARN_AT * limit <= before + cost_usd:
        tools.ui.warning(f"The agent has cost ${before + cost_usd:.2f} today, of ${limit:.2f} (daily_budget_usd)")


def left_today(tools: Tools) -> float | None:
    """Return what the agent may still cost today, in USD; None where no limit is set."""
    limit = tools.config.daily_budget_usd
    return None if limit is None else _left(limit, _sum(_read(_path(tools)).get(_today(), {})))


def is_day_over(tools: Tools) -> bool:
    """Is so little left of the day's budget that no agent is worth starting with it?"""
    left = left_today(tools)
    return left is not None and left < SMALLEST_SHARE * (tools.config.daily_budget_usd or 0.0)


def was_day_s_end(tools: Tools, task: Task, cost_usd: float) -> bool:
    """Was it the day's budget that ended a run, which is entered, and not another limit of money?"""
    day, of_run = left_today(tools), tools.config.max_budget_usd
    others = [left for left in (left_of_task(tools, task),) if left is not None]
    others += [] if of_run is None else [of_run - cost_usd]
    return day is not None and is_day_over(tools) and day <= min(others, default=day)


def day_s_end(tools: Tools) -> str:
    """Return in words that the day's budget is spent."""
    limit, left = tools.config.daily_budget_usd or 0.0, left_today(tools) or 0.0
    return f"${limit - left:.2f} of ${limit:.2f} are spent today (daily_budget_usd)"


def tomorrow() -> float:
    """Return when the next day begins (UTC), in seconds since 1970."""
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day + timedelta(days=1)).timestamp()


def of_task(tools: Tools, task: Task) -> float:
    """Return what all agents of this machine have spent on a task, in USD."""
    name = _name(task)
    days = (runs for file in tools.config.home.glob("spend/*.json") for runs in _read(file).values())
    return math.fsum(run["usd"] for runs in days for run in runs.values() if run["task"] == name)


def left_of_task(tools: Tools, task: Task) -> float | None:
    """Return what may still be spent on a task, in USD; None where no limit is set."""
    limit = tools.config.task_budget_usd
    return None if limit is None else _left(limit, of_task(tools, task))


def too_dear(tools: Tools, task: Task) -> str:
    """Return why no further attempt at a task may be paid for; "" where one may."""
    if left_of_task(tools, task) != 0.0:
        return ""
    return f"it has cost ${of_task(tools, task):.2f} of ${tools.config.task_budget_usd:.2f} (task_budget_usd)"


def budget_of_attempt(tools: Tools, task: Task) -> float | None:
    """Return what one attempt at a task may cost, in USD: the smallest of the limits that are set, or None."""
    return min(budgets(tools, task).values(), default=None)


def budgets(tools: Tools, task: Task) -> dict[str, float]:
    """Return what one attempt at a task may cost by each of the settings that limit it, in USD."""
    limits = {
        "max_budget_usd": tools.config.max_budget_usd,
        "task_budget_usd": left_of_task(tools, task),
        "daily_budget_usd": left_today(tools),
    }
    return {name: limit for name, limit in limits.items() if limit is not None}


def _path(tools: Tools) -> Path:
    return tools.config.home / "spend" / f"{tools.config.agent_id}.json"


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _name(task: Task) -> str:
    """Return what names a task for good: servers give the same id again."""
    return f"{task.id} {task.created_at}"


def _sum(runs: dict[str, Any]) -> float:
    return math.fsum(run["usd"] for run in runs.values())


def _left(limit: float, spent: float) -> float:
    """Return what is left, in whole millionths: eight dimes are no less than 80 cents."""
    return max(0.0, round(limit - spent, 6))


def _is_whole(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError):
        return False


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(day): dict(_runs(runs)) for day, runs in data.items()} if isinstance(data, dict) else {}


def _runs(runs: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, run in runs.items() if isinstance(runs, dict) else ():
        usd = run.get("usd") if isinstance(run, dict) else None
        if isinstance(usd, int | float) and 0 <= usd < MOST_USD:  # which NaN is not
            yield name, {"task": str(run.get("task")), "usd": float(usd)}
