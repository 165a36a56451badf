"""The address of a Headless PM server, as a kind of setting."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from components.setting_kinds import Text

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class ApiUrl:
    """An http or https address without a key in it; a trailing slash or `/api/v1` is dropped."""

    words: str = "an address such as http://localhost:6969"

    def from_text(self, text: str) -> str:
        parts = self._split(Text(self.words).from_text(text.strip()))
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"not an http or https address; write {self.words}")
        if "@" in parts.netloc:
            raise ValueError("has credentials in it; take them out, the key is api_key")
        if parts.query or parts.fragment or any(space in text.strip() for space in " \\"):
            raise ValueError(f"has more than a host, a port and a path; write {self.words}")
        path = parts.path.rstrip("/").removesuffix(PREFIX).rstrip("/")
        return f"{parts.scheme}://{parts.netloc}{path}"

    def from_yaml(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"not text; write {self.words}")
        return self.from_text(value)

    def _split(self, text: str) -> SplitResult:
        try:
            parts = urlsplit(text)
            if parts.port == 0:
                raise ValueError("port 0")
        except ValueError as error:
            raise ValueError(f"not an address ({error}); write {self.words}") from None
        return parts


def is_exposed(url: str) -> bool:
    """Return whether what is sent to the address crosses a network unencrypted."""
    return urlsplit(url).scheme == "http" and not is_loopback(url)


def is_loopback(url: str) -> bool:
    """Return whether the address is this machine's own by its spelling (nothing is resolved)."""
    import ipaddress

    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def without_credentials(url: str) -> str:
    """Return an address fit to be shown, whatever it is."""
    scheme, slashes, rest = url.rpartition("//")
    return f"{scheme}{slashes}********@{rest.rpartition('@')[2]}" if "@" in rest else url
