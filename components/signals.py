"""What the operator asked for by signals, and a wait that such a signal ends at once."""

from __future__ import annotations

import contextlib
import enum
import faulthandler
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType


class Intent(enum.IntEnum):
    """What is to become of the runner and of the agent at work; a later signal never weakens it, but for LEAVE."""

    RUN = 0
    FINISH = 1
    """Take nothing new; wait for the agent and see its task through."""
    STOP = 2
    """Stop the agent, report, exit."""
    LEAVE = 3
    """Exit now; the agent works on and the next start adopts it."""


TERM = {"leave": Intent.LEAVE, "wait": Intent.FINISH, "stop": Intent.STOP}
TAKEN = frozenset({signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1})
ANSWER_SECONDS = {Intent.FINISH: 5.0, Intent.STOP: 5.0, Intent.LEAVE: 1.0}
"""How long an answer is waited for that was asked for before a signal came; what hangs must not hold us."""
INTERRUPT = {Intent.RUN: Intent.FINISH, Intent.FINISH: Intent.STOP, Intent.STOP: Intent.LEAVE}


class Signals:
    """The signals of one process. Handlers only note the intent and wake the wait; no work is done in them."""

    def __init__(self, on_term: str = "leave") -> None:
        self.intent = Intent.RUN
        self._on_term = TERM[on_term]
        self._terms = 0
        self._asked_at = 0.0
        self.is_interrupted = False
        self.wants_reload = False
        self.on_dump: Callable[[], None] | None = None
        self._wants_dump = False
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    @staticmethod
    def hold_back() -> None:
        """Have the signals wait until `install`, so that none is lost, or ends us, while the program is loaded."""
        signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)

    def install(self) -> None:
        """Take over SIGTERM, SIGQUIT, SIGINT, SIGHUP and SIGUSR1 of this process; main thread only.

        SIGUSR1 also writes the stacks of all threads to the error output at once, even while something hangs.
        """
        signal.signal(signal.SIGTERM, self._term)
        signal.signal(signal.SIGQUIT, self._quit)
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGHUP, self._hang_up)
        signal.signal(signal.SIGUSR1, self._dump)
        with contextlib.suppress(OSError, ValueError, AttributeError):
            faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True, chain=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TAKEN)

    @property
    def is_draining(self) -> bool:
        """Whether nothing new may be taken."""
        return self.intent is not Intent.RUN

    def request(self, intent: Intent) -> None:
        """Ask for an intent, as a signal would."""
        self.intent = intent
        self._asked_at = time.monotonic()
        self._wake()

    def wait(self, seconds: float, fd: int | None = None) -> bool:
        """Rest for so long; True when `fd` became readable. A signal ends the rest at once."""
        poller = select.poll()
        poller.register(self._read, select.POLLIN)
        if fd is not None:
            poller.register(fd, select.POLLIN)
        ready = {number for number, _ in poller.poll(max(0.0, seconds) * 1000)}
        if self._read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._read, 4096)
        if self._wants_dump and self.on_dump is not None:
            self._wants_dump = False
            self.on_dump()
        return fd in ready

    def wait_for_answer(self, fd: int, began: float, deadline: float) -> bool:
        """Wait until `fd` is readable; False when the deadline came first, or the operator cannot wait so long.

        `began` is when the answer was asked for; both are of the monotonic clock. A runner that stops its agent still
        asks the server to tell the end, but has less time for each answer.
        """
        while True:
            left = min(deadline, self._last_moment(began)) - time.monotonic()
            if left <= 0:
                return False
            if self.wait(left, fd):
                return True

    def _last_moment(self, began: float) -> float:
        is_later = began > self._asked_at
        if self.intent is Intent.RUN or (is_later and self.intent is Intent.FINISH):
            return math.inf
        return ANSWER_SECONDS[self.intent] + (
            max(began, self._asked_at) if self.intent is Intent.STOP else self._asked_at
        )

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b".")

    def _term(self, _number: int, _frame: FrameType | None) -> None:
        self._terms += 1
        self.request(self._on_term if self._terms == 1 else Intent.STOP)

    def _quit(self, _number: int, _frame: FrameType | None) -> None:
        self.request(Intent.STOP)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.is_interrupted = True
        self.request(INTERRUPT.get(self.intent, Intent.LEAVE))

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self.wants_reload = True
        self._wake()

    def _dump(self, _number: int, _frame: FrameType | None) -> None:
        self._wants_dump = True
        self._wake()
