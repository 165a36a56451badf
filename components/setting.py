"""What a setting is: one row of the table in `settings`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from components.setting_kinds import Argv, Kind, Number

MASK = "********"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. A default of None means that it may be absent.

    `environment` holds the variables that give it, in order of preference, where they differ from the rule
    (HEADLESS_PM_ and its name). `flag` is its option where that differs from its name. `derived` says in words what
    stands in for an empty default. `masked` takes out of a text what only its owner may see, where a part is secret.
    """

    name: str
    kind: Kind
    default: object
    meaning: str
    environment: tuple[str, ...] = ()
    flag: str = ""
    secret: bool = False
    derived: str = ""
    masked: Callable[[str], str] | None = None

    def holds_secret(self, value: object) -> bool:
        """Is there something in a value that only its owner may see?"""
        return bool(value) and (self.secret or bool(self.masked and self.masked(str(value)) != str(value)))

    @property
    def variables(self) -> tuple[str, ...]:
        """Return the environment variables that give it, in order of preference."""
        return self.environment or (f"HEADLESS_PM_{self.name.upper()}",)

    @property
    def option(self) -> str:
        """Return its name on the command line; a secret has none, as every user of the machine sees arguments."""
        return "" if self.secret else self.flag or "--" + self.name.replace("_", "-")

    @property
    def default_words(self) -> str:
        """Return its default for people."""
        return self.derived or self.show(self.default)

    def show(self, value: object) -> str:
        """Return a value in one line for people: with its unit, a secret masked, "-" for none."""
        if value is None or value in ("", ()) or value == {}:
            return "-"
        if self.secret:
            return MASK
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, tuple):
            return (" " if isinstance(self.kind, Argv) else ", ").join(value)
        if isinstance(value, Mapping):
            return ", ".join(f"{key}: {text}" for key, text in value.items())
        return self._show_number(value) if isinstance(value, int | float) else (self.masked or str)(str(value))

    def _show_number(self, number: float) -> str:
        unit = self.kind.unit if isinstance(self.kind, Number) else ""
        return f"{number:.15g} {'s' if unit == 'seconds' else unit}".rstrip()
