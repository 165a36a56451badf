"""Workflows: graphs of agents, the agents themselves, on whom each depends, and their moves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TIMES = ("created_at", "updated_at", "started_at", "ended_at")
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "workflows",
        sa.Column("id", sa.Text, primary_key=True),
        *_texts("name", "description", "project", "status", "source", "error", *TIMES),
    )
    op.create_index("ix_workflows_created", "workflows", ["created_at", "id"])
    op.create_index("ix_workflows_status", "workflows", ["status"])
    _make_agents()
    op.create_table(
        "agent_edges",
        sa.Column("child_id", sa.Text, primary_key=True),
        sa.Column("parent_id", sa.Text, primary_key=True),
        *_counts("place"),
    )
    op.create_index("ix_agent_edges_parent", "agent_edges", ["parent_id"])
    op.create_table(
        "agent_moves",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.Identity(),
            primary_key=True,
            autoincrement=True,
        ),
        *_texts("agent_id", "workflow_id", "node", "before", "after", "reason"),
        *_counts("attempt"),
        *_texts("at"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_agent_moves_agent", "agent_moves", ["agent_id"])


def _make_agents() -> None:
    op.create_table(
        "agents",
        sa.Column("id", sa.Text, primary_key=True),
        *_texts("workflow_id", "map_id", "node", "kind", "role", "level", "complexity", "title", "task"),
        *_texts("settings", "on_failure", "over", "item", "project", "branch_from", "config_file"),
        *_counts("priority", "attempt"),
        *_texts("status", "reason", "queue_key", "execution_id", "host", "workspace", "branch"),
        *_texts("commits", "result", "model", "error"),
        *_counts(*TOKENS),
        *(sa.Column(name, sa.Double, nullable=False, server_default="0") for name in ("cost_usd", "seconds")),
        *_texts("created_at", "updated_at", "queued_at", "started_at", "ended_at"),
    )
    for name, columns in (
        ("workflow", ["workflow_id", "status"]),
        ("node", ["workflow_id", "node"]),
        ("map", ["map_id", "status"]),
        ("created", ["created_at", "id"]),
    ):
        op.create_index(f"ix_agents_{name}", "agents", columns)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False, server_default="") for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in names]
