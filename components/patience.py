"""Asking again, with growing rests, for as long as the source of tasks does not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, wait_random_exponential

from components.errors import Draining, RunnerError, SourceUnavailable, Unauthorized
from components.signals import Intent, Signals
from components.terminal_ui import TerminalUI

T = TypeVar("T")

LONGEST_REST_SECONDS = 300.0


class Patience:
    """Calls that may fail for a while are repeated for ever; the operator is told once, and once when it is over.

    What is repeated must look before it acts, as every step does.
    """

    def __init__(self, signals: Signals, ui: TerminalUI) -> None:
        self._signals = signals
        self._ui = ui
        self._is_out = False

    def __call__(
        self,
        call: Callable[[], T],
        *,
        gives_up_draining: bool = False,
        waits_for: tuple[type[RunnerError], ...] = (SourceUnavailable, Unauthorized),
    ) -> T:
        """Return what the call returns, when it does. Raises Draining when the operator does not want to wait."""

        def is_over(_state: RetryCallState) -> bool:
            intent = self._signals.intent
            return intent is Intent.LEAVE or (gives_up_draining and intent is not Intent.RUN)

        retrying = Retrying(
            retry=retry_if_exception_type(waits_for),
            wait=wait_random_exponential(multiplier=1, max=LONGEST_REST_SECONDS),
            sleep=self._rest,
            stop=is_over,
            before_sleep=self._say,
        )
        try:
            value = retrying(call)
        except RetryError as error:
            raise Draining("stopped while the source of tasks did not answer") from error
        if self._is_out:
            self._is_out = False
            self._ui.success("The source of tasks answers again")
        return value

    def _rest(self, seconds: float) -> None:
        self._signals.wait(seconds)

    def _say(self, state: RetryCallState) -> None:
        if not self._is_out and state.outcome is not None:
            self._is_out = True
            self._ui.warning(f"{state.outcome.exception()}. Trying again until it answers; nothing is lost meanwhile")
