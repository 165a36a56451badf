"""The ways by which people are told: an address beginning with http or https is a webhook, any other is Apprise's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.ports import Notifier


def made(address: str, timeout: float, secret: bytes) -> Notifier:
    """Return what tells an address. Raises ConfigError for one that nothing can tell; the message does not show it."""
    if address.startswith(("http://", "https://")):
        from components.notifiers.webhook import Webhook

        return Webhook(address, timeout, secret)
    from components.notifiers.apprise import Apprise

    return Apprise(address)


def shown(address: str) -> str:
    """Return an address for people: all but its scheme may be secret."""
    return f"{address.partition('://')[0]}://…"
