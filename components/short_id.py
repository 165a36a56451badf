"""The short form of an id."""

from __future__ import annotations

SHORT = 8
"""How many letters of an id people see and type; the files and branches of a run are named with as many."""
