"""A typed task before a person's eyes: its runner is in the background all the same, and survives the terminal."""

from __future__ import annotations

from components.config import Config


def follow(config: Config, claim: str) -> int:
    """Show a task until it ends, and return its exit code."""
    raise NotImplementedError
