"""Asking again, with rests between, for as long as something passing is in the way: the server, the disk, git."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    wait_exponential,
    wait_random_exponential,
)

from components.errors import Draining, GitFailed, RunnerError, SourceRefused, SourceUnavailable, Unauthorized
from components.signals import Intent, Signals
from components.terminal_ui import TerminalUI

T = TypeVar("T")

LONGEST_REST_SECONDS = 300.0
KNOCK_SECONDS = 4.0
HERE_SECONDS = 3.0
"""How often to look at a trouble of this machine: it costs nobody else anything."""
SILENT_SECONDS = 60.0
"""How long the server may hear nothing of a runner that looks at such a trouble only: its locks are to stay."""
TROUBLE_HERE = (OSError, GitFailed)
PASSING = (SourceUnavailable, SourceRefused, Unauthorized, GitFailed)
"""A refusal passes, too: a proxy's page for a minute, a key that is changed, a server of another version."""
BRIEF_TRIES = 5
"""With the rests between them, these take 7.5 s."""
STOP_SECONDS = 5.0
"""How long a runner that is to stop goes on asking; the journal keeps what could not be told."""


class Patience:
    """Calls that may fail for a while are repeated for ever; the operator is told once, and once when it is over.

    What is repeated must look before it acts, as every step does. `knock` asks the source whether it is there at all:
    one that was not and is again ends a rest early, so that an outage of hours is over within seconds.
    """

    def __init__(self, signals: Signals, ui: TerminalUI, knock: Callable[[], object]) -> None:
        self._signals = signals
        self._ui = ui
        self._knock = knock
        self._told: set[str] = set()
        self._knocked = time.monotonic()

    def __call__(
        self,
        call: Callable[[], T],
        *,
        gives_up_draining: bool = False,
        gives_up_after: float | None = None,
        waits_for: tuple[type[RunnerError], ...] = PASSING,
    ) -> T:
        """Return what the call returns, when it does. Raises Draining when the operator does not want to wait.

        `gives_up_after` is in seconds.
        """

        def is_over(state: RetryCallState) -> bool:
            intent = self._signals.intent
            if intent is Intent.STOP and (state.seconds_since_start or 0) > STOP_SECONDS:
                return True
            if gives_up_after is not None and (state.seconds_since_start or 0) > gives_up_after:
                return True
            return intent is Intent.LEAVE or (gives_up_draining and intent is not Intent.RUN)

        retrying = Retrying(
            retry=retry_if_exception_type((*waits_for, OSError)),
            wait=lambda state: min(self._rest_after(state), gives_up_after or LONGEST_REST_SECONDS),
            sleep=self._rest,
            stop=is_over,
            before_sleep=self._say,
        )
        try:
            value = retrying(call)
        except RetryError as error:
            raise Draining(f"stopped while waiting: {error.last_attempt.exception()}") from error
        if self._told:
            self._told.clear()
            self._ui.success("It works again; going on")
        return value

    def _rest_after(self, state: RetryCallState) -> float:
        """A full disk, or git, is looked at every 3 s; a source gets rests that grow to 5 min, with jitter."""
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TROUBLE_HERE):
            return HERE_SECONDS
        return wait_random_exponential(multiplier=1, max=LONGEST_REST_SECONDS)(state)

    def _rest(self, seconds: float) -> None:
        """Rest for so long, or until a source that was away is back, or until a signal asks for something."""
        wake = time.monotonic() + seconds
        intent = self._signals.intent
        if intent is Intent.STOP:
            wake = min(wake, time.monotonic() + 1.0)
        was_away = False
        while (left := wake - time.monotonic()) > 0 and self._signals.intent is intent:
            self._signals.wait(min(left, KNOCK_SECONDS * random.uniform(0.75, 1.25)))  # noqa: S311
            if self._signals.intent is not intent or (seconds <= KNOCK_SECONDS and not self._is_silent()):
                continue
            if self._is_there():
                if was_away:
                    return
            else:
                was_away = True

    def _is_silent(self) -> bool:
        return time.monotonic() - self._knocked > SILENT_SECONDS

    def _is_there(self) -> bool:
        """Knock; whatever is wrong there, it is no trouble of whoever rests."""
        self._knocked = time.monotonic()
        try:
            self._knock()
        except (RunnerError, OSError):
            return False
        return True

    def _say(self, state: RetryCallState) -> None:
        """Tell each kind of trouble once, not each time."""
        error = state.outcome.exception() if state.outcome else None
        kind = type(error).__name__
        if error is not None and kind not in self._told:
            self._told.add(kind)
            self._ui.warning(f"{_sentence(error)}. Trying again until it works; nothing is lost meanwhile")


def briefly(call: Callable[[], T], trouble: type[RunnerError], signals: Signals, ui: TerminalUI) -> T:
    """Return what a call at the start returns; a trouble that may be a mistake of the operator is met a few times."""

    def is_over(state: RetryCallState) -> bool:
        return state.attempt_number >= BRIEF_TRIES or signals.is_draining

    def rest(seconds: float) -> None:
        signals.wait(seconds)

    def say(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            ui.warning(f"{_sentence(state.outcome.exception())}. Trying again for a moment")

    retrying = Retrying(
        retry=retry_if_exception_type(trouble),
        wait=wait_exponential(0.5),
        sleep=rest,
        stop=is_over,
        before_sleep=say,
        reraise=True,
    )
    return retrying(call)


def _sentence(error: BaseException | None) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or 'writing the state'}"
    return str(error).rstrip(".")
