"""Tells addresses of the moments of a task's life, with the JSON that hooks get.

What is only told goes by a thread of its own: no task waits for it. What is asked (a gate, where `webhook_gates` says
so) is asked within the time limit.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from components import webhook_request
from components.api_url import without_credentials
from components.config import Config
from components.errors import HookPostponed, HookRejected
from components.hook_payload import GATES, Moment, moment_named
from components.outbox import Outbox
from components.redact import Redactor, plain, within
from components.webhook_request import Delivery, Unanswered

if TYPE_CHECKING:
    from components.hook_runner import HookRunner

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 1000
WHY_LETTERS = 300


class Webhooks:
    """The addresses of one configuration. `redact` takes secrets out of every text that is sent.

    Raises ConfigError for a secret that cannot be used.
    """

    def __init__(self, config: Config, redact: Callable[[str], str] | None = None) -> None:
        self._addresses = {moment_named(name): text.split() for name, text in config.webhooks.items()}
        self._timeout = config.webhook_timeout
        self._tries = config.webhook_tries
        self._gates = GATES if config.webhook_gates else frozenset[Moment]()
        self._secret = webhook_request.secret_of(config.webhook_secret_file)
        self._redact = redact or Redactor()
        self._outbox = Outbox("webhooks", QUEUE_LENGTH, self._tell)

    def attach(self, hooks: HookRunner) -> None:
        """Have the addresses told, or asked, whenever the hooks of their moment run."""
        for moment, addresses in self._addresses.items():
            for address in addresses:
                hooks.register(moment, self._hook(moment, address), f"webhook-{moment}-{_digest(address)}")

    def close(self, timeout: float = 5.0) -> None:
        """Tell what is left for at most so many seconds; what is left then is dropped, which is logged."""
        self._outbox.close(timeout)

    def _hook(self, moment: Moment, address: str) -> Callable[[Mapping[str, object]], object]:
        act = self._ask if moment in self._gates else self._outbox.put

        def webhook(payload: Mapping[str, object]) -> object:
            return act(Delivery(address, json.dumps(within(payload, self._redact), ensure_ascii=False).encode()))

        webhook.__qualname__ = f"webhook {_shown(address)}"
        return webhook

    def _tell(self, delivery: Delivery) -> None:
        try:
            status, _ = self._deliver(delivery)
            if status >= 300:
                logger.warning("webhook %s answered HTTP %d", _shown(delivery.address), status)
        except Unanswered as error:
            logger.warning("webhook %s was not told: %s", _shown(delivery.address), error)
        except Exception:  # the last line of defence: the next request is not lost over this one
            logger.exception("webhook %s was not told", _shown(delivery.address))

    def _ask(self, delivery: Delivery) -> None:
        """Ask at a gate, once and within the time limit: 2xx is go, 4xx is no, all else is later.

        A body `{"decision": "go" | "later" | "no", "reason": ...}` of a 2xx has the last word.
        """
        try:
            status, body = webhook_request.post(delivery, self._secret, self._timeout)
        except Unanswered as error:
            raise HookPostponed(
                f"no answer: {error}; start what answers there, or set webhook_gates to false"
            ) from None
        decision, why = _decision(body)
        if 200 <= status < 300 and decision not in ("no", "later"):
            return
        if decision == "later" and status < 300:
            raise HookPostponed(why or "it asked to be asked again later")
        raise HookRejected(why or f"HTTP {status}")

    def _deliver(self, delivery: Delivery) -> tuple[int, bytes]:
        trying = self._outbox.trying(self._tries, lambda error: isinstance(error, Unanswered))
        return trying(webhook_request.post, delivery, self._secret, self._timeout)


def _decision(body: bytes) -> tuple[str, str]:
    """Return what an answer decides, and why; "" for one that says nothing of the kind."""
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(data, dict):
        return "", ""
    why = data.get("reason")
    return str(data.get("decision") or ""), " ".join(plain(why).split())[:WHY_LETTERS] if isinstance(why, str) else ""


def _shown(address: str) -> str:
    """Return an address for people: many carry a secret in their path."""
    scheme, _, rest = without_credentials(address).partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}/…"


def _digest(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:8]
