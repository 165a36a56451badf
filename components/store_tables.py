"""The store's tables, as SQLAlchemy knows them; `migrations` makes them."""

from __future__ import annotations

import sqlalchemy as sa

from components.store_queries import LIVE_WORDS

metadata = sa.MetaData()


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _amount(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False, server_default="0")


def _tokens() -> list[sa.Column[int]]:
    return [_count(name) for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")]


# what PostgreSQL has is said by the migrations alone: to say it here as well would import its dialect at every start
_is_live = sa.text(f"status IN ({LIVE_WORDS})")
_is_failure = sa.text("status = 'failed'")

executions = sa.Table(
    "executions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *(_text(name) for name in ("door", "project", "task_id", "title", "task_digest", "role", "level", "complexity")),
    *(_text(name) for name in ("agent_id", "host", "status", "reason")),
    sa.Column("attempt", sa.BigInteger, nullable=False, server_default="1"),
    _count("step"),
    *(_text(name) for name in ("model", "session_id", "run", "workspace", "branch", "base_commit")),
    *(_text(name) for name in ("created_at", "started_at", "completed_at")),
    _amount("seconds"),
    *_tokens(),
    _amount("cost_usd"),
    *(_count(name) for name in ("tool_calls", "turns")),
    *(_text(name) for name in ("error", "summary")),
    *(_count(name) for name in ("runner_pid", "shim_pid", "agent_pid")),
    sa.Column("progress", sa.Double),
    *(_text(name) for name in ("parent", "restarted_from")),
    sa.Index(
        "uq_executions_live_task",
        "project",
        "task_id",
        "task_digest",
        unique=True,
        sqlite_where=_is_live,
    ),
    sa.Index("ix_executions_live", "created_at", "id", sqlite_where=_is_live),
    sa.Index("ix_executions_failed", "completed_at", "id", sqlite_where=_is_failure),
    sa.Index("ix_executions_created", "created_at", "id"),
    sa.Index("ix_executions_project", "project", "created_at", "id"),
    sa.Index("ix_executions_done", "project", "status", "completed_at"),
    sa.Index("ix_executions_parent", "parent"),
)
transitions = sa.Table(
    "transitions",
    metadata,
    sa.Column(
        "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True, autoincrement=True
    ),
    sa.Column("execution_id", sa.ForeignKey("executions.id", ondelete="CASCADE"), nullable=False, index=True),
    *(_text(name) for name in ("before", "after", "reason")),
    _count("attempt"),
    _text("at"),
    sqlite_autoincrement=True,
)
spend = sa.Table(
    "spend",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    *(_text(name) for name in ("execution_id", "agent_id", "day", "model", "project")),
    _amount("usd"),
    *_tokens(),
    _amount("seconds"),
    *(_count(name) for name in ("tool_calls", "turns")),
    sa.Index("ix_spend_day", "day"),
    sa.Index("ix_spend_execution", "execution_id"),
)
workspaces = sa.Table(
    "workspaces",
    metadata,
    *(sa.Column(name, sa.Text, primary_key=True) for name in ("host", "path")),
    *(_text(name) for name in ("kind", "project", "status", "branch", "base_commit", "execution_id")),
    *(_text(name) for name in ("created_at", "updated_at")),
)
board_tasks = sa.Table(
    "board_tasks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *(
        _text(name)
        for name in ("title", "context", "docs_path", "project", "repository", "role", "level", "complexity")
    ),
    *(_text(name) for name in ("model", "status", "host", "execution_id", "error", "output")),
    *(_text(name) for name in ("created_at", "updated_at", "started_at", "ended_at")),
    _count("pid"),
    sa.Column("exit_code", sa.BigInteger),
    sa.Index("ix_board_tasks_created", "created_at", "id"),
    sa.Index("ix_board_tasks_status", "status", "repository"),
)
workflows = sa.Table(
    "workflows",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *(_text(name) for name in ("name", "description", "project", "status", "source", "error")),
    *(_text(name) for name in ("created_at", "updated_at", "started_at", "ended_at")),
    sa.Index("ix_workflows_created", "created_at", "id"),
    sa.Index("ix_workflows_status", "status"),
)
agents = sa.Table(
    "agents",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *(
        _text(name)
        for name in ("workflow_id", "map_id", "node", "kind", "role", "level", "complexity", "title", "task")
    ),
    *(_text(name) for name in ("settings", "on_failure", "over", "item", "project", "branch_from", "config_file")),
    *(_count(name) for name in ("priority", "attempt")),
    *(_text(name) for name in ("status", "reason", "queue_key", "execution_id", "host", "workspace", "branch")),
    *(_text(name) for name in ("commits", "result", "model", "error")),
    *_tokens(),
    *(_amount(name) for name in ("cost_usd", "seconds")),
    *(_text(name) for name in ("created_at", "updated_at", "queued_at", "started_at", "ended_at")),
    sa.Index("ix_agents_workflow", "workflow_id", "status"),
    sa.Index("ix_agents_node", "workflow_id", "node"),
    sa.Index("ix_agents_map", "map_id", "status"),
    sa.Index("ix_agents_created", "created_at", "id"),
)
agent_edges = sa.Table(
    "agent_edges",
    metadata,
    *(sa.Column(name, sa.Text, primary_key=True) for name in ("child_id", "parent_id")),
    sa.Column("place", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("ix_agent_edges_parent", "parent_id"),
)
agent_moves = sa.Table(
    "agent_moves",
    metadata,
    sa.Column(
        "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True, autoincrement=True
    ),
    *(_text(name) for name in ("agent_id", "workflow_id", "node", "before", "after", "reason")),
    _count("attempt"),
    _text("at"),
    sa.Index("ix_agent_moves_agent", "agent_id"),
    sqlite_autoincrement=True,
)
meta = sa.Table("meta", metadata, sa.Column("name", sa.Text, primary_key=True), _text("value"))
