"""The driver: one process of a home that performs what waits in its workflows, until nothing is to be done.

```
<home>/driver/   0700
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
from pathlib import Path

from components import durable, process
from components.agent import AgentStatus
from components.agent_store import AgentStore

DIRECTORY = "driver"
TO_DO = (AgentStatus.QUEUED, AgentStatus.ACTIVE)


def start(home: Path, environ: Mapping[str, str], config_file: str = "") -> int:
    """Start the driver of a home in the background and return its process id, 0 where one lives.

    What it is to do is in the queue by then: one that is about to end looks once more after it let go of its lock.
    Raises OSError where no process can be started.
    """
    directory = durable.make_directory(home / DIRECTORY)
    if not (directory / "log").exists():
        durable.create(directory / "log")
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join(filter(None, [root, environ.get("PYTHONPATH", "")]))
    environment = {**environ, "HEADLESS_PM_HOME": str(home), "PYTHONPATH": path}
    words = ["--config", config_file] if config_file else []
    argv = [sys.executable, "-m", "components.entry", "drive", *words]
    try:
        return process.start_detached(argv, directory / "alive", directory / "log", environment)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return 0
        raise


def is_alive(home: Path) -> bool:
    """Does the driver of a home live?"""
    return durable.is_held(home / DIRECTORY / "alive")


def has_to_do(agents: AgentStore, workflow_id: str | None = None) -> bool:
    """Is anything queued or at work: of one workflow, of the agents that were spawned alone (""), or at all (None)?"""
    if workflow_id is None:
        return agents.has_any(TO_DO)
    return bool(agents.agents_of(workflow_id, TO_DO, limit=1))
