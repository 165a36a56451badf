"""What people give the settings, from each place where they may give it, not yet understood."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.api_url import ApiUrl, without_credentials
from components.setting import MASK, Setting
from components.setting_kinds import FilePath, nearest
from components.settings import BY_NAME, CONFIG_VARIABLE, SETTINGS

SHOWN = 80


@dataclass(frozen=True, slots=True)
class Given:
    """One value for one setting. `base` is where a relative path starts.

    `is_text` tells the environment's and the command line's text from a typed value. `section` is the role that the
    value is for, when it is for one only; `tasks` names the tasks, when it is for some only.
    """

    setting: Setting
    value: object
    origin: str
    base: Path
    is_text: bool
    section: str = ""
    tasks: str = ""

    @property
    def key(self) -> str:
        """Return the name as people write it."""
        place = f"tasks.{self.tasks}." if self.tasks else f"roles.{self.section}." if self.section else ""
        return place + self.setting.name

    def mistake(self, problem: str) -> str:
        """Return the line that tells people what is wrong with it, without a secret in it."""
        value = without_credentials(str(self.value)) if isinstance(self.setting.kind, ApiUrl) else self.value
        value = self.setting.masked(str(value)) if self.setting.masked else value
        shown = MASK if self.setting.secret else repr(value)
        shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"
        return f"{self.key} = {shown} ({self.origin}): {problem}"

    def understood(self, user_home: Path | None) -> object:
        """Return the value it means, paths absolute. Raises ValueError that says what to write instead."""
        kind = self.setting.kind
        if self.setting.default is None and (self.value is None or (self.is_text and self.value == "none")):
            return None
        if self.value is None:
            raise ValueError(f"empty; write {kind.words}, or take the line out")
        is_text = self.is_text or isinstance(self.value, Path)
        value = kind.from_text(str(self.value)) if is_text else kind.from_yaml(self.value)
        return existing(kind, absolute(value, self.base, user_home)) if isinstance(kind, FilePath) else value


def absolute(path: object, base: Path, user_home: Path | None) -> Path:
    """Return a path made absolute, `~` being the user's home. Raises ValueError when that is not known."""
    written = Path(str(path))
    if written.parts[:1] == ("~",):
        if user_home is None:
            raise ValueError("this user has no home directory; write the whole path")
        written = user_home.joinpath(*written.parts[1:])
    return Path(os.path.normpath(base / written))


def existing(kind: FilePath, path: Path) -> Path:
    """Return a path that is what its kind asks for. Raises ValueError when it is not."""
    try:
        found = {"file": path.is_file, "directory": path.is_dir}.get(kind.must_be, lambda: True)()
    except OSError as error:
        raise ValueError(f"cannot be looked at ({error.strerror}); name {kind.words}") from error
    if not found:
        raise ValueError(f"there is no such {kind.must_be}; make it, or name another")
    return path


def from_environment(environ: Mapping[str, str], directory: Path) -> Iterator[Given]:
    """Yield what the environment gives. An empty variable counts as absent."""
    for setting in SETTINGS:
        for name in setting.variables:
            if environ.get(name):
                yield Given(setting, environ[name], f"environment {name}", directory, is_text=True)
                break


def from_arguments(arguments: Mapping[str, object], directory: Path, mistakes: list[str]) -> Iterator[Given]:
    """Yield what the command line gives. None counts as absent; text is read as text, anything else is typed."""
    for name, value in arguments.items():
        if value is None:
            continue
        setting = BY_NAME.get(name)
        if setting is None:
            mistakes.append(f"{name} (argument): there is no such setting{nearest(name, tuple(BY_NAME))}")
        elif not setting.option or setting.holds_secret(value):
            variable = setting.variables[0]
            instead = f"{name}_file" if f"{name}_file" in BY_NAME else "the configuration file"
            instead = "a password file (~/.pgpass)" if setting.option else instead
            mistakes.append(f"{name} (argument): every user here sees arguments; use {variable} or {instead}")
        else:
            typed = list(value) if isinstance(value, tuple) else value
            yield Given(setting, typed, f"argument {setting.option}", directory, is_text=isinstance(value, str))


def misspelt(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable that looks like one of ours with a slip of the pen."""
    known = [name for setting in SETTINGS for name in setting.variables] + [CONFIG_VARIABLE]
    unknown = sorted(name for name in environ if name.startswith("HEADLESS_PM_") and name not in known)
    for name in unknown:
        import difflib

        close = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
        if close:
            yield f"{name} (environment): not a setting, so it has no effect; did you mean {close[0]}?"
