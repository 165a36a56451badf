"""Reads the configuration from all of its sources, into values with their origins."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from components import api_key, given, store_url, task_options
from components.api_url import is_exposed, is_loopback
from components.given import Given
from components.settings import BY_NAME, CONFIG_VARIABLE, SETTINGS

FILE_NAME = "config.yaml"
DEFAULT = "default"
EXPOSED = "the API key crosses the network unencrypted; give an https address where the server has one"
NO_COMMAND = "there is no command; set AGENT_COMMAND"
OUTSIDE = ("environment ", "argument ")
"""What the origin of a value begins with that was given for this run: it wins over the file's for some tasks."""


def _user_home(environ: Mapping[str, str]) -> Path | None:
    if environ.get("HOME"):
        return Path(environ["HOME"])
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


class Reading:
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
        self.tasks: dict[str, dict[str, Any]] = {}
        self.task_origins: dict[str, dict[str, str]] = {}

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

    def settle(self, layers: Sequence[tuple[Given, Any]]) -> None:
        """Lay the sources over the defaults, fill what is derived, and check what belongs together."""
        roles = [value for one, value in layers if one.setting.name == "role"]
        role = roles[-1] if roles else None
        in_force = [(one, value) for one, value in layers if one.section in {"", role} and not one.tasks]
        for one, value in in_force:
            self._lay(one, value)
        self._derive()
        outer = {one.setting.name: value for one, value in in_force if one.origin.startswith(OUTSIDE)}
        for one, value in layers:
            if one.tasks:
                self._lay_for_tasks(one, value, outer)
        self._derive_for_tasks(outer)
        self._find_key(in_force)

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
            value = {**(self.values[name] or {}), **value}
        self.values[name] = value
        self.origins[name] = one.origin

    def _lay_for_tasks(self, one: Given, value: Any, outer: Mapping[str, Any]) -> None:
        """Keep what is for some tasks only, as far as nothing outside the file gives it."""
        name = one.setting.name
        if name in outer:
            value = task_options.without(value, outer[name])
            if value is None:
                return
        self.tasks.setdefault(one.tasks, {})[name] = value
        self.task_origins.setdefault(one.tasks, {})[name] = one.origin

    def _derive_for_tasks(self, outer: Mapping[str, Any]) -> None:
        """A section that names a command means it to be used; one that asks for a command needs one."""
        for name, section in self.tasks.items():
            if section.get("agent_command") and "executor" not in section and "executor" not in outer:
                section["executor"] = "command"
                self.task_origins[name]["executor"] = self.task_origins[name]["agent_command"]
            command = section.get("agent_command", self.values["agent_command"])
            if section.get("executor") == "command" and not command:
                where = self.task_origins[name]["executor"]
                self.mistakes.append(f"tasks.{name}.executor = 'command' ({where}): {NO_COMMAND}")

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
        values["store"] = values["store"] or store_url.of_file(values["home"] / "store.db")
        values["repository"] = values["repository"] or self.directory
        if not values["agent_id"] and values["role"]:
            values["agent_id"] = f"{values['role']}_001"
        values["executor"] = values["executor"] or ("command" if values["agent_command"] else "claude")
        if values["executor"] == "command" and not values["agent_command"]:
            self.mistakes.append(f"executor = 'command' ({self.origins['executor']}): {NO_COMMAND}")
        if is_exposed(values["api_url"]):
            self.warnings.append(f"api_url = {values['api_url']} ({self.origins['api_url']}): {EXPOSED}")

    def _absolute(self, name: str, path: object) -> Path | None:
        try:
            return given.absolute(path, self.directory, self.user_home)
        except ValueError as error:
            self.mistakes.append(f"{name} = {str(path)!r}: {error}")
            return None
