"""Holds one run to its limits while it is attended."""

from __future__ import annotations

import logging
import time

from components import gauge, process, stall, stop_order, transcript, vital_signs
from components.gauge import Gauge
from components.hearing import Hearing
from components.model import Held, Progress
from components.run_directory import RunDirectory
from components.spending import WARN_AT
from components.stall import Silence, Situation
from components.states import Reason
from components.stop_order import StopOrder
from components.tools import Tools

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
SHORTEST_LOOK_SECONDS = 0.05
LOOKS_PER_PERIOD = 20
BEHIND_REST = 0.1
"""How long to rest where more was printed than one look hears, as a share of what the look took."""
LINGER_SECONDS = 30.0
"""How long an agent may stay after its result while nothing that it started is at work."""


class Overseer:
    """Hears an agent and looks at it every so often; at a limit it has the agent stopped, once.

    Like a Pulse it tells when it is due. A look takes a tenth of a second at most, and a tenth of what it took it
    rests: an agent that prints without end is kept up with, and everything else gets its turn. Where the shim was
    killed it does what that would have done: hold the agent to its time and its output, and see a stop through.
    """

    def __init__(self, run: RunDirectory, held: Held, tools: Tools, linger: float | None = None) -> None:
        self._run = run
        self._held = held
        self._tools = tools
        self._linger = min(LINGER_SECONDS, tools.config.silence_timeout) if linger is None else linger
        self._hearing = Hearing(run.out, tools.executor.listener())
        self._gauges = tuple(gauge.gauges(run, held, tools))
        self._silence = Silence(time.monotonic())
        self._warned = set[str]()
        periods = (tools.config.silence_timeout, tools.config.tool_timeout, tools.config.after_result, self._linger)
        self._rest = max(SHORTEST_LOOK_SECONDS, min(LOOK_SECONDS, min(periods) / LOOKS_PER_PERIOD))
        self._due = time.monotonic()
        self._is_over = False
        if (order := stop_order.of(run)) is not None:
            self._stop(order)

    def due_in(self) -> float:
        """Return how long one may rest before the next look, in seconds."""
        return max(0.0, self._due - time.monotonic())

    def beat(self) -> None:
        """Look, if it is time to."""
        started = time.monotonic()
        if started < self._due:
            return
        if self._is_over:
            self._see_to_the_end()
        else:
            self._look(started)
        took = time.monotonic() - started
        self._due = started + took + (BEHIND_REST * took if self._hearing.is_behind else self._rest)

    def let_be(self) -> None:
        """Look no more at what it does: the agent was asked to end."""
        self._is_over = True

    def _see_to_the_end(self) -> None:
        if not process.lives(self._run, "shim"):
            process.clear(self._run)

    def _look(self, now: float) -> None:
        self._hearing.look()
        told = self._hearing.listener.progress()
        if order := self._over_limit(told) or self._over_silence(told, now):
            self._stop(order)

    def _stop(self, order: StopOrder) -> None:
        """Have the agent stopped; where a runner before us was interrupted in that, once more."""
        self._tools.ui.warning(f"Task {self._held.task.id}: ending its agent: {order.detail}")
        self.let_be()
        stop_order.give(self._run, order)

    def _over_limit(self, told: Progress) -> StopOrder | None:
        """Return the order that a number asks for; each is warned of once before."""
        for one in self._gauges:
            used = one.used(told)
            if used > one.limit and not (one.is_shims and process.lives(self._run, "shim")):
                return StopOrder(one.reason, f"it has used {one.words(used)}")
            if used >= WARN_AT * one.limit:
                self._warn(one, used)
        return None

    def _warn(self, one: Gauge, used: float) -> None:
        if one.setting not in self._warned and used > 0:
            self._warned.add(one.setting)
            self._tools.ui.warning(
                f"Task {self._held.task.id}: its agent has used {one.words(used)}, its limit is near"
            )

    def _over_silence(self, told: Progress, now: float) -> StopOrder | None:
        """Return the order that silence asks for; one that prints faster than it is heard is not silent."""
        self._silence.hear(now if self._hearing.is_behind else _life(told), now)
        situation = self._situation(told)
        self._warn_of_silence(situation, now)
        if not self._silence.wants_look(situation, now):
            return None
        record = transcript.find(told.session_id or self._held.session_id, self._tools.environment)
        finding = self._silence.examine(situation, vital_signs.signs(self._run, record, self._hearing.unheard))
        if finding.is_dead:
            is_done = situation.has_result and not (situation.is_waiting and finding.is_at_work)
            return StopOrder(None if is_done else Reason.STALLED, f"it was {finding.words}")
        if finding.words:
            self._tools.ui.info(f"Task {self._held.task.id}: its agent is {finding.words}")
        return None

    def _situation(self, told: Progress) -> Situation:
        config = self._tools.config
        if told.has_result and told.tool:
            return stall.waiting(config.after_result, config.tool_timeout)
        if told.has_result:
            return stall.after_result(self._linger, config.after_result)
        return stall.between_messages(told.tool, config.silence_timeout, config.tool_timeout)

    def _warn_of_silence(self, situation: Situation, now: float) -> None:
        lasts = self._silence.lasts(now)
        if not situation.has_result and lasts >= WARN_AT * situation.period and situation.setting not in self._warned:
            self._warned.add(situation.setting)
            self._tools.ui.warning(
                f"Task {self._held.task.id}: its agent has been silent {situation.words} for {lasts:.1f} s"
                f" of {situation.period:.6g} s ({situation.setting}), its limit is near"
            )


def _life(told: Progress) -> tuple[object, ...]:
    """Return what an agent that is not silent changes; asking the service again is bounded by the CLI itself."""
    return told.messages, told.tool, told.has_result, told.retries
