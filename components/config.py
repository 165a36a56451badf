"""The runner's configuration: one frozen value made from defaults < YAML file < environment < arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from components import api_key, given
from components.api_url import is_exposed, is_loopback
from components.errors import ConfigError
from components.given import Given
from components.settings import BY_NAME, CONFIG_VARIABLE, SETTINGS
from components.states import Level, Role

FILE_NAME = "config.yaml"
DEFAULT = "default"
EXPOSED = "the API key crosses the network unencrypted; give an https address where the server has one"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that may be set. Times are seconds, money is USD, paths are absolute.

    What the fields mean, their defaults and bounds stand in `settings`. None (and "" for `api_key`) is: not given.
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
    repository: Path
    worktree_base: Path | None
    team_roles: Path | None
    hooks_directory: Path | None
    poll_interval: float
    idle_timeout: float | None
    max_tasks: int | None
    single_task: bool
    max_attempts: int
    on_term: str
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
    grace: float
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
    interactive: bool
    verbosity: int
    log_json: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration with, for each field, where its value comes from.

    An origin is "default", "environment NAME", "argument --name", "file PATH:LINE", or for a key
    that was searched for "file PATH (NAME)" or "file PATH".
    `file` is the configuration file that was read. `warnings` are lines for people.
    """

    config: Config
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    file: Path | None = None


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
    reading = _Reading(environ, (directory or Path.cwd()).absolute())
    outer = reading.outer(arguments)
    path = reading.find_file(file, outer)
    inner = reading.inner(path) if path else []
    return reading.loaded([*inner, *outer], path)


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


def _user_home(environ: Mapping[str, str]) -> Path | None:
    if environ.get("HOME"):
        return Path(environ["HOME"])
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


class _Reading:
    """One reading of all sources: what was understood, and a line for each thing that was not."""

    def __init__(self, environ: Mapping[str, str], directory: Path) -> None:
        self.environ = environ
        self.directory = directory
        self.user_home = _user_home(environ)
        self.mistakes: list[str] = []
        self.warnings = list(given.misspelt(environ))
        self.values: dict[str, Any] = {
            setting.name: dict(setting.default) if isinstance(setting.default, Mapping) else setting.default
            for setting in SETTINGS
        }
        self.origins = {setting.name: DEFAULT for setting in SETTINGS}

    def outer(self, arguments: Mapping[str, object]) -> list[tuple[Given, Any]]:
        """Return what stands outside the file, later before earlier in force."""
        return self._understood(
            [
                *given.from_environment(self.environ, self.directory),
                *given.from_arguments(arguments, self.directory, self.mistakes),
            ]
        )

    def find_file(self, file: Path | None, outer: Iterable[tuple[Given, Any]]) -> Path | None:
        named = file or self.environ.get(CONFIG_VARIABLE)
        if named:
            return self._absolute("config", named)
        homes = [value for one, value in outer if one.setting.name == "home"]
        home = homes[-1] if homes else self._absolute("home", BY_NAME["home"].default)
        default = home / FILE_NAME if home else None
        return default if default and os.path.lexists(default) else None

    def inner(self, path: Path) -> list[tuple[Given, Any]]:
        from components import config_file

        return self._understood(config_file.read(path, self.mistakes))

    def loaded(self, layers: Sequence[tuple[Given, Any]], path: Path | None) -> Loaded:
        """Lay the sources over the defaults, fill what is derived, and check what belongs together."""
        roles = [value for one, value in layers if one.setting.name == "role"]
        role = roles[-1] if roles else None
        in_force = [(one, value) for one, value in layers if one.section in {"", role}]
        for one, value in in_force:
            self._lay(one, value)
        self._derive()
        self._find_key(in_force)
        _refuse(self.mistakes)
        config = Config(**self.values)
        return Loaded(config, MappingProxyType(self.origins), tuple(self.warnings), path)

    def _understood(self, all_given: Iterable[Given]) -> list[tuple[Given, Any]]:
        understood = []
        for one in all_given:
            try:
                understood.append((one, one.understood(self.user_home)))
            except ValueError as error:
                self.mistakes.append(one.mistake(str(error)))
        return understood

    def _lay(self, one: Given, value: Any) -> None:
        name = one.setting.name
        if isinstance(value, Mapping):
            value = {**self.values[name], **value}
        self.values[name] = value
        self.origins[name] = one.origin

    def _find_key(self, layers: Iterable[tuple[Given, Any]]) -> None:
        """Take the key from the source in force, be it the key or its file; without one, search for it."""
        sources = [pair for pair in layers if pair[0].setting.name in {"api_key", "api_key_file"} and pair[1]]
        if not sources:
            loopback = is_loopback(self.values["api_url"])
            found = api_key.in_dotenv([self.values["repository"], self.directory], generic=loopback)
            if not found and loopback:
                found = api_key.in_home(self.values["home"])
        elif sources[-1][0].setting.name == "api_key":
            return
        else:
            one, path = sources[-1]
            try:
                found = api_key.in_file(path)
            except ValueError as error:
                self.mistakes.append(one.mistake(str(error)))
                return
        if found:
            self.values["api_key"], self.origins["api_key"] = found.key, found.origin
            self.warnings.extend(filter(None, [found.warning]))

    def _derive(self) -> None:
        """Fill in what depends on other settings, and check what must agree with others."""
        values = self.values
        if self.origins["home"] == DEFAULT:
            values["home"] = self._absolute("home", values["home"]) or self.directory  # a mistake by then
        values["repository"] = values["repository"] or self.directory
        if not values["agent_id"] and values["role"]:
            values["agent_id"] = f"{values['role']}_001"
        values["executor"] = values["executor"] or ("command" if values["agent_command"] else "claude")
        if values["executor"] == "command" and not values["agent_command"]:
            self.mistakes.append(
                f"executor = 'command' ({self.origins['executor']}): there is no command; set AGENT_COMMAND"
            )
        if is_exposed(values["api_url"]):
            self.warnings.append(f"api_url = {values['api_url']} ({self.origins['api_url']}): {EXPOSED}")

    def _absolute(self, name: str, path: object) -> Path | None:
        try:
            return given.absolute(path, self.directory, self.user_home)
        except ValueError as error:
            self.mistakes.append(f"{name} = {str(path)!r}: {error}")
            return None
