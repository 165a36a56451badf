"""Handing finished work on: the commit of what was left, the push, the pull request."""

from __future__ import annotations

from components.model import Held
from components.tools import Tools


def publish(held: Held, tools: Tools) -> None:
    """Commit what the agent left, push its branch and open a pull request; each only once, each after a look."""
    del held, tools
