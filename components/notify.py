"""Tells people of events, by a thread of its own: no task waits for it, and none is lost over it."""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import tenacity

from components import notice, notifiers, webhook_request
from components.config import Config
from components.errors import NotTold
from components.event import Event, Notice
from components.hook_payload import Moment
from components.redact import Redactor

if TYPE_CHECKING:
    from components.hook_runner import HookRunner
    from components.ports import Notifier

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 200
WAIT_SECONDS, LONGEST_WAIT = 0.5, 10.0


class Notifications:
    """The notices of one runner. `budget_left` tells how much of the day's budget is left in USD, None for no limit.

    Raises ConfigError for an address that nothing can tell.
    """

    def __init__(
        self,
        config: Config,
        redact: Callable[[str], str] | None = None,
        budget_left: Callable[[], float | None] = lambda: None,
    ) -> None:
        secret = webhook_request.secret_of(config.webhook_secret_file)
        self._notifiers = [
            (notifiers.shown(one), notifiers.made(one, config.webhook_timeout, secret)) for one in config.notify
        ]
        self._config = config
        self._wanted = frozenset(config.notify_on)
        self._redact = redact or Redactor()
        self._budget_left = budget_left
        self._told_day = ""
        self._queue: collections.deque[tuple[str, Notifier, Notice]] = collections.deque(maxlen=QUEUE_LENGTH)
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ends = threading.Event()

    def attach(self, hooks: HookRunner) -> None:
        """Hear of the ends of tasks and of errors as hooks do."""
        hooks.register(Moment.POST_TASK, self._ended, "notify-post_task")
        hooks.register(Moment.ERROR, lambda payload: self._send(notice.of_error(payload)), "notify-error")

    def close(self, timeout: float = 5.0) -> None:
        """Tell what is left for at most so many seconds; what is left then is dropped, which is logged."""
        thread, deadline = self._thread, time.monotonic() + timeout
        if thread is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._ends.set()
        if self._queue:
            logger.warning("%d notices were not told before the end", len(self._queue))

    def _ended(self, payload: Mapping[str, object]) -> None:
        self._send(notice.of_end(payload))
        today = datetime.now(UTC).date().isoformat()
        left, limit = self._budget_left(), self._config.daily_budget_usd
        if limit is not None and left is not None and left <= 0 and self._told_day != today:
            self._told_day = today
            self._send(notice.of_budget(self._config.agent_id, limit))

    def _send(self, one: Notice | None) -> None:
        """Put a notice into the queue for every notifier, and see that somebody works on it."""
        if one is None or one.event not in self._wanted:
            return
        clean = Notice(one.event, self._redact(one.title), self._redact(one.text), _clean(one.facts, self._redact))
        with self._turn:
            self._queue.extend((shown, notifier, clean) for shown, notifier in self._notifiers)
            if self._thread is None and not self._ends.is_set():
                self._thread = threading.Thread(target=self._work, name="notify", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            with self._turn:
                if not self._queue or self._ends.is_set():
                    self._thread = None
                    return
                shown, notifier, one = self._queue.popleft()
            try:
                self._trying()(notifier.tell, one)
            except NotTold as error:
                logger.warning("%s was not told that a task is %s: %s", shown, one.event, error)
            except Exception as error:  # the last line of defence: a library's message may hold the address
                logger.warning("%s was not told that a task is %s: %s", shown, one.event, type(error).__name__)

    def _trying(self) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, NotTold) and not error.is_final),
            stop=tenacity.stop_after_attempt(self._config.webhook_tries) | tenacity.stop_when_event_set(self._ends),
            wait=tenacity.wait_random_exponential(WAIT_SECONDS, LONGEST_WAIT),
            sleep=tenacity.sleep_using_event(self._ends),
            reraise=True,
        )


def _clean(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(name): _clean(inner, redact) for name, inner in value.items()}
    return [_clean(inner, redact) for inner in value] if isinstance(value, list | tuple) else value


__all__ = ["Event", "Notifications"]
