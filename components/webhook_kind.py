"""The addresses that are told of a task's life, as a kind of setting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from components.hook_payload import ALIASES, Moment
from components.setting_kinds import CONTROL, nearest

NAMES = (*Moment, *ALIASES)


@dataclass(frozen=True, slots=True)
class Webhooks:
    """For some moments one or more http or https addresses; in the value they are one text, spaces between them."""

    words: str = "a table such as {post_task: https://example.org/hook, error: [https://a.example, https://b.example]}"

    def from_text(self, text: str) -> Mapping[str, str]:
        return self.from_yaml(dict(pair.strip().partition("=")[::2] for pair in text.split(",") if pair.strip()))

    def from_yaml(self, value: object) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise ValueError(f"not a table; write {self.words}")
        return {str(moment): " ".join(self._addresses(moment, given)) for moment, given in value.items()}

    def _addresses(self, moment: object, given: object) -> list[str]:
        if moment not in NAMES:
            raise ValueError(f"{moment!r} is not one of {', '.join(NAMES)}{nearest(str(moment), NAMES)}")
        addresses = given.split() if isinstance(given, str) else given
        if not isinstance(addresses, list) or not addresses or not all(isinstance(one, str) for one in addresses):
            raise ValueError(f"{moment} has no address; write {self.words}")
        for address in addresses:
            _check(str(moment), address)
        return addresses


def _check(moment: str, address: str) -> None:
    try:
        parts = urlsplit(address)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or CONTROL.search(address) or re.search(r"[\s,\\]", address) or "@" in parts.netloc:
        raise ValueError(f"{moment} has an address that is no http or https one, or has credentials in it; correct it")
