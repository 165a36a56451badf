"""The history as a command opens it: damaged ones built again, dead executions settled first."""

from __future__ import annotations

import sys

import click

from components import history_sync, store_file
from components.config import Config
from components.errors import RunnerError, StoreUnavailable
from components.store import Store
from components.store_reader import StoreReader

WITHOUT_IT = "`agent-runner doctor` looks again; `status`, `show ID` and `logs ID` do without it"


def history(config: Config) -> StoreReader:
    """Return the history, brought to where things stand on this machine, for a command that only shows it.

    A store that another process has locked is not waited for as long as by who writes. Raises as `store`.
    """
    return _opened(config, store_file.LOOK_SECONDS)


def store(config: Config) -> Store:
    """Return the same, for a command that changes it.

    Raises StoreTooNew, StateForeign, StateCorrupt and StoreUnavailable.
    """
    return _opened(config, store_file.BUSY_SECONDS)


def _opened(config: Config, patience: float) -> Store:
    try:
        found = history_sync.opened(config.home, config.store, _say, tick=_tick, patience=patience)
        history_sync.sync(config.home, found)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error}; {store_file.HAVE_IT_ANSWER}. {WITHOUT_IT}") from error
    return found


def history_or_why(config: Config) -> tuple[StoreReader | None, str]:
    """Return the history, or None and why it cannot be asked: for what is known without it."""
    try:
        return history(config), ""
    except RunnerError as error:
        return None, str(error)


def project(config: Config, word: str | None, reader: StoreReader | None) -> str:
    """Return the path of a project that a person named, "" for none."""
    if not word:
        return ""
    from components import projects  # what it needs to ask git takes a quarter of a command's time to load

    known = reader.projects() if reader is not None else []
    return projects.chosen(config, word, known)


def _tick(count: int) -> None:
    """Show on a terminal how many runs have been read; a few take no time."""
    if count >= history_sync.MANY and sys.stderr.isatty():
        click.echo(f"\r{count} read", nl=False, err=True)


def _say(message: str) -> None:
    is_shown = sys.stderr.isatty()
    click.echo(f"\r{message}" if is_shown else message, err=True)
