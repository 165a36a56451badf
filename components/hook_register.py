"""The callables that a program has hung on moments, by id."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from components.errors import ConfigError, NotFound
from components.hook_payload import Moment, moment_named

Payload = Mapping[str, object]
Hook = Callable[[Payload], object]


class HookRegister:
    """Callables in the order in which they were registered; any thread may register and unregister."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._callables: dict[str, tuple[Moment, Hook]] = {}

    def register(self, moment: str, hook: Hook, identifier: str = "") -> str:
        """Have a callable asked at a moment, and return the id that `unregister` takes; any text may be given as one.

        False says no; HookPostponed says later; any other exception says no, with its text. One of the same id and
        moment is replaced. Raises ConfigError for an unknown moment, and for an id that is another moment's; TypeError
        for what cannot be called.
        """
        if not callable(hook):
            raise TypeError(f"hook: {hook!r:.100} cannot be called; register a function that takes the payload")
        known = moment_named(moment)
        identifier = identifier or f"{known}-{next(self._numbers)}"
        if (other := self._callables.get(identifier, (known,))[0]) is not known:
            raise ConfigError(f"hook id: {identifier!r} is registered for {other}; give another id")
        self._callables[identifier] = (known, hook)
        return identifier

    def unregister(self, identifier: str) -> None:
        """Forget a callable. Raises NotFound for an id that is not registered."""
        if self._callables.pop(identifier, None) is None:
            known = ", ".join(self._callables) or "none"
            raise NotFound(f"hook id: {identifier!r} is not registered; registered are: {known}")

    def of(self, moment: Moment) -> list[Hook]:
        """Return the callables of a moment."""
        return [hook for registered, hook in list(self._callables.values()) if registered is moment]
