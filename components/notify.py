"""Tells people of events, by a thread of its own: no task waits for it, and none is lost over it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from components import notice, notifiers, webhook_request
from components.config import Config
from components.errors import NotTold
from components.event import Event, Notice
from components.hook_payload import Moment
from components.outbox import Outbox
from components.redact import Redactor, within

if TYPE_CHECKING:
    from components.hook_runner import HookRunner
    from components.ports import Notifier

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 200


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
        self._outbox = Outbox("notices", QUEUE_LENGTH, self._tell)

    def attach(self, hooks: HookRunner) -> None:
        """Hear of the ends of tasks and of errors as hooks do."""
        hooks.register(Moment.POST_TASK, self._ended, "notify-post_task")
        hooks.register(Moment.ERROR, lambda payload: self._send(notice.of_error(payload)), "notify-error")

    def close(self, timeout: float = 5.0) -> None:
        """Tell what is left for at most so many seconds; what is left then is dropped, which is logged."""
        self._outbox.close(timeout)

    def _ended(self, payload: Mapping[str, object]) -> None:
        self._send(notice.of_end(payload))
        today = datetime.now(UTC).date().isoformat()
        left, limit = self._budget_left(), self._config.daily_budget_usd
        if limit is not None and left is not None and left <= 0 and self._told_day != today:
            self._told_day = today
            self._send(notice.of_budget(self._config.agent_id, limit))

    def _send(self, one: Notice | None) -> None:
        """Have every notifier tell a notice."""
        if one is None or one.event not in self._wanted:
            return
        clean = Notice(one.event, self._redact(one.title), self._redact(one.text), within(one.facts, self._redact))
        self._outbox.put(*((shown, notifier, clean) for shown, notifier in self._notifiers))

    def _tell(self, entry: tuple[str, Notifier, Notice]) -> None:
        shown, notifier, one = entry
        try:
            self._outbox.trying(self._config.webhook_tries, _is_passing)(notifier.tell, one)
        except NotTold as error:
            logger.warning("%s was not told that a task is %s: %s", shown, one.event, error)
        except Exception as error:  # the last line of defence: a library's message may hold the address
            logger.warning("%s was not told that a task is %s: %s", shown, one.event, type(error).__name__)


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, NotTold) and not error.is_final


__all__ = ["Event", "Notifications"]
