"""Tells addresses of the moments of a task's life, with the JSON that hooks get.

What is only told goes by a thread of its own: no task waits for it. What is asked (a gate, where `webhook_gates` says
so) is asked within the time limit.
"""

from __future__ import annotations

import collections
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import tenacity

from components import webhook_request
from components.api_url import without_credentials
from components.config import Config
from components.errors import HookPostponed, HookRejected
from components.hook_payload import GATES, Moment, moment_named
from components.redact import Redactor, plain
from components.webhook_request import Delivery, Unanswered

if TYPE_CHECKING:
    from components.hook_runner import HookRunner

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 1000
WAIT_SECONDS, LONGEST_WAIT = 0.5, 10.0
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
        self._queue: collections.deque[Delivery] = collections.deque(maxlen=QUEUE_LENGTH)
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ends = threading.Event()

    def attach(self, hooks: HookRunner) -> None:
        """Have the addresses told, or asked, whenever the hooks of their moment run."""
        for moment, addresses in self._addresses.items():
            for address in addresses:
                hooks.register(moment, self._hook(moment, address), f"webhook-{moment}-{_digest(address)}")

    def close(self, timeout: float = 5.0) -> None:
        """Tell what is left for at most so many seconds; what is left then is dropped, which is logged."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        self._ends.set()
        if self._queue:
            logger.warning("%d webhooks were not told before the end", len(self._queue))

    def _hook(self, moment: Moment, address: str) -> Callable[[Mapping[str, object]], object]:
        act = self._ask if moment in self._gates else self._tell

        def webhook(payload: Mapping[str, object]) -> object:
            return act(Delivery(address, json.dumps(_clean(payload, self._redact), ensure_ascii=False).encode()))

        webhook.__qualname__ = f"webhook {_shown(address)}"
        return webhook

    def _tell(self, delivery: Delivery) -> None:
        """Put a request into the queue, and see that somebody works on it."""
        with self._turn:
            if len(self._queue) == QUEUE_LENGTH:
                logger.warning("webhook %s: the queue is full, the oldest is dropped", _shown(delivery.address))
            self._queue.append(delivery)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            with self._turn:
                if not self._queue or self._ends.is_set():
                    self._thread = None
                    return
                delivery = self._queue.popleft()
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
        trying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Unanswered),
            stop=tenacity.stop_after_attempt(self._tries) | tenacity.stop_when_event_set(self._ends),
            wait=tenacity.wait_random_exponential(WAIT_SECONDS, LONGEST_WAIT),
            sleep=tenacity.sleep_using_event(self._ends),
            reraise=True,
        )
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


def _clean(value: object, redact: Callable[[str], str]) -> object:
    """Return JSON with every text redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(name): _clean(one, redact) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(one, redact) for one in value]
    return value


def _shown(address: str) -> str:
    """Return an address for people: many carry a secret in their path."""
    scheme, _, rest = without_credentials(address).partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}/…"


def _digest(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:8]
