"""What the operator asked for by signals, and a wait that such a signal ends at once."""

from __future__ import annotations

import contextlib
import enum
import faulthandler
import os
import select
import signal
import sys
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
INTERRUPT = {Intent.RUN: Intent.FINISH, Intent.FINISH: Intent.STOP, Intent.STOP: Intent.LEAVE}


class Signals:
    """The signals of one process. Handlers only note the intent and wake the wait; no work is done in them."""

    def __init__(self, on_term: str = "leave") -> None:
        self.intent = Intent.RUN
        self._on_term = TERM[on_term]
        self._terms = 0
        self.is_interrupted = False
        self.wants_reload = False
        self.on_dump: Callable[[], None] | None = None
        self._wants_dump = False
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

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

    @property
    def is_draining(self) -> bool:
        """Whether nothing new may be taken."""
        return self.intent is not Intent.RUN

    def request(self, intent: Intent) -> None:
        """Ask for an intent, as a signal would."""
        self.intent = intent
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
