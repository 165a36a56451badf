"""The first tables: executions, their moves, what runs cost, and workspaces."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

LIVE = sa.text("status IN ('pending', 'preparing', 'running', 'waiting', 'finishing')")
FAILED = sa.text("status = 'failed'")
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def upgrade() -> None:
    """Make the tables."""
    _make_executions()
    op.create_table(
        "transitions",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.Identity(),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("execution_id", sa.Text, sa.ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
        *_texts("before", "after", "reason"),
        *_counts("attempt"),
        *_texts("at"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_transitions_execution_id", "transitions", ["execution_id"])
    op.create_table(
        "spend",
        sa.Column("run", sa.Text, primary_key=True),
        *_texts("execution_id", "agent_id", "day", "model", "project"),
        _amount("usd"),
        *_counts(*TOKENS),
        _amount("seconds"),
        *_counts("tool_calls", "turns"),
    )
    op.create_index("ix_spend_day", "spend", ["day"])
    op.create_index("ix_spend_execution", "spend", ["execution_id"])
    op.create_table(
        "workspaces",
        sa.Column("host", sa.Text, primary_key=True),
        sa.Column("path", sa.Text, primary_key=True),
        *_texts("kind", "project", "status", "branch", "base_commit", "execution_id", "created_at", "updated_at"),
    )
    op.create_table("meta", sa.Column("name", sa.Text, primary_key=True), *_texts("value"))


def _make_executions() -> None:
    op.create_table(
        "executions",
        sa.Column("id", sa.Text, primary_key=True),
        *_texts("door", "project", "task_id", "title", "task_digest", "role", "level", "complexity"),
        *_texts("agent_id", "host", "status", "reason"),
        sa.Column("attempt", sa.BigInteger, nullable=False, server_default="1"),
        *_counts("step"),
        *_texts("model", "session_id", "run", "workspace", "branch", "base_commit"),
        *_texts("created_at", "started_at", "completed_at"),
        _amount("seconds"),
        *_counts(*TOKENS),
        _amount("cost_usd"),
        *_counts("tool_calls", "turns"),
        *_texts("error", "summary"),
        *_counts("runner_pid", "shim_pid", "agent_pid"),
        sa.Column("progress", sa.Double),
        *_texts("parent", "restarted_from"),
    )
    task = ["project", "task_id", "task_digest"]
    op.create_index(
        "uq_executions_live_task", "executions", task, unique=True, sqlite_where=LIVE, postgresql_where=LIVE
    )
    _index("live", "created_at", "id", where=LIVE)
    _index("failed", "completed_at", "id", where=FAILED)
    _index("created", "created_at", "id")
    _index("project", "project", "created_at", "id")
    _index("done", "project", "status", "completed_at")
    _index("parent", "parent")


def _index(name: str, *columns: str, where: sa.TextClause | None = None) -> None:
    op.create_index(f"ix_executions_{name}", "executions", list(columns), sqlite_where=where, postgresql_where=where)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False, server_default="") for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in names]


def _amount(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False, server_default="0")
