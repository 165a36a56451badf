"""Drivers of workflows: a process of its own for each, which performs what waits until nothing is to be done.

```
<home>/workflows/<id>/   0700; the id is `spawned` for agents that belong to no workflow
  alive     locked by the driver from birth to death
  log       what it says
```
A driver that dies leaves its agents at work: the next one, or any worker of the machine, goes on with them.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from components import durable, process
from components.agent import AgentStatus, WorkflowStatus
from components.agent_store import AgentStore
from components.errors import NotFound
from components.journal_format import CLAIM

SPAWNED = "spawned"
DIRECTORY = "workflows"
TO_DO = (AgentStatus.QUEUED, AgentStatus.ACTIVE)


def start(home: Path, workflow_id: str, environ: Mapping[str, str], config_file: str = "") -> int:
    """Start the driver of a workflow in the background and return its process id, 0 where one lives.

    What it is to do is in the queue by then: one that is about to end looks once more after it let go of its lock.
    """
    directory = durable.make_directory(directory_of(home, workflow_id))
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join(filter(None, [root, environ.get("PYTHONPATH", "")]))
    words = ["--config", config_file] if config_file else []
    argv = [sys.executable, "-m", "components.entry", "drive", *words, workflow_id or SPAWNED]
    if not (directory / "log").exists():
        durable.create(directory / "log")
    environment = {**environ, "HEADLESS_PM_HOME": str(home), "PYTHONPATH": path}
    try:
        return process.start_detached(argv, directory / "alive", directory / "log", environment)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return 0
        raise


def is_driven(home: Path, workflow_id: str) -> bool:
    """Does the driver of a workflow live?"""
    return durable.is_held(directory_of(home, workflow_id) / "alive")


def has_to_do(agents: AgentStore, workflow_id: str) -> bool:
    """Is anything of a workflow queued or at work?"""
    if workflow_id:
        with suppress(NotFound):
            if agents.workflow(workflow_id).status is WorkflowStatus.PENDING:
                return False
    return bool(agents.agents_of(workflow_id, TO_DO, limit=1))


def directory_of(home: Path, workflow_id: str) -> Path:
    """Return the directory of a driver. Raises NotFound for what is no id."""
    if workflow_id and workflow_id != SPAWNED and not CLAIM.fullmatch(workflow_id):
        raise NotFound(f"workflow {workflow_id[:64]!r}: an id is 32 of the letters 0-9 a-f; `workflow list` shows them")
    return home / DIRECTORY / (workflow_id or SPAWNED)
