"""The Claude CLI's own record of a session on disk: it tells whether a session can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def find(session_id: str, env: Mapping[str, str]) -> Path | None:
    """Return a session's transcript, or None; `env` is the environment that the agent is given.

    The file lies under `projects/<a spelling of the directory>/<session>.jsonl`; the CLI refuses `--session-id` for a
    session that has one and `--resume` for one that has none (contracts/claude-cli.md §5).
    """
    configured = env.get("CLAUDE_CONFIG_DIR")
    base = Path(configured) if configured else Path(env.get("HOME", "/")) / ".claude"
    return next(iter(base.glob(f"projects/*/{session_id}.jsonl")), None)
