"""Names of executors: those that come with us, a file each, and those of other packages, an entry point each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENTRY_POINTS = "agent_runner.executors"
BUILT_IN = frozenset(path.stem for path in (Path(__file__).parent / "executors").glob("[a-z]*.py"))


def others() -> Mapping[str, Any]:
    """Return the entry points of other packages by their names; nothing of theirs is imported."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def is_known(name: str) -> bool:
    """Is there an executor of that name?"""
    return name in BUILT_IN or name in others()


def known() -> list[str]:
    """Return the names of all executors, in their order."""
    return sorted({*BUILT_IN, *others()})
