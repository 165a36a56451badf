"""The `config` command: what is set, where it comes from, and a file to start with."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

import click

from components import durable
from components.config import FILE_NAME, Loaded, load
from components.errors import ConfigError
from components.setting import Setting
from components.settings import CONFIG_VARIABLE, GROUPS, SETTINGS
from components.states import Complexity, Level

NAME_WIDTH = max(len(setting.name) for setting in SETTINGS)
FIRST_LINES = """\
# Configuration of the agent runner. Every line that begins with "# " and a name shows a default: take the "# " away
# to change it. The environment overrides this file, the command line overrides both.
# Relative paths start at this file's directory. `advanced-agent-runner config check` reads it and tells every mistake.
"""
LAST_LINES = """
# What is for one role only:
# roles:
#   qa:
#     claude_timeout: 1200
#
# What is for some tasks only, by complexity, level or id; the last of the three wins:
# tasks:
#   major:
#     claude_timeout: 3600
#   principal:
#     max_budget_usd: 20
#   42:
#     models: {senior: opus}
"""

file_option = click.option("--config", "file", type=click.Path(path_type=Path), help="Read this configuration file.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
repository_option = click.option("--repo", "repository", help="The git repository to work in.")
role_option = click.option("--role", help="Show what is in force for this role.")
TASK_OPTIONS = (
    click.option("--task", metavar="ID", help="Show what is in force for the task with this id."),
    click.option("--level", type=click.Choice([*map(str, Level)]), help="... for tasks of this level."),
    click.option("--complexity", type=click.Choice([*map(str, Complexity)]), help="... for tasks of this complexity."),
)


def task_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name tasks."""
    for option in reversed(TASK_OPTIONS):
        command = option(command)
    return command


@click.group(name="config", short_help="Show, check or begin the configuration.")
def command() -> None:
    """Show, check or begin the configuration.

    Values come from defaults, then the YAML file, then the environment, then the command line; the last one wins. The
    file is the one of --config, else of HEADLESS_PM_CONFIG, else ~/.headless-pm/config.yaml.
    """


@command.command()
@file_option
@repository_option
@role_option
@task_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: name, value and origin of each setting.")
def show(file: Path | None, repository: str | None, role: str | None, as_json: bool, **of_task: str | None) -> None:
    """Show every value with where it comes from; secrets are masked.

    On a terminal long lines are folded; in a pipe each setting is one line. What the file has under `tasks` is shown
    where --complexity, --level or --task (its id, not looked up at the server) say which task is meant.
    """
    loaded = load({"repository": repository, "role": role}, os.environ, file=file)
    loaded = loaded.for_sections(*filter(None, map(of_task.get, ("complexity", "level", "task"))))
    if as_json:
        click.echo(json.dumps(_as_json(loaded), indent=2))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        for line in table(loaded, width):
            click.echo(line)
    _warn(loaded)


@command.command()
@file_option
@repository_option
@role_option
@json_option
def check(file: Path | None, repository: str | None, role: str | None, as_json: bool) -> None:
    """Read the whole configuration and tell every mistake; the exit code is 0 without one, else 2."""
    loaded = load({"repository": repository, "role": role}, os.environ, file=file)
    if as_json:
        told = {"file": str(loaded.file) if loaded.file else None, "warnings": list(loaded.warnings)}
        click.echo(json.dumps({"is_fine": True, **told}, indent=2))
        return
    click.echo(f"The configuration is fine ({loaded.file or 'there is no file'}).")
    _warn(loaded)


