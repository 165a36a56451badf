"""The agents we can speak to, one file each, found by the file's name or by the entry point group below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from components.errors import ConfigError
from components.model import AgentResult, ExitRecord
from components.ports import Executor

ENTRY_POINTS = "agent_runner.executors"


def find(name: str, settings: Mapping[str, Any]) -> Executor:
    """Return the executor of that name, made with its settings. Raises ConfigError naming the known ones."""
    built_in = {path.stem for path in Path(__file__).parent.glob("[a-z]*.py")}
    if name in built_in:
        return cast("Executor", import_module(f"components.executors.{name}").make(settings))
    third_party = _third_party()
    if name in third_party:
        return cast("Executor", third_party[name].load()(settings))
    known = ", ".join(sorted({*built_in, *third_party}))
    raise ConfigError(f"executor: {name!r} is not known; choose one of {known}")


def heard(executor: Executor, lines: Iterable[bytes], exit_record: ExitRecord | None) -> AgentResult | None:
    """Return what an agent said of a run, from all that it printed."""
    listener = executor.listener()
    for line in lines:
        listener.hear(line)
    return listener.result(exit_record)


def _third_party() -> Mapping[str, Any]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}
