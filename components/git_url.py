"""The address of a repository that somebody named: what may reach git of it, and why the rest may not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from components.api_url import is_loopback
from components.errors import UnsafeUrl

LONGEST = 2048
SCHEMES = frozenset({"https", "http", "ssh"})
HELPER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*::")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
SHORT_SSH = re.compile(r"(?:(?P<user>[^@/:]*)@)?(?P<host>\[[^]/]*\]|[^@/:]+):(?P<path>.*)")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
FORBIDDEN = re.compile(r"[^\x21-\x7e]|[\"'\\<>`{}|^]")
WAYS = "write https://HOST/PATH or ssh://USER@HOST/PATH"
NAME_LETTERS, DIGEST_LETTERS = 40, 10


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """An address that may reach git. `text` is what git is given; `host` is "" for a local path.

    `origin` is scheme, host and port: whom a token is for. `is_pinned` says that redirects are not followed, because
    the hosts that may be asked are listed.
    """

    text: str
    scheme: str
    host: str = ""
    origin: str = ""
    is_pinned: bool = False

    def __str__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """What the repository is called: the last part of its path, fit for a directory."""
        last = self.text.rstrip("/").removesuffix(".git").rstrip("/").rpartition("/")[2].rpartition(":")[2]
        return re.sub(r"[^A-Za-z0-9_-]+", "-", unquote(last)).strip("-")[:NAME_LETTERS] or "repository"

    @property
    def slug(self) -> str:
        """A directory name of its own: two addresses never share one."""
        return f"{self.name}-{hashlib.sha256(self.text.encode()).hexdigest()[:DIGEST_LETTERS]}"


@dataclass(frozen=True, slots=True)
class Admission:
    """Which addresses are let in. `hosts`: none listed is any; `plain_hosts` may be reached by http.

    This machine may always be reached by http. `roots` are the directories whose repositories may be named by a path.
    """

    hosts: Collection[str] = ()
    plain_hosts: Collection[str] = ()
    roots: Collection[Path] = ()

    def admit(self, text: str) -> RemoteUrl:
        """Return an address that may reach git. Raises UnsafeUrl naming the address, what is wrong, what to write."""
        try:
            return self._admitted(text)
        except ValueError as error:
            raise UnsafeUrl(f"repository {shown(text)!r}: {error}") from None

    def _admitted(self, text: str) -> RemoteUrl:
        _refuse_hostile(text)
        if text.startswith(("/", "./", "../", "~")) or text.lower().startswith("file:"):
            return self._local(text)
        if SCHEME.match(text):
            return self._by_scheme(text)
        short = SHORT_SSH.fullmatch(text)
        if short is None:
            raise ValueError(f"it is no address; {WAYS}")
        path = short["path"]
        if not path or path.startswith("-"):
            raise ValueError(f"what follows the colon is no path; {WAYS}")
        return self._ssh(text, short["user"], short["host"])

    def _by_scheme(self, text: str) -> RemoteUrl:
        parts = urlsplit(text)
        scheme = parts.scheme.lower()
        if scheme not in SCHEMES:
            raise ValueError(f"{scheme}: is not used; {WAYS}")
        if not parts.hostname or not parts.path.strip("/") or parts.port == 0:
            raise ValueError(f"it has no host or no path; {WAYS}")
        if parts.query or parts.fragment or "?" in text or "#" in text:
            raise ValueError("it has more than a host, a port and a path; take out what begins at ? or #")
        if parts.password is not None:
            raise ValueError("it has a password in it; take it out, and give a token by git_tokens")
        if scheme == "ssh":
            return self._ssh(text, parts.username, parts.netloc.rpartition("@")[2])
        return self._http(parts, scheme)

    def _http(self, parts: SplitResult, scheme: str) -> RemoteUrl:
        if parts.username is not None:
            raise ValueError("it has a user in it; take it out, and give a token by git_tokens")
        host = self._host(parts.hostname or "")
        port = f":{parts.port}" if parts.port else ""
        origin = f"{scheme}://{f'[{host}]' if ':' in host else host}{port}"
        if scheme == "http" and not is_loopback(origin) and host not in self.plain_hosts:
            raise ValueError("http is unencrypted; write https, or list the host in repository_plain_hosts")
        return RemoteUrl(f"{origin}{parts.path}", scheme, host, origin, bool(self.hosts))

    def _ssh(self, text: str, user: str | None, address: str) -> RemoteUrl:
        if user is not None and not USER.fullmatch(user):
            raise ValueError(f"{user[:40]!r} is no user's name; {WAYS}")
        host = self._host(urlsplit(f"ssh://{address}/").hostname or "")
        return RemoteUrl(text, "ssh", host, f"ssh://{address}", bool(self.hosts))

    def _host(self, host: str) -> str:
        host = host.lower()
        if not (HOST.fullmatch(host) and ".." not in host) and not _is_address(host):
            raise ValueError(f"{host[:60]!r} is no host; {WAYS}")
        if self.hosts and host not in self.hosts:
            raise ValueError(f"host {host} is not one of repository_hosts ({', '.join(sorted(self.hosts))}); add it")
        return host

    def _local(self, text: str) -> RemoteUrl:
        path = Path(re.sub(r"(?i)^file:(//)?", "", text)).resolve()
        if not any(path.is_relative_to(Path(root).resolve()) for root in self.roots):
            known = ", ".join(map(str, self.roots)) or "none"
            raise ValueError(f"local repositories may lie below repository_roots ({known}) only; add a directory there")
        return RemoteUrl(f"file://{path}", "file")


def is_address(word: str) -> bool:
    """Does this text mean a repository elsewhere, and not a name or a path of this machine?"""
    if SCHEME.match(word) or HELPER.match(word) or word.lower().startswith("file:"):
        return True
    short = SHORT_SSH.fullmatch(word)
    return short is not None and "/" not in word.partition(":")[0] and not Path(word).exists()


def _refuse_hostile(text: str) -> None:
    if not text or len(text) > LONGEST:
        raise ValueError(f"an address has 1 to {LONGEST} characters; {WAYS}")
    if text.startswith("-"):
        raise ValueError(f"it begins with a dash, so git would take it for an option; {WAYS}")
    if FORBIDDEN.search(text) or re.search(r"[\x00-\x1f\x7f]", unquote(text, errors="replace")):
        raise ValueError(f"spaces, quotes, control characters and what is not ASCII may not be in it; {WAYS}")
    if HELPER.match(text):
        raise ValueError(f"git would start a helper program for it; {WAYS}")


def shown(text: str) -> str:
    """Return an address as it may be shown: without a password, in one line, shortened."""
    plain = "".join(char if char.isprintable() else "?" for char in text[: LONGEST + 1])
    without = re.sub(r"(?<=//)[^/@]*@", "********@", plain)
    return without if len(without) <= 200 else without[:199] + "…"


def _is_address(host: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
