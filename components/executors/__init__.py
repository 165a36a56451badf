"""The agents we can speak to, one file each, found by the file's name or by the entry point group below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, cast

from components import executor_names
from components.errors import ConfigError
from components.model import AgentResult, ExitRecord
from components.ports import Executor

ENTRY_POINTS = executor_names.ENTRY_POINTS
SOCKET = ("name", "resumes_by", "command", "listener", "usage")
"""What `ports.Executor` asks for."""


def find(name: str, settings: Mapping[str, Any]) -> Executor:
    """Return the executor of that name, made with its settings.

    `settings` has every setting by its name. Raises ConfigError for a name that is not known, naming those that are,
    and for an executor of another package that cannot be made.
    """
    if name in executor_names.BUILT_IN:
        return cast("Executor", import_module(f"components.executors.{name}").make(settings))
    third_party = executor_names.others()
    if name in third_party:
        return _made_by(third_party[name], settings)
    raise ConfigError(f"executor: {name!r} is not known; choose one of {', '.join(executor_names.known())}")


def heard(executor: Executor, lines: Iterable[bytes], exit_record: ExitRecord | None) -> AgentResult | None:
    """Return what an agent said of a run, from all that it printed."""
    listener = executor.listener()
    for line in lines:
        listener.hear(line)
    return listener.result(exit_record)


def _made_by(point: Any, settings: Mapping[str, Any]) -> Executor:
    """Make the executor of another package, whose code may do anything."""
    place = f"executor: {point.name!r} ({point.value} of {point.dist.name if point.dist else 'an unknown package'})"
    try:
        executor = point.load()(settings)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{place} cannot be made: {type(error).__name__}: {error}; mend or remove the package"
        ) from error
    missing = [part for part in SOCKET if not hasattr(executor, part)]
    if missing:
        raise ConfigError(f"{place} is no executor: it lacks {', '.join(missing)}; see docs/executors.md")
    return cast("Executor", executor)