@command.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@json_option
def init(path: Path | None, as_json: bool) -> None:
    """Write a commented configuration file that only its owner may read; one that exists is left alone.

    PATH is where it goes, by default where the runner looks for it.
    """
    target = (path or _usual_file()).absolute()
    try:
        durable.make_directory(target.parent)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, durable.FILE_MODE))
        durable.write(target, template().encode())
    except FileExistsError as error:
        raise ConfigError(f"{error.filename} exists and was left as it is; edit it, or name another file") from error
    except OSError as error:
        raise ConfigError(f"{target} cannot be made ({error.strerror}); name another file") from error
    if as_json:
        click.echo(json.dumps({"file": str(target)}, indent=2))
        return
    click.echo(
        f"Wrote {target}; edit it, then type: advanced-agent-runner config check --config {shlex.quote(str(target))}"
    )


@command.command()
def reference() -> None:
    """Print the table of all settings, as Markdown."""
    for line in reference_lines():
        click.echo(line)


def table(loaded: Loaded, width: int | None) -> Iterator[str]:
    """Yield the lines of `show`: folded at `width` columns, or one for each setting where there is no width."""
    rows = [(one.name, one.show(getattr(loaded.config, one.name)), _origin(one, loaded)) for one in SETTINGS]
    rest = (width or sys.maxsize) - NAME_WIDTH - 4
    middle = min(max(len(value) for _, value, _ in rows), rest // 2)
    for row in rows:
        name, value, origin = row
        values, origins = _folded(value, middle), _folded(origin, rest - middle)
        for first, second, third in zip_longest([name], values, origins, fillvalue=""):
            yield f"{first:{NAME_WIDTH}}  {second:{middle}}  {third}".rstrip()


def _origin(setting: Setting, loaded: Loaded) -> str:
    """Return where a value comes from; for one that is absent, also what stands in for it."""
    origin = loaded.origins[setting.name]
    return f"{origin}: {setting.derived}" if setting.derived and not getattr(loaded.config, setting.name) else origin


def _folded(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 8), break_on_hyphens=False) or [""]


def template() -> str:
    """Return the text of a new configuration file: every setting with its meaning, its default commented out."""
    lines = [FIRST_LINES]
    for title, settings in GROUPS.items():
        lines.append(f"\n# ---- {title} ----\n")
        for setting in settings:
            about = f"{setting.meaning} Write {setting.kind.words}."
            if setting.derived:
                about += f" Without it: {setting.derived}."
            lines.extend(f"#: {line}\n" for line in textwrap.wrap(about, 110))
            lines.append(f"# {setting.name}: {json.dumps(_plain(setting.default))}\n")
    return "".join([*lines, LAST_LINES])


def reference_lines() -> Iterator[str]:
    """Yield the lines of the table of settings in docs/configuration.md."""
    for title, settings in GROUPS.items():
        yield from ("", f"### {title}", "", "| Setting | Default | Environment | Meaning |", "|---|---|---|---|")
        for setting in settings:
            variables = ", ".join(f"`{name}`" for name in setting.variables)
            meaning = f"{setting.meaning} Takes {setting.kind.words}."
            cells = (f"`{setting.name}`", setting.default_words, variables, meaning)
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _as_json(loaded: Loaded) -> Mapping[str, object]:
    def value_of(one: Setting) -> object:
        value = getattr(loaded.config, one.name)
        return one.show(value) if one.holds_secret(value) else _plain(value)

    settings = {one.name: {"value": value_of(one), "origin": loaded.origins[one.name]} for one in SETTINGS}
    file = str(loaded.file) if loaded.file else None
    return {"file": file, "settings": settings, "warnings": list(loaded.warnings)}


def _plain(value: object) -> object:
    """Return a value as JSON (also YAML) knows it."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _usual_file() -> Path:
    """Return where the runner looks for its file. Raises ConfigError when the environment names no usable place."""
    if os.environ.get(CONFIG_VARIABLE):
        return Path(os.environ[CONFIG_VARIABLE]).expanduser()
    only_places = {name: text for name, text in os.environ.items() if name in {"HOME", "HEADLESS_PM_HOME"}}
    return load({}, only_places).config.home / FILE_NAME


def _warn(loaded: Loaded) -> None:
    for warning in loaded.warnings:
        click.echo(f"Warning: {warning}", err=True)
