"""Tells a notice by Apprise: Slack, Discord, Matrix, e-mail and the rest of what it knows."""

from __future__ import annotations

import logging
import warnings

from components.errors import ConfigError, NotTold
from components.event import Event, Notice
from components.notice import URGENT

logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs addresses, which hold secrets


class Apprise:
    """One address of Apprise's. Raises ConfigError where the library is not installed, or does not know the address."""

    def __init__(self, address: str) -> None:
        scheme = address.partition("://")[0]
        with warnings.catch_warnings():  # its modules use what later versions of Python will not have
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                import apprise
            except ModuleNotFoundError as error:
                remedy = "pip install 'advanced-agent-runner[notify]'"
                raise ConfigError(f"notify: an address with {scheme}:// needs {error.name}; run: {remedy}") from error
            self._apprise = apprise.Apprise()
            is_usable = self._apprise.add(address)
        if not is_usable:
            remedy = "its form stands at https://github.com/caronc/apprise"
            raise ConfigError(f"notify: Apprise cannot use the {scheme}:// address; {remedy}")

    def tell(self, notice: Notice) -> None:
        """Tell it. Raises NotTold."""
        kind = "failure" if notice.event in URGENT | {Event.FAILED} else "info"
        kind = "success" if notice.event is Event.SUCCEEDED else kind
        if not self._apprise.notify(body=notice.text, title=notice.title, notify_type=kind):
            raise NotTold("Apprise says that it was not delivered")
