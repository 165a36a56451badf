"""Which model works for which seniority."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from components.redact import plain, shorten
from components.states import Level

MODELS: Mapping[str, str] = {Level.JUNIOR: "sonnet", Level.SENIOR: "sonnet", Level.PRINCIPAL: "opus"}
"""Aliases that the Claude CLI resolves to its newest model of that name."""

SHOWN_CHARACTERS = 40


class ModelMapper:
    """Maps the level of a task to a model, and to one for while that is overloaded.

    What is not given stays as in MODELS; further levels may be given. `warn` is told once of each level that nobody
    knows.
    """

    def __init__(
        self,
        models: Mapping[str, str] | None = None,
        fallbacks: Mapping[str, str] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._models = {**MODELS, **_by_level(models)}
        self._fallbacks = _by_level(fallbacks)
        self._warn = warn
        self._warned: set[str] = set()

    def model(self, level: str) -> str:
        """Return the model for a level; the senior one, and a warning, for a level that is not known."""
        known = self._known(level)
        if not known and self._warn and level not in self._warned:
            self._warned.add(level)
            shown = shorten(plain(level), SHOWN_CHARACTERS)
            self._warn(
                f"level: {shown!r} is not known, the senior model {self._models[Level.SENIOR]} is used;"
                f" known are {', '.join(self._models)}; name a model for it under `models`, or correct the task"
            )
        return self._models[known or Level.SENIOR]

    get_model = model

    def fallback(self, level: str) -> str:
        """Return the model for while the first is overloaded; empty where none is configured."""
        return self._fallbacks.get(self._known(level) or Level.SENIOR, "")

    def _known(self, level: str) -> str:
        """Return the level as the table spells it; empty for one that is not in it."""
        spelled = level.strip().lower()
        return spelled if spelled in self._models else ""


def _by_level(models: Mapping[str, str] | None) -> dict[str, str]:
    return {level.strip().lower(): model for level, model in (models or {}).items() if model}
