"""The address of the store, as a kind of setting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

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
    """Return an address fit to be shown, whatever it is: without its password, wherever that stands."""
    if url.startswith("sqlite:"):
        return url
    address, mark, query = url.partition("?")
    if "@" in query and "@" not in address:  # a `?` in the password itself
        return f"{address.partition('//')[0]}//{HIDDEN}"
    if "@" in address:
        before, _, place = address.rpartition("@")
        scheme, slashes, credentials = before.partition("//") if "//" in before else ("", "", before)
        name, colon, _ = credentials.partition(":")
        address = f"{scheme}{slashes}{name}{colon}{HIDDEN if colon else ''}@{place}"
    return address + mark + "&".join(_shown_word(word) for word in query.split("&"))


def secrets_of(url: str) -> tuple[str, ...]:
    """Return the passwords in an address, as they stand there and as they are meant."""
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0].partition(":")[2]
    words = (word.partition("=") for word in parts.query.split("&"))
    found = [credentials, *(value for name, _, value in words if "password" in name.lower())]
    return tuple(dict.fromkeys(form for one in found if one for form in (one, unquote(one))))


def _shown_word(word: str) -> str:
    name, equals, _ = word.partition("=")
    return f"{name}{equals}{HIDDEN}" if "password" in name.lower() else word
