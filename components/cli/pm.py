"""The `pm` command: a Headless PM server to run, and a terminal to fill it from."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from components.errors import ConfigError, RunnerError

KEY_NAMES = ("HEADLESS_PM_API_KEY", "API_KEY_HEADLESS_PM", "API_KEY")


@click.group("pm")
def command() -> None:
    """Run a Headless PM server, and fill it with tasks from a terminal.

    \b
    Example:
        pm serve &
        pm task add "Fix the login page" --level senior --major
        pm task list
    """


def home(env: Mapping[str, str]) -> Path:
    """Return the directory of everything that outlives a process."""
    return Path(env.get("HEADLESS_PM_HOME") or "~/.headless-pm").expanduser()


@command.command()
@click.option("--port", default=6969, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--db", type=click.Path(path_type=Path, dir_okay=False), help="SQLite file.  [default: HOME/pm.db]")
@click.option("--api-key-file", type=click.Path(path_type=Path, dir_okay=False), help="File that holds the API key.")
@click.option("--real", is_flag=True, help="Copy all defects of the original server.")
@click.option("--generation", default="main", show_default=True, type=click.Choice(["main", "hooks", "installer"]))
@click.option("--defect", "named", multiple=True, metavar="NAME[=VALUE]", help="Copy one defect; repeatable.")
@click.option("--stale-after", default=1800.0, show_default=True, type=click.FloatRange(0), help="Seconds.")
@click.option("--faults", is_flag=True, help="For tests: faults can be injected at /_faults.")
def serve(
    port: int,
    host: str,
    db: Path | None,
    api_key_file: Path | None,
    **copied: Any,
) -> None:
    """Serve a Headless PM until it is stopped."""
    from components.headless_pm import app, settings

    try:
        switches = settings.defects(**{name: copied.pop(name) for name in ("real", "generation", "named")})
        keys = (_server_key(os.environ, api_key_file),)
        database = db or home(os.environ) / "pm.db"
        app.serve(settings.Settings(database, keys, switches, **copied), host, port, announce=_announce)
    except RunnerError as error:
        raise click.ClickException(str(error)) from error


def _announce(url: str) -> None:
    click.echo(f"Headless PM listening on {url}")


def _server_key(env: Mapping[str, str], file: Path | None) -> str:
    """Return the key from the file, else the environment, else pm.key in the home (made when it is not there)."""
    if file is not None:
        return _key_in(file)
    for name in KEY_NAMES:
        if env.get(name):
            return env[name]
    kept = home(env) / "pm.key"
    if not kept.exists():
        from components import durable

        durable.make_directory(kept.parent)
        durable.create(kept, f"{secrets.token_urlsafe(32)}\n".encode())
        click.echo(f'A new API key is in {kept}; use it so: export HEADLESS_PM_API_KEY="$(cat {kept})"')
    return _key_in(kept)


def _key_in(file: Path) -> str:
    try:
        key = file.read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"--api-key-file {file} cannot be read ({error.strerror}); give a file with the key"
        ) from error
    if not key:
        raise ConfigError(f"--api-key-file {file} is empty; write the key into it")
    return key
