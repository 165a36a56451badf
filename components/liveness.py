"""Notices workers that have died, and has what they had in hand taken over: never twice, and never from the living.

In one place (a home on a machine) the kernel tells: it frees a dead worker's lock, and a survivor adopts what it had,
agents at work included, within a second. Between machines there are only beats, by the database's clock. Who was not
heard for a whole time to live loses its entries to the next attempt; the database hands each to one of those who ask.

An outage of the database silences all workers alike. So nobody judges others before it has itself been heard for one
time to live without a gap: by then every living worker was heard again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from components import doorbell
from components.errors import StoreUnavailable
from components.queue_database import WorkerRow
from components.queue_ledger import Ledger

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often to look for dead workers of this place; it costs some microseconds and no question to the database."""
BEATS = 9
"""Beats in one time to live: several may be lost."""
GAP_BEATS = 2.5
"""Beats that may be missing before a worker must take it that nobody was heard."""
FORGET_SECONDS = 3600.0
KEPT_SECONDS = 30 * 86400.0
"""How long the queue remembers what has ended: a key that is told again within this time changes nothing."""


class Liveness:
    """Beats for one worker, and judges the others.

    `adopt` takes over what a dead life of this place had, `end_cancelled` ends what a dead life had to end.
    """

    def __init__(
        self,
        ledger: Ledger,
        home: Path,
        row: WorkerRow,
        ttl: float,
        adopt: Callable[[str], None],
        end_cancelled: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._home = home
        self._row = row
        self._ttl = ttl
        self._adopt = adopt
        self._end_cancelled = end_cancelled
        self._interval = min(10.0, ttl / BEATS)
        self._place = doorbell.place_of(row.life)
        self._heard_since = self._last_beat = time.monotonic()
        self._forget_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Go on until told to stop. An outage of the database is waited for."""
        beat_at = 0.0
        while not stop.is_set():
            try:
                self.adopt_the_dead(doorbell.dead(self._home, self._place))
                if time.monotonic() >= beat_at:
                    beat_at = time.monotonic() + self._interval
                    self.beat()
            except StoreUnavailable as error:
                logger.debug("%s", error)
            except Exception:
                logger.exception("the look after other workers failed; it is repeated")
            stop.wait(min(LOOK_SECONDS, self._interval))

    def beat(self) -> None:
        """Be heard; then see who was not, if we were heard for long enough ourselves."""
        self._ledger.database.beat(self._row)
        now = time.monotonic()
        if now - self._last_beat > GAP_BEATS * self._interval:
            self._heard_since = now
        self._last_beat = now
        owners = self._ledger.owners() - {self._row.life}
        ours = {life for life in owners if doorbell.place_of(life) == self._place}
        self.adopt_the_dead(life for life in ours if not doorbell.is_alive(self._home, life))
        if now - self._heard_since >= self._ttl:
            self._judge(owners - ours)
        self._forget(now)

    def adopt_the_dead(self, lives: Iterable[str]) -> None:
        """Take over what dead workers of this place had, and bury them."""
        for life in lives:
            self._adopt(life)
            self._end_cancelled(life)
            self._ledger.database.sign_out(life)
            doorbell.bury(self._home, life)

    def _judge(self, owners: set[str]) -> None:
        """Have the next attempt made at what workers of other machines had that were not heard for a time to live."""
        heard = {row.life: row for row in self._ledger.database.workers()}
        silent = {life for life, row in heard.items() if row.age >= self._ttl}
        for life in (owners - heard.keys()) | (owners & silent):
            self._end_cancelled(life)
            given = self._ledger.give_back(life, self._ledger.in_hand(life))
            who = f"{heard[life].name} on {heard[life].host}" if life in heard else life
            what = f"{given} entr{'y goes' if given == 1 else 'ies go'} to others"
            logger.warning("worker %s was not heard for %.0f s; %s", who, self._ttl, what)
        for life in silent - {self._row.life}:
            if doorbell.place_of(life) != self._place or not doorbell.is_alive(self._home, life):
                self._ledger.database.sign_out(life)
                doorbell.bury(self._home, life)

    def _forget(self, now: float) -> None:
        if now >= self._forget_at:
            self._forget_at = now + FORGET_SECONDS
            while self._ledger.forget(KEPT_SECONDS):
                continue
