"""The addresses that people are told at, as a kind of setting: what is wrong with one is told without showing it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from components.setting_kinds import CONTROL

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+")


@dataclass(frozen=True, slots=True)
class Addresses:
    """A list of addresses; in text they stand with spaces between them."""

    words: str = "a list such as [https://example.org/hook, slack://TOKEN_A/TOKEN_B/TOKEN_C]"

    def from_text(self, text: str) -> tuple[str, ...]:
        return self.from_yaml(text.split())

    def from_yaml(self, value: object) -> tuple[str, ...]:
        given = value.split() if isinstance(value, str) else value
        if not isinstance(given, list | tuple):
            raise ValueError(f"not a list; write {self.words}")
        for number, one in enumerate(given, 1):
            if not isinstance(one, str) or not ADDRESS.fullmatch(one) or CONTROL.search(one):
                raise ValueError(f"number {number} is no address with a scheme; write {self.words}")
        return tuple(given)
