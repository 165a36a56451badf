"""Keeps workflows going: whoever performed them may have died, or the whole machine with it."""

from __future__ import annotations

from components import workflow_driver
from components.agent_store import AgentStore
from components.server.core import Core


def start(core: Core) -> None:
    """Have what waits in workflows worked on by the driver, which outlives the service. Nothing where one lives."""
    pid = workflow_driver.start(core.home, core.environ, core.config_file)
    if pid:
        core.children.add(pid)


def keep_going(core: Core) -> None:
    """Start the driver where something waits or is at work, and nobody is there to see to it.

    With a store on a server there are workers for that, here or elsewhere.
    """
    is_ours = core.store.path is not None and not workflow_driver.is_alive(core.home)
    if is_ours and workflow_driver.has_to_do(AgentStore(core.store)):
        start(core)
