"""The address of the store, as a kind of setting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from components.setting_kinds import Text

SQLITE = "sqlite:///"
POSTGRESQL = ("postgresql", "postgres")
HIDDEN = "********"


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """Where the history is kept: a file of this machine, or a database of PostgreSQL for many machines."""

    words: str = "sqlite:////the/whole/path/store.db or postgresql://user@host/database"

    def from_text(self, text: str) -> str:
        text = Text(self.words).from_text(text.strip())
        if not text or text.startswith("sqlite:"):
            return self._file(text)
        try:
            parts = urlsplit(text)
            port_is_wrong = parts.port == 0
        except ValueError:
            raise ValueError(f"not an address; write {self.words}") from None
        if parts.scheme not in POSTGRESQL or port_is_wrong or parts.path in ("", "/") or parts.fragment:
            raise ValueError(f"not the address of a store; write {self.words}")
        return f"postgresql:{text.partition(':')[2]}"

    def from_yaml(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"not text; write {self.words}")
        return self.from_text(value)

    def _file(self, text: str) -> str:
        if text and not (text.startswith(SQLITE) and Path(text.removeprefix(SQLITE)).is_absolute()):
            raise ValueError("not the whole path of a file: four slashes belong after `sqlite:`; write " + self.words)
        if "?" in text or text.endswith("/"):
            raise ValueError(f"not the path of a file; write {self.words}")
        return text


def of_file(path: Path) -> str:
    """Return the address of a store in a file."""
    return f"{SQLITE}{path.absolute()}"


def file_of(url: str) -> Path | None:
    """Return the file of a store, or None where a server keeps it."""
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None


def shown(url: str) -> str:
    """Return an address fit to be shown, whatever it is: without its password, wherever it stands."""
    try:
        parts = urlsplit(url)
        name, colon, _ = parts.netloc.rpartition("@")[0].partition(":")
        host = parts.netloc.rpartition("@")[2]
        query = "&".join(_shown_word(word) for word in parts.query.split("&")) if parts.query else ""
    except ValueError:
        return HIDDEN
    netloc = f"{name}{':' + HIDDEN if colon else ''}@{host}" if "@" in parts.netloc else host
    return parts._replace(netloc=netloc, query=query).geturl() if parts.netloc else url


def has_password(url: str) -> bool:
    """Does an address hold a secret?"""
    return shown(url) != url


def _shown_word(word: str) -> str:
    name, equals, _ = word.partition("=")
    return f"{name}{equals}{HIDDEN}" if "password" in name.lower() else word
