"""The composition root: it alone knows which classes make a runner."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from components import agent_environment, discovery, executors, git, hook_payload, hook_runner
from components.config import Config, require
from components.errors import ConfigError, SourceUnavailable
from components.git_worktree import GitWorktree
from components.hook_runner import Decision, HookRunner
from components.model_mapper import ModelMapper
from components.patience import Patience
from components.ports import Executor
from components.pulse import Pulse
from components.redact import Redactor
from components.signals import Signals
from components.sources.headless_pm import HeadlessPm
from components.states import Role
from components.task_persistence import TaskPersistence
from components.task_runner import TaskRunner
from components.terminal_ui import TerminalUI
from components.tools import Tools
from components.worker import Tally, Worker


class AdvancedAgentRunner:
    """One agent: its journal, its source of tasks, its workspaces, its executor, its loop."""

    def __init__(self, config: Config, environ: Mapping[str, str], ui: TerminalUI, signals: Signals) -> None:
        require(config, "role", "api_key")
        self.config = config
        self.ui = ui
        self.signals = signals
        self.environment = agent_environment.passed(environ, config.environment)
        self._hook_environment = agent_environment.passed(environ, hook_runner.VARIABLES)
        self.journal = TaskPersistence(config.agent_id, config.home)
        self._started = time.monotonic()

    def run(self) -> Tally:
        """Sign in, go on with what is in hand, and work; returns what was done.

        Raises ConfigError, AgentIdInUse, AgentMissing, NotARepository and Unauthorized before anything is changed.
        """
        repository = git.require_repository(self.config.repository)
        self._instructions()
        executor = self._executor()
        self.journal.hold()
        tools = self._tools(repository, executor)
        patience = Patience(self.signals, self.ui)
        patience(lambda: self._register(tools), gives_up_draining=True, waits_for=(SourceUnavailable,))
        tools.pulse.every(self.config.heartbeat_interval, lambda: self._beat(tools))
        tools.pulse.every(self.config.health_check_interval, lambda: self._check_health(tools))
        return Worker(TaskRunner(self.journal, tools, patience), self.journal, tools, patience).run()

    def _tools(self, repository: Path, executor: Executor) -> Tools:
        config = self.config
        return Tools(
            config=config,
            source=HeadlessPm(
                config.api_url,
                config.api_key,
                config.agent_id,
                str(config.role),
                config.level,
                wait=self.signals.wait,
            ),
            worktrees=GitWorktree(repository, config.worktree_base),
            hooks=HookRunner(
                config.hooks_directory or discovery.default_hooks_directory(),
                config.hook_timeout,
                env=self._hook_environment,
                show=lambda line: self.ui.info(f"hook: {line}"),
            ),
            executor=executor,
            models=ModelMapper(config.models, config.fallback_models, warn=self.ui.warning),
            ui=self.ui,
            signals=self.signals,
            pulse=Pulse(),
            environment=self.environment,
        )

    def _executor(self) -> Executor:
        """Find the agent's program and see that it starts."""
        if self.config.executor != "claude":
            return executors.find(self.config.executor, {"agent_command": self.config.agent_command})
        home = Path(self.environment.get("HOME", "/"))
        path = discovery.find_claude(self.environment, home, self.config.claude_path)
        self.ui.info(f"Claude CLI {discovery.claude_version(path, self.environment)} at {path}")
        return executors.find("claude", {"claude_path": path})

    def _instructions(self) -> None:
        """See that the role's instructions can be read, before a task is taken."""
        config = self.config
        team_roles = discovery.find_team_roles(config.team_roles, config.repository, config.home)
        found = discovery.role_instructions(Role(str(config.role)), config.level, team_roles)
        self.ui.debug(f"Role instructions: {found.origin}")

    def _register(self, tools: Tools) -> None:
        """Sign in, and compare what the server has stored with what was asked for: it keeps the first it was told."""
        stored = tools.source.register()
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
        self.ui.info(f"Agent {stored.agent_id} ({stored.role}, {stored.level}) registered at {self.config.api_url}")

    def _beat(self, tools: Tools) -> None:
        """Keep our locks alive; a missed beat is made up for by the next."""
        try:
            tools.source.register()
        except SourceUnavailable as error:
            self.ui.debug(f"No heartbeat this time: {error}")

    def _check_health(self, tools: Tools) -> None:
        outcome = tools.hooks.run("health_check", self._health())
        if outcome.decision is not Decision.GO:
            self.ui.warning(f"Health check: {outcome.detail}")

    def _health(self) -> dict[str, object]:
        held = self.journal.get_locked_task()
        return hook_payload.health_moment(
            agent_id=self.config.agent_id,
            role=str(self.config.role),
            repository=self.config.repository,
            home=self.config.home,
            locks_directory=self.journal.directory,
            idle=held is None,
            task_id=held.task.id if held else None,
            uptime=time.monotonic() - self._started,
        )


def redactor(config: Config) -> Redactor:
    """Return what takes our secrets out of anything shown."""
    return Redactor([config.api_key])
