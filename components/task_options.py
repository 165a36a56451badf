"""What the configuration says for some tasks only: by a task's id, its level or its complexity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from components.model import Task
from components.setting_kinds import nearest
from components.settings import PER_TASK
from components.states import Complexity, Level

TASKS = "tasks"
WORDS = (*Complexity, *Level)
ID = re.compile(r"(?=[0-9A-Za-z_-]*[0-9])[0-9A-Za-z_-]{1,64}")
"""An id has a digit: so a slip in one of the words is not taken for an id that no task will ever have."""

Options = Mapping[str, Mapping[str, Any]]
"""Values of settings by the name of their section."""


def sections_of(task: Task) -> tuple[str, ...]:
    """Return the names of the sections that may speak of a task; the last one that does is in force."""
    return (task.complexity.value, task.level.strip().lower(), task.id)


def problem_of_section(name: str) -> str:
    """Return what is wrong with the name of a section, or ""."""
    if name in WORDS or ID.fullmatch(name):
        return ""
    return f"neither a task's id nor one of {', '.join(WORDS)}{nearest(name, WORDS)}"


def problem_of_key(name: str) -> str:
    """Return what is wrong with a setting for some tasks only, or ""."""
    if name in PER_TASK:
        return ""
    return "not for single tasks; write it at the left margin, or for one role"


def in_force(options: Options, sections: tuple[str, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the sections change of `values`; a table such as `models` keeps the entries that it does not name."""
    changed: dict[str, Any] = {}
    for section in sections:
        for name, value in options.get(section, {}).items():
            before = changed.get(name, values[name])
            changed[name] = {**before, **value} if isinstance(value, Mapping) else value
    return changed


def without(value: Any, outer: Any) -> Any:
    """Return what is left of a section's value where the environment or an argument gives the same setting, or None."""
    if isinstance(value, Mapping) and isinstance(outer, Mapping):
        return {key: text for key, text in value.items() if key not in outer} or None
    return None
