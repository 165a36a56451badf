"""The version of the store's tables that this runner reads and writes."""

from __future__ import annotations

from components import store_url
from components.errors import StoreTooNew

VERSION = "0003"
"""The newest of `migrations/versions`."""


def refuse_newer(found: str, url: str) -> None:
    """Raise StoreTooNew for a store of a version that we do not know."""
    if found > VERSION:
        raise StoreTooNew(
            f"the store {store_url.shown(url)} has version {found}, and this runner knows {VERSION}; it was left alone."
            " Upgrade this runner (pip install --upgrade advanced-agent-runner), or name another store by"
            " HEADLESS_PM_STORE"
        )
