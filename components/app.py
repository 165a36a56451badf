"""The composition root: it alone knows which classes make a runner."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from components import agent_environment, discovery, git, hook_runner, spending, taking_up
from components.config import Config, require
from components.equipment import Outfitter
from components.errors import ConfigError, Draining, RunnerError, SourceRefused, SourceUnavailable
from components.git_command import GitKilled
from components.git_worktree import GitWorktree
from components.history import History
from components.hook_register import HookRegister
from components.hook_runner import HookRunner
from components.model import Held
from components.patience import Patience, briefly
from components.ports import TaskSource
from components.presence import Presence
from components.pulse import Pulse
from components.redact import Redactor, secret_values
from components.signals import Signals
from components.states import Door, Role
from components.task_persistence import TaskPersistence
from components.task_runner import TaskRunner
from components.terminal_ui import TerminalUI
from components.tools import Tools
from components.upkeep import Upkeep
from components.worker import Tally, Worker

if TYPE_CHECKING:
    from components.notify import Notifications
    from components.webhooks import Webhooks

FIXED = ("role", "agent_id", "home", "store")


class AdvancedAgentRunner:
    """One agent: its journal, its source of tasks, its workspaces, its executor, its loop.

    On `hooks` a program hangs callables of its own, before it runs or from another thread while it does.
    """

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        ui: TerminalUI,
        signals: Signals,
        reload: Callable[[], Config] | None = None,
        *,
        source: TaskSource | None = None,
    ) -> None:
        require(config, *(("role",) if source else ("role", "api_key")))
        self.config = config
        self.ui = ui
        self.signals = signals
        self._environ = environ
        self._reload = reload
        self._given_source = source
        self.hooks = HookRegister()
        self.on_end: Callable[[Held], object] = _nothing
        self.door = Door.RUN
        self.project = ""
        self.restarted_from = ""
        self._in_force: Tools | None = None
        self._webhooks: Webhooks | None = None
        self._notifications: Notifications | None = None
        seen = config.home / "locks" / f"agent-{config.agent_id}.seen"
        self._presence = Presence(lambda: self.tools().source, seen)
        self.journal = TaskPersistence(config.agent_id, config.home)
        self._upkeep = Upkeep(self.journal, self._presence, ui)

    def run(self, first: Held | None = None) -> Tally:
        """Stay with the agent at work, sign in, go on with what is in hand, else with `first`, and work.

        Returns what was done. Raises ConfigError, AgentIdInUse, AgentMissing and NotARepository before anything is
        changed, and Unauthorized before anything but that agent's end was seen.
        """
        self._in_force = briefly(lambda: self._make(self.config), GitKilled, self.signals, self.ui)
        self.journal.hold()
        self.signals.on_dump = self._dump
        patience = Patience(self.signals, self.ui, self._knock)
        history = self._history()
        runner = TaskRunner(self.journal, self.tools, patience, self.on_end, history.note)
        try:
            taking_up.attend(self.journal, runner, self.ui)
            self._sign_in(patience)
            return Worker(runner, self.journal, self.tools, patience, first).run()
        except Draining as leaving:
            self.ui.info(f"Leaving: {leaving}")
            return Tally()
        finally:
            history.close()
            for told in (self._webhooks, self._notifications):
                if told is not None:
                    told.close()

    def _sign_in(self, patience: Patience) -> None:
        """Sign in as soon as the source is there. Raises ConfigError and Unauthorized, or Draining."""
        patience(
            self._register,
            gives_up_draining=True,
            gives_up_after=self.config.idle_timeout,
            waits_for=(SourceUnavailable,),
        )

    def _history(self) -> History:
        """Return who tells the history what is done; a store that is away is never waited for."""
        config = self.config
        return History(
            config.home,
            config.store,
            agent_id=config.agent_id,
            project=self.project or str(config.repository),
            door=self.door,
            restarted_from=self.restarted_from,
            redact=self.tools().redact,
            say=self.ui.warning,
        )

    def _knock(self) -> None:
        """Ask the server, by the heartbeat, whether it is there."""
        self._presence.sign_in()

    def tools(self) -> Tools:
        """Return the tools in force; a reload that was asked for happens here, between two steps."""
        if self._in_force is None:
            self._in_force = self._make(self.config)
        if self.signals.wants_reload:
            self.signals.wants_reload = False
            self._renew()
        return self._in_force

    def _renew(self) -> None:
        """Put a new configuration in force, or keep the old one if the new one has a mistake."""
        if self._reload is None:
            return
        try:
            config = self._reload()
            for name in FIXED:
                if getattr(config, name) != getattr(self.config, name):
                    raise ConfigError(f"{name}: it cannot be changed while the runner runs; start it again")
            self._in_force = self._make(config)
        except (RunnerError, OSError) as error:
            self.ui.error(f"The configuration stays as it was: {error}")
        else:
            self.config = config
            self.ui.success("The configuration was read again and is in force")

    def _make(self, config: Config) -> Tools:
        """Make all parts of a configuration, looking first whether they can work."""
        repository = git.require_repository(config.repository)
        self._check_instructions(config)
        outfitter = Outfitter(self._environ, self.ui)
        equipment = outfitter(config)
        outfitter.try_all(config)
        tools = Tools(
            config=config,
            source=self._source(config),
            worktrees=GitWorktree(repository, config.worktree_base),
            hooks=self._hooks(config),
            executor=equipment.executor,
            models=equipment.models,
            ui=self.ui,
            signals=self.signals,
            pulse=Pulse(),
            presence=self._presence,
            environment=equipment.environment,
            equip=outfitter,
        )
        self._upkeep.attach(tools)
        return tools

    def _source(self, config: Config) -> TaskSource:
        if self._given_source is not None:
            return self._given_source
        from components.sources.headless_pm import HeadlessPm

        identity = (config.agent_id, str(config.role), config.level)
        signals = self.signals
        return HeadlessPm(
            config.api_url, config.api_key, *identity, wait=signals.wait, wait_for_answer=signals.wait_for_answer
        )

    def _hooks(self, config: Config) -> HookRunner:
        directory = config.hooks_directory or discovery.default_hooks_directory()
        environment = agent_environment.for_hooks(self._environ, hook_runner.VARIABLES)
        hooks = HookRunner(directory, config.hook_timeout, env=environment, show=self._show_hook, program=self.hooks)
        if config.webhooks:
            from components.webhooks import Webhooks

            self._webhooks = Webhooks(config, Redactor([config.api_key, *secret_values(self._environ)]))
            self._webhooks.attach(hooks)
        if config.notify:
            from components.notify import Notifications

            secrets = [config.api_key, *config.notify, *secret_values(self._environ)]
            self._notifications = Notifications(config, Redactor(secrets), lambda: spending.left_today(self.tools()))
            self._notifications.attach(hooks)
        return hooks

    def _show_hook(self, line: str) -> None:
        self.ui.info(f"hook: {line}")

    def _check_instructions(self, config: Config) -> None:
        """See that the role's instructions can be read, before a task is taken."""
        team_roles = discovery.find_team_roles(config.team_roles, config.repository, config.home)
        found = discovery.role_instructions(Role(str(config.role)), config.level, team_roles)
        self.ui.debug(f"Role instructions: {found.origin}")

    def _register(self) -> None:
        """Sign in, and compare what the server has stored with what was asked for: it keeps the first it was told."""
        stored = briefly(self._presence.sign_in, SourceRefused, self.signals, self.ui)
        if stored.role != self.config.role:
            raise ConfigError(
                f"role: the server has stored agent {stored.agent_id} as {stored.role}, not as {self.config.role};"
                " use another --agent-id, or have a PM delete the agent there"
            )
        if stored.level != self.config.level:
            self.ui.warning(
                f"level: the server has stored agent {stored.agent_id} as {stored.level}, not as {self.config.level};"
                f" tasks are asked for as {self.config.level}"
            )
        if self._given_source is not None:
            return
        self.ui.info(f"Agent {stored.agent_id} ({stored.role}, {stored.level}) registered at {self.config.api_url}")

    def _dump(self) -> None:
        """Tell what is in hand; SIGUSR1 asks for it."""
        try:
            held = self.journal.get_locked_task()
            task = f"task {held.task.id}, phase {held.phase}, attempt {held.attempt}" if held else "no task"
            task += f", run {held.run or '-'}" if held else ""
        except (RunnerError, OSError) as error:
            task = str(error)
        up = f"{self._upkeep.uptime():.0f} s"
        self.ui.info(f"State: {task}; intent {self.signals.intent.name}; up {up}; pid {os.getpid()}")


def _nothing(held: Held) -> None:
    """Nobody wants to know of the end."""
    del held
