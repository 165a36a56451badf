"""Keeping an agent's unsaved work as a snapshot, whatever becomes of its workspace."""

from __future__ import annotations

from components import snapshot
from components.errors import GitFailed, UnsafeName
from components.model import Held
from components.tools import Tools

REFS = "refs/agent-runner/"


def keep(held: Held, tools: Tools, why: str, *, thorough: bool = True) -> None:
    """Take a snapshot of what is not committed in the task's workspace, if anything is; trouble is told, not raised."""
    if held.workspace is None:
        return
    try:
        ref = snapshot.take(held.workspace, held.task.id, held.claim, why=why, attempt=held.attempt, thorough=thorough)
    except (GitFailed, UnsafeName) as error:
        tools.ui.warning(f"No snapshot of task {held.task.id}: {error}")
    else:
        if ref:
            tools.ui.info(f"Unsaved work of task {held.task.id} is kept: workspaces show {ref.removeprefix(REFS)}")
