"""`drive`: performs what waits in a workflow, in the background, until nothing of it is to be done."""

from __future__ import annotations

import os
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


@click.command(name="drive", hidden=True)
@click.option("--config", "file", type=Path)
@click.argument("workflow_id")
@click.argument("alive", type=int)
def command(file: Path | None, workflow_id: str, alive: int) -> int:
    """Work until the workflow has nothing to do; what comes while we let go of the lock is seen by one more look."""
    os.set_inheritable(alive, False)
    from components import durable, history_sync, workflow_driver
    from components.agent_store import AgentStore
    from components.cli.run import terminal
    from components.config import load
    from components.signals import Intent, Signals

    Signals.hold_back()
    signals = Signals("leave")
    signals.install()
    config = load({}, os.environ, file=file).config
    word = "" if workflow_id == workflow_driver.SPAWNED else workflow_id
    ui = terminal(config)
    agents = AgentStore(history_sync.opened(config.home, config.store, ui.warning))
    lock: int | None = alive
    while lock is not None and signals.intent is Intent.RUN:
        code = _work(config, ui, signals, agents, word)
        os.close(lock)
        lock = None
        if code == 0 and workflow_driver.has_to_do(agents, word):
            lock = durable.try_lock(workflow_driver.directory_of(config.home, word) / "alive")
    return 0


def _work(config: Config, ui: TerminalUI, signals: Signals, agents: AgentStore, workflow_id: str) -> int:
    from components import agent_performer, queue_engine, workflow_driver
    from components.errors import StoreUnavailable
    from components.signals import Intent

    name = f"workflow-{workflow_id[:8] or workflow_driver.SPAWNED}"
    own = replace(config, worker_name=name, worker_roles=(), schedules={})

    def rest(seconds: float) -> bool:
        signals.wait(seconds)
        return signals.is_draining

    try:
        with queue_engine.opened(
            own, lambda queue: agent_performer.opened(config, os.environ, queue, ui), say=ui.warning, rest=rest
        ) as queue:
            while signals.intent is Intent.RUN and _is_busy(agents, workflow_id):
                signals.wait(LOOK_SECONDS)
            if queue.worker is not None:
                queue.worker.drain()
                while signals.intent is Intent.RUN and not queue.worker.is_idle:
                    signals.wait(LOOK_SECONDS)
    except StoreUnavailable:
        return 1
    if queue.worker is not None and not queue.worker.is_idle:
        os._exit(0)
    return 0


def _is_busy(agents: AgentStore, workflow_id: str) -> bool:
    from components import workflow_driver
    from components.errors import StoreUnavailable

    try:
        return workflow_driver.has_to_do(agents, workflow_id)
    except StoreUnavailable:
        return True  # it is waited for: what is at work goes on
