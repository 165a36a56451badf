"""The runner's configuration: one frozen value made from defaults < YAML file < environment < arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from components import task_options
from components.config_reading import FILE_NAME, Reading
from components.errors import ConfigError
from components.model import Task
from components.schedule_kind import Schedule
from components.settings import BY_NAME
from components.states import Level, Role

__all__ = ["FILE_NAME", "Config", "Loaded", "load", "require"]


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that may be set. Times are seconds, money is USD, paths are absolute.

    What the fields mean, their defaults and bounds stand in `settings`. None (and "" for `api_key`) is: not given.
    `tasks` holds what is for some tasks only (`task_options`), without what the environment or an argument gives.
    """

    role: Role | None
    level: Level
    agent_id: str
    api_url: str
    api_key: str = field(repr=False)
    api_key_file: Path | None
    heartbeat_interval: float
    settle: float
    home: Path
    store: str = field(repr=False)
    repository: Path
    projects: Mapping[str, str]
    worktree_base: Path | None
    team_roles: Path | None
    hooks_directory: Path | None
    poll_interval: float
    idle_timeout: float | None
    max_tasks: int | None
    single_task: bool
    max_parallel_tasks: int
    max_attempts: int
    on_term: str
    keep_runs_days: float | None
    keep_runs_bytes: int | None
    snapshot_interval: float
    hook_timeout: float
    health_check_interval: float
    executor: str
    agent_command: tuple[str, ...]
    claude_path: Path | None
    codex_path: Path | None
    claude_config: str
    models: Mapping[str, str]
    fallback_models: Mapping[str, str]
    permission_mode: str
    allowed_tools: tuple[str, ...]
    disallowed_tools: tuple[str, ...]
    extra_directories: tuple[str, ...]
    mcp_config: Path | None
    strict_mcp: bool
    claude_settings: Path | None
    trust_repository: bool
    append_system_prompt: str
    sandbox: bool
    environment: tuple[str, ...]
    claude_timeout: float
    silence_timeout: float
    tool_timeout: float
    after_result: float
    grace: float
    cancel_grace: float
    leash: float
    output_limit: int
    memory_limit: int | None
    max_turns: int | None
    max_budget_usd: float | None
    task_budget_usd: float | None
    daily_budget_usd: float | None
    api_retries: int
    api_timeout: float
    evidence: str
    checks: tuple[str, ...]
    repository_checks: bool
    check_timeout: float
    push: str
    push_remote: str
    pull_request: str
    pull_request_command: tuple[str, ...]
    repository_hosts: tuple[str, ...]
    repository_plain_hosts: tuple[str, ...]
    repository_roots: tuple[str, ...]
    git_tokens: Mapping[str, str]
    clone_depth: int | None
    clone_timeout: float
    clone_limit: int
    keep_workspaces_days: float | None
    webhooks: Mapping[str, str]
    webhook_secret_file: Path | None
    webhook_timeout: float
    webhook_tries: int
    webhook_gates: bool
    notify: tuple[str, ...] = field(repr=False)
    notify_on: tuple[str, ...]
    queue: str = field(repr=False)
    worker_name: str
    worker_roles: tuple[str, ...]
    worker_concurrency: int
    queue_concurrency: int | None
    role_concurrency: Mapping[str, int]
    queue_poll_interval: float
    worker_ttl: float
    schedules: Mapping[str, Schedule] | None
    serve_host: str
    serve_port: int
    token_file: Path | None
    read_token_file: Path | None
    require_token: bool
    allowed_hosts: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    tls_certificate: Path | None
    tls_key: Path | None
    body_limit: int
    rate_limit: int
    max_streams: int
    tasks_per_project: int
    max_concurrent_agents: int
    workspace_base_dir: Path | None
    agent_timeout_ms: int | None
    claude_model: str
    metrics_port: int | None
    interactive: bool
    verbosity: int
    log_json: bool
    tasks: task_options.Options = field(default_factory=dict)

    def for_task(self, task: Task) -> Config:
        """Return what is in force for a task: what its complexity says, then its level, then its id."""
        return self.for_sections(*task_options.sections_of(task))

    def for_sections(self, *sections: str) -> Config:
        """Return what is in force for the tasks that all these sections speak of; the last one wins."""
        values = {name: getattr(self, name) for name in BY_NAME}
        changed = task_options.in_force(self.tasks, sections, values)
        return replace(self, **changed) if changed else self


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration with, for each field, where its value comes from.

    An origin is "default", "environment NAME", "argument --name", "file PATH:LINE", or for a key
    that was searched for "file PATH (NAME)" or "file PATH". `task_origins` are those of `config.tasks`.
    `file` is the configuration file that was read. `warnings` are lines for people.
    """

    config: Config
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    file: Path | None = None
    task_origins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def for_sections(self, *sections: str) -> Loaded:
        """Return the same for the tasks that all these sections of `tasks` speak of."""
        origins = dict(self.origins)
        for section in sections:
            origins.update(self.task_origins.get(section, {}))
        return replace(self, config=self.config.for_sections(*sections), origins=origins)


def load(
    arguments: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    file: Path | None = None,
    directory: Path | None = None,
) -> Loaded:
    """Read all sources. `arguments` go by field name; None there means not given.

    `file` is the `--config` of the command line; without one HEADLESS_PM_CONFIG names it, else it is `config.yaml` in
    the home, if there. `directory` is where relative paths start and the default repository: the current directory.
    Raises ConfigError with every mistake of every source, a line each.
    """
    reading = Reading(environ, (directory or Path.cwd()).absolute())
    outer = reading.outer(arguments)
    path = reading.find_file(file, outer)
    inner = reading.inner(path) if path else []
    reading.settle([*inner, *outer])
    _refuse(reading.mistakes)
    config = Config(**reading.values, tasks=reading.tasks)
    return Loaded(config, MappingProxyType(reading.origins), tuple(reading.warnings), path, reading.task_origins)


def require(config: Config, *names: str) -> None:
    """Raise ConfigError, in the style of `load`, for each of the named settings that was not given."""
    lines = []
    for name in names:
        if getattr(config, name) in (None, "", ()):
            setting = BY_NAME[name]
            ways = [setting.option, setting.variables[0], f"`{name}:` in {config.home / FILE_NAME}"]
            given_by = " or ".join(way for way in ways if way)
            lines.append(f"{name}: not given; give it by {given_by}: {setting.kind.words}")
    _refuse(lines)


def _refuse(mistakes: Sequence[str]) -> None:
    lines = list(dict.fromkeys(mistakes))
    if lines:
        heading = f"The configuration has {'a mistake' if len(lines) == 1 else f'{len(lines)} mistakes'}:"
        raise ConfigError("\n  ".join([heading, *lines]))
