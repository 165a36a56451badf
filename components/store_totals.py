"""The sums of an execution over its runs, as one statement: entering a run twice cannot count it twice."""

from __future__ import annotations

import sqlalchemy as sa

from components.store_tables import executions, spend

SUMMED = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "seconds", "tool_calls", "turns")


def update(execution_id: str) -> sa.Update:
    """Return the statement that sums up what the runs of an execution have used."""
    mine = spend.c.execution_id == execution_id
    sums = {name: _sum(spend.c[name], executions.c[name], mine) for name in SUMMED}
    sums["cost_usd"] = _sum(spend.c.usd, executions.c.cost_usd, mine)
    return executions.update().where(executions.c.id == execution_id).values(sums)


def _sum(entered: sa.Column[float], total: sa.Column[float], mine: sa.ColumnElement[bool]) -> sa.ColumnElement[float]:
    summed = sa.select(sa.func.sum(entered)).where(mine).scalar_subquery()
    return sa.cast(summed, total.type)
