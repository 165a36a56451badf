"""`drive`: performs what waits in the workflows of a home, in the background, until nothing is to be done."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from components.agent_store import AgentStore
    from components.config import Config
    from components.signals import Signals
    from components.terminal_ui import TerminalUI

LOOK_SECONDS = 0.3
IDLE_LOOKS = 5
"""How often in a row there must be nothing to do: who retries, or spawns the next one, needs no new driver."""


@click.command(name="drive", hidden=True)
@click.option("--config", "file", type=Path)
@click.argument("alive", type=int)
def command(file: Path | None, alive: int) -> int:
    """Work until there is nothing to do; what comes while we let go of the lock is seen by one more look."""
    os.set_inheritable(alive, False)
    from components import durable, workflow_driver
    from components.agent_store import AgentStore
    from components.cli.run import terminal
    from components.config import load
    from components.signals import Intent, Signals
    from components.store import Store

    Signals.hold_back()
    signals = Signals("leave")
    signals.install()
    config = load({}, os.environ, file=file).config
    ui = terminal(config)
    agents = AgentStore(Store(config.store))
    lock: int | None = alive
    while lock is not None and signals.intent is Intent.RUN:
        is_fine = _work(config, ui, signals, agents)
        os.close(lock)
        lock = None
        if is_fine and workflow_driver.has_to_do(agents):
            lock = durable.try_lock(config.home / workflow_driver.DIRECTORY / "alive")
    return 0


def _work(config: Config, ui: TerminalUI, signals: Signals, agents: AgentStore) -> bool:
    """Have a worker at the queue while there is something to do; False where the database is given up."""
    from components import agent_performer, doorbell, queue_engine
    from components.errors import StoreUnavailable

    digest = hashlib.sha256(os.fsencode(config.home)).hexdigest()[:6]
    own = replace(config, worker_name=f"driver-{doorbell.host()}-{digest}", worker_roles=(), schedules=None)

    def rest(seconds: float) -> bool:
        signals.wait(seconds)
        return signals.is_draining

    try:
        with queue_engine.opened(
            own, lambda queue: agent_performer.opened(config, os.environ, queue, ui), say=ui.warning, rest=rest
        ) as queue:
            assert queue.worker is not None
            _await_idleness(signals, agents, lambda: queue.worker is None or queue.worker.is_idle)
            queue.worker.drain()
    except StoreUnavailable:
        return False
    if not queue.worker.is_idle:
        os._exit(0)  # threads of agents that are left at work would keep us
    return True


def _await_idleness(signals: Signals, agents: AgentStore, is_idle: Callable[[], bool]) -> None:
    from components import workflow_driver
    from components.errors import StoreUnavailable
    from components.signals import Intent

    looks = 0
    while signals.intent is Intent.RUN and looks < IDLE_LOOKS:
        try:
            looks = 0 if not is_idle() or workflow_driver.has_to_do(agents) else looks + 1
        except StoreUnavailable:
            looks = 0  # it is waited for: what is at work goes on
        signals.wait(LOOK_SECONDS)
