"""What a runner does again and again beside its tasks: the heartbeat, the health check, the clearing up."""

from __future__ import annotations

import time

from components import hook_payload
from components.config import Config
from components.errors import RunnerError, SourceRefused, SourceUnavailable, Unauthorized
from components.hook_runner import Decision
from components.presence import Presence
from components.task_persistence import TaskPersistence
from components.terminal_ui import TerminalUI
from components.tools import Tools

PRUNE_SECONDS = 3600.0
"""How often an idle runner deletes what old executions have left, where it is to."""


class Upkeep:
    """The upkeep of one runner, whose time begins now; whatever goes wrong with it is made up for by the next round."""

    def __init__(self, journal: TaskPersistence, presence: Presence, ui: TerminalUI) -> None:
        self._journal = journal
        self._presence = presence
        self._ui = ui
        self._started = time.monotonic()

    def attach(self, tools: Tools) -> None:
        """Have it done at the pulse of these tools, by their configuration."""
        config = tools.config
        tools.pulse.every(config.heartbeat_interval, self._beat)
        tools.pulse.every(config.health_check_interval, lambda: self._check_health(tools))
        if config.keep_runs_days is not None or config.keep_runs_bytes is not None:
            tools.pulse.every(PRUNE_SECONDS, lambda: self._prune(config))

    def uptime(self) -> float:
        """Return for how many seconds the runner has been there."""
        return time.monotonic() - self._started

    def _beat(self) -> None:
        """Keep our locks alive; a missed beat is made up for by the next, whatever the server had against it."""
        try:
            self._presence.sign_in()
        except (SourceUnavailable, SourceRefused, Unauthorized) as error:
            self._ui.debug(f"No heartbeat this time: {error}")

    def _check_health(self, tools: Tools) -> None:
        outcome = tools.hooks.run("health_check", self._health(tools.config))
        if outcome.decision is not Decision.GO:
            self._ui.warning(f"Health check: {outcome.detail}")

    def _health(self, config: Config) -> dict[str, object]:
        held = self._journal.get_locked_task()
        return hook_payload.health_moment(
            agent_id=config.agent_id,
            role=str(config.role),
            repository=config.repository,
            home=config.home,
            locks_directory=self._journal.directory,
            idle=held is None,
            task_id=held.task.id if held else None,
            uptime=self.uptime(),
        )

    def _prune(self, config: Config) -> None:
        """Delete what old executions have left, while there is nothing else to do."""
        if self._journal.is_locked():
            return
        from components import pruning
        from components.store_reader import StoreReader

        rule = pruning.Rule(config.keep_runs_days, config.keep_runs_bytes)
        try:
            planned = pruning.plan(config.home, rule, StoreReader(config.store))
            gone = pruning.carry_out(config.home, planned) if planned.going else []
        except (RunnerError, OSError) as error:
            self._ui.debug(f"Nothing was pruned: {error}")
            return
        if gone:
            self._ui.info(f"Deleted what {len(gone)} old executions left")
