"""The names under which a service of ours may be called: whoever calls it by another was led here by somebody else."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit


def known(host: str, allowed: Collection[str]) -> frozenset[str]:
    """Return the names of what listens at a host, in lower case."""
    own = {host.lower().strip("[]"), *(name.lower() for name in allowed)}
    return frozenset(own - {"0.0.0.0", "::"} | {"localhost", "127.0.0.1", "::1"})  # noqa: S104


def name(header: str) -> str:
    """Return the name in a Host header, without its port; "" for what is none."""
    try:
        parts = urlsplit(f"//{header}")
        is_whole = parts.netloc == header and parts.username is None and parts.port != 0
    except ValueError:  # what is behind the colon is no port: two headers that were joined, for one
        return ""
    return (parts.hostname or "") if is_whole else ""
