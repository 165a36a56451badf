"""What an agent is started with: its program, its models, its environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from components import agent_environment, claude_version, discovery, durable, executors, task_options
from components.config import Config
from components.errors import ConfigError, RunnerError
from components.model_mapper import ModelMapper
from components.ports import Executor
from components.settings import BY_NAME, PROGRAM
from components.states import Complexity, Level
from components.terminal_ui import TerminalUI


@dataclass(frozen=True, slots=True)
class Equipment:
    """One kind of agent, ready to be started. `environment` is what it is given: without our secrets."""

    executor: Executor
    models: ModelMapper
    environment: Mapping[str, str]


class Outfitter:
    """Makes equipment of configurations, each kind once: a program is looked for, and started for a look, once."""

    def __init__(self, environ: Mapping[str, str], ui: TerminalUI) -> None:
        self._environ = environ
        self._ui = ui
        self._made: dict[str, Equipment] = {}
        self._found: dict[Path | None, Path] = {}

    def __call__(self, config: Config) -> Equipment:
        """Return what a configuration asks for. Raises AgentMissing or ConfigError."""
        kind = repr([getattr(config, setting.name) for setting in PROGRAM])
        if kind not in self._made:
            environment = self._environment(config)
            models = ModelMapper(config.models, config.fallback_models, warn=self._ui.warning)
            self._made[kind] = Equipment(self._executor(config, environment), models, environment)
        return self._made[kind]

    def try_all(self, config: Config) -> None:
        """Make what any task may ask for, so that no mistake under `tasks` is found when a task is in hand."""
        for sections in _combinations(config):
            try:
                self(config.for_sections(*sections))
            except RunnerError as error:
                raise type(error)(f"tasks, {' + '.join(sections)}: {error}") from error

    def _environment(self, config: Config) -> dict[str, str]:
        """Return what the agent is given of our environment, with what the configuration adds."""
        environment = agent_environment.passed(self._environ, config.environment)
        if config.sandbox:
            environment["IS_SANDBOX"] = "1"
        if config.claude_config == "own":
            own = config.home / "claude" / config.agent_id
            durable.make_directory(own)
            environment["CLAUDE_CONFIG_DIR"] = str(own)
        return environment

    def _executor(self, config: Config, environment: Mapping[str, str]) -> Executor:
        """Find the agent's program and see that it starts."""
        settings = {name: getattr(config, name) for name in BY_NAME}
        path = environment.get("PATH", os.defpath)
        match config.executor:
            case "claude":
                self._refuse_root(config, environment)
                settings["claude_path"] = self._claude(config, environment)
            case "claude_sdk":
                self._refuse_root(config, environment)
                discovery.find_sdk(config.claude_path)
            case "codex":
                settings["codex_path"] = discovery.find_codex(config.codex_path, path)
            case "command":
                discovery.find_command(config.agent_command, path)
        return executors.find(config.executor, settings)

    @staticmethod
    def _refuse_root(config: Config, environment: Mapping[str, str]) -> None:
        """Say before a task is taken what the CLI would say of each. Raises ConfigError."""
        if config.permission_mode == "bypassPermissions" and os.geteuid() == 0 and environment.get("IS_SANDBOX") != "1":
            raise ConfigError(
                "permission_mode = bypassPermissions: the Claude CLI refuses it for root, as nothing would hold it;"
                " run as another user, choose another mode, or set `sandbox: true` if this machine is one"
            )

    def _claude(self, config: Config, environment: Mapping[str, str]) -> Path:
        """Find the Claude CLI, and tell its version."""
        if config.claude_path not in self._found:
            path = discovery.find_claude(environment, Path(environment.get("HOME", "/")), config.claude_path)
            version = discovery.claude_version(path, environment)
            self._ui.info(f"Claude CLI {version} at {path}")
            difference, remedy = claude_version.doubt(version)
            if difference:
                self._ui.warning(f"The Claude CLI {version} is {difference}; {remedy}")
            self._found[config.claude_path] = path
        return self._found[config.claude_path]


def _combinations(config: Config) -> Iterator[tuple[str, ...]]:
    """Yield the sections of `tasks` that may meet in one task."""
    ids = ["", *(name for name in config.tasks if name not in task_options.WORDS)]
    for names in product(Complexity, ("", *Level), ids):
        sections = tuple(name for name in names if name in config.tasks)
        if sections:
            yield sections
