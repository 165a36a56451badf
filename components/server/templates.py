"""The prompts that come with the service, by name: what an agent is told around the task that a caller gives."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from types import MappingProxyType

from components.errors import NotFound
from components.setting_kinds import nearest

TEMPLATES: Mapping[str, str] = MappingProxyType(
    {
        "task": "$task",
        "implement": "Implement what is described below, with tests that would fail without it.\n\n$task",
        "fix": "Find the cause of what is described below, write a test that shows it, then mend it.\n\n$task",
        "review": "Review what is described below. Say what is wrong or doubtful, where, and why; change nothing."
        "\n\n$task",
        "test": "Write tests for what is described below. Change no code but tests.\n\n$task",
        "refactor": "Improve the code that is described below without changing what it does; its tests must pass before"
        " and after.\n\n$task",
        "document": "Document what is described below for the people who will use it.\n\n$task",
        "explain": "Explain what is asked below. Change nothing.\n\n$task",
    }
)


def filled(name: str, task: str) -> str:
    """Return what an agent is told. Raises NotFound naming the templates."""
    if name not in TEMPLATES:
        known = ", ".join(TEMPLATES)
        raise NotFound(f"template {name[:80]!r} is not known{nearest(name[:80], tuple(TEMPLATES))}; known are: {known}")
    return Template(TEMPLATES[name]).substitute(task=task)
