"""The board: tasks that other programs and people at a browser put there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TEXTS = (
    *("title", "context", "docs_path", "project", "repository", "role", "level", "complexity", "model"),
    *("status", "host", "execution_id", "error", "output"),
    *("created_at", "updated_at", "started_at", "ended_at"),
)


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "board_tasks",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False, server_default="") for name in TEXTS),
        sa.Column("pid", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("exit_code", sa.BigInteger),
    )
    op.create_index("ix_board_tasks_created", "board_tasks", ["created_at", "id"])
    op.create_index("ix_board_tasks_status", "board_tasks", ["status", "repository"])
