"""What a task's end has to show before it counts as done, by the role that the agent works in."""

from __future__ import annotations

from components.model import Held
from components.states import Role
from components.tools import Tools

AUTO, COMMIT, CHANGE, NOTHING = "auto", "commit", "change", "none"
A_SIGN = "sign"
"""A word or a change: of a program that speaks by its exit code, which may do its work elsewhere."""
PROGRAMS = "command"
"""The executor of such programs."""
DEVELOPERS = frozenset({Role.FRONTEND_DEV, Role.BACKEND_DEV})


def of(held: Held, tools: Tools) -> str:
    """Return `commit`, `change`, `sign` or `none`. QA is judged by its words alone."""
    if is_for_qa(held, tools):
        return NOTHING
    wanted = tools.config.evidence
    if wanted != AUTO:
        return wanted
    if _role(held, tools) not in DEVELOPERS:
        return NOTHING
    return A_SIGN if tools.executor.name == PROGRAMS else CHANGE


def has_checks(held: Held, tools: Tools) -> bool:
    """Must the checks be green? For every developer, and for whoever has to show something."""
    return _role(held, tools) in DEVELOPERS or of(held, tools) != NOTHING


def is_for_qa(held: Held, tools: Tools) -> bool:
    """Does the agent work as QA?"""
    return _role(held, tools) == Role.QA


def _role(held: Held, tools: Tools) -> str:
    return tools.config.role or held.task.role
