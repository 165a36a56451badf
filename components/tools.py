"""What the steps work with: one value, made by `app`, passed to each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from components.config import Config
from components.equipment import Equipment
from components.git_worktree import GitWorktree
from components.hook_runner import HookRunner
from components.model import Held, Task
from components.model_mapper import ModelMapper
from components.ports import Executor, TaskSource
from components.presence import Presence
from components.pulse import Pulse
from components.redact import Redactor, secret_values
from components.run_directory import RunDirectory
from components.signals import Signals
from components.terminal_ui import TerminalUI


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts that a step may use. `environment` is what the agent and the hooks are given: without our secrets.

    `equip` makes the parts that depend on the agent's program, for tasks that want another one.
    """

    config: Config
    source: TaskSource
    worktrees: GitWorktree
    hooks: HookRunner
    executor: Executor
    models: ModelMapper
    ui: TerminalUI
    signals: Signals
    pulse: Pulse
    presence: Presence
    environment: Mapping[str, str]
    equip: Callable[[Config], Equipment]

    def for_task(self, task: Task) -> Tools:
        """Return the tools with what the configuration says for one task in force."""
        config = self.config.for_task(task)
        if config is self.config:
            return self
        made = self.equip(config)
        return replace(self, config=config, executor=made.executor, models=made.models, environment=made.environment)

    @property
    def redact(self) -> Redactor:
        """What takes our key, and the secrets that the agent is given, out of text that is kept or passed on."""
        return Redactor([self.config.api_key, *secret_values(self.environment)])

    @property
    def runs(self) -> Path:
        """The directory of all run directories."""
        return self.config.home / "runs"

    def run_of(self, held: Held) -> RunDirectory:
        """Return the run directory of the current attempt; its name tells task, claim and attempt."""
        return RunDirectory.of(self.runs, held.task.id, held.claim, held.attempt)


Toolbox = Callable[[], Tools]
"""Returns the tools in force: a configuration that was reloaded takes effect between two steps."""
