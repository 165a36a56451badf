"""A worker: looks for entries when woken or by the clock, and has as many at once as it may.

One thread looks, one watches over the living and the dead, and each entry has its own. An entry's key in the queue
never changes; which attempt it is may: what was lost with its machine comes again as the next.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components import doorbell
from components.doorbell import Doorbell
from components.errors import StoreUnavailable
from components.liveness import Liveness
from components.performing import Performing
from components.ports import Performer, QueueEntry
from components.queue_claims import Claim, Claims
from components.queue_database import QueueDatabase, WorkerRow
from components.queue_ledger import ANY_ROLE

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
"""How often to look whether an entry in hand was cancelled, or is another's; a ring makes it at once."""
GATHER_SECONDS = 0.01
"""How long to wait, where an entry has ended, whether others end too: what ends together is followed by one look."""
JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker takes, and how often it looks. No `roles` are all; a limit of None is none. Times are seconds."""

    name: str
    roles: tuple[str, ...] = ()
    concurrency: int = 4
    limit: int | None = None
    role_limits: Mapping[str, int] = field(default_factory=dict)
    poll: float = 5.0
    ttl: float = 90.0


class QueueWorker:
    """One worker, for one process. Sign in, give it its claims, start; in the end drain, leave or hand over."""

    def __init__(self, home: Path, database: QueueDatabase, performer: Performer, terms: Terms, version: str) -> None:
        self.terms = terms
        self.life = doorbell.new_life(home)
        self._home = home
        self._database = database
        who = (terms.name, doorbell.host(), doorbell.process(), ",".join(terms.roles))
        self._row = WorkerRow(self.life, *who, terms.concurrency, version)
        self._performing = Performing(performer, self._give_back, self._let_go, self._wake)
        self._unbegun: list[Claim] = []
        self._stop = threading.Event()
        self._is_draining = False
        self._outage_since = self._watched_at = 0.0
        self._threads: list[threading.Thread] = []
        self.claims: Claims
        self._bell: Doorbell

    def sign_in(self) -> None:
        """Take the name. Raises AgentIdInUse where a living worker has it, and StoreUnavailable."""
        self._bell = Doorbell(self._home, self.life)
        try:
            self._database.sign_in(self._row, self._is_alive)
        except BaseException:
            self._bell.close()
            raise

    def _is_alive(self, other: WorkerRow) -> bool:
        if doorbell.place_of(other.life) == doorbell.place_of(self.life):
            return doorbell.is_alive(self._home, other.life)
        return other.age < self.terms.ttl

    def start(self) -> None:
        """Look for work until told to leave."""
        liveness = Liveness(self.claims, self._home, self._row, self.terms.ttl, self.adopt, self.end_cancelled)
        self._threads = [
            threading.Thread(target=self._run, name="queue-look", daemon=True),
            threading.Thread(target=liveness.run, args=(self._stop,), name="queue-liveness", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def perform(self, key: str, entry: QueueEntry) -> None:
        """Bring one entry to its end; for DBOS to call. Raises LeftAlone where the end is not ours to record."""
        self._performing.perform(key, entry)

    @property
    def in_hand(self) -> list[QueueEntry]:
        """What this worker has at work."""
        return self._performing.entries()

    @property
    def performed(self) -> int:
        """How many entries it has brought to their end."""
        return self._performing.performed

    @property
    def is_idle(self) -> bool:
        """Has it nothing in hand?"""
        return not len(self._performing)

    @property
    def is_cut_off(self) -> bool:
        """Is the database away?"""
        return self._outage_since > 0

    def _run(self) -> None:
        is_due = True
        while not self._stop.is_set():
            try:
                self._look(is_due)
            except StoreUnavailable as error:
                self._note_outage(error)
            except Exception:
                logger.exception("the look for work failed; it is repeated")
            heard = self._bell.wait(self.terms.poll if self.is_idle else min(self.terms.poll, WATCH_SECONDS))
            is_due = not heard or doorbell.OUTSIDE in heard
            if not is_due and not self.is_idle:
                is_due = doorbell.OUTSIDE in self._bell.wait(GATHER_SECONDS)

    def _look(self, is_due: bool) -> None:
        """See what is new; `is_due` says that what is in hand may have changed too, and not only ended."""
        if is_due or time.monotonic() >= self._watched_at + WATCH_SECONDS:
            self._watch()
        for claim in self._unbegun[:]:
            self._begin(claim)
            self._unbegun.remove(claim)
        self._take_all()
        if self._outage_since:
            logger.warning("the queue's database is back after %.0f s", time.monotonic() - self._outage_since)
            self._outage_since = 0.0

    def _take_all(self) -> None:
        """Take what there is room for, in its order; roles that gave less than they seemed to have are left out."""
        without: list[str] = []
        while (free := self._free()) > 0:
            roles = self.claims.waiting(free, [role or ANY_ROLE for role in self.terms.roles], without)
            for role, count in Counter(roles).items():
                if self._take(role, min(count, self._free())) < count:
                    without.append(role)
            if len(roles) < free:
                return

    def _watch(self) -> None:
        """See which entries were cancelled, and which are not ours any more."""
        self._watched_at = time.monotonic()
        keys = self._performing.keys()
        if keys:
            self._performing.note(self.claims.states(keys), keys, self.life)

    def _free(self) -> int:
        may_take = not (self._is_draining or self._performing.is_ailing)
        return self.terms.concurrency - len(self._performing) if may_take else 0

    def _take(self, role: str, count: int) -> int:
        if count <= 0:
            return 0
        self._hold(claim := self.claims.claim(role, count, self.terms.limit, self.terms.role_limits.get(role)))
        return len(claim.keys)

    def adopt(self, life: str) -> None:
        """Take over what a dead worker of this place had: its agents may be at work, so also beyond our limit."""
        if self._is_draining:
            raise StoreUnavailable("this worker takes nothing over any more")
        claim = self.claims.adopt(life)
        if claim.keys:
            logger.warning("a worker of this machine has died; taking over %s", ", ".join(claim.keys))
        self._hold(claim)

    def end_cancelled(self, life: str) -> None:
        """End what a dead worker had, and somebody wanted the end of."""
        if not self._is_draining:
            self._performing.end(self.claims.adopt_cancelled(life))

    def _hold(self, claim: Claim) -> None:
        """Begin what we claimed. If the database goes away just now, the entries are ours and are begun later."""
        self._performing.hold(claim.keys)
        try:
            self._begin(claim)
        except StoreUnavailable:
            self._unbegun.append(claim)
            raise

    def _begin(self, claim: Claim) -> None:
        if claim.keys:
            for key in set(claim.keys) - self.claims.begin(claim):
                self._performing.drop(key)

    def _note_outage(self, error: StoreUnavailable) -> None:
        if not self._outage_since:
            self._outage_since = time.monotonic()
            logger.warning("%s; agents work on, and nothing new is taken until it is back", error)

    def _give_back(self, key: str) -> None:
        self.claims.give_back(self.life, [key])

    def _let_go(self, key: str) -> None:
        self.claims.let_go(key)

    def _wake(self) -> None:
        if not self._stop.is_set():
            self._bell.ring()

    def drain(self) -> None:
        """Take nothing new."""
        self._is_draining = True

    def leave(self) -> None:
        """Take nothing new, and let go of what is at work: it goes on, and is adopted by the next start."""
        self.drain()
        self._performing.leave()

    def hand_over(self) -> None:
        """Take nothing new, stop what is at work, and let other workers have it as the next attempt."""
        self.drain()
        self._performing.hand_over()

    def close(self) -> None:
        """Stop looking. What was left at work belongs to this life until it is taken over; else nothing remains."""
        self.drain()
        self._stop.set()
        self._bell.ring()
        for thread in self._threads:
            thread.join(timeout=JOIN_SECONDS)
        if self._leaves_something():
            self._bell.fall_silent()
        else:
            self._bell.close()

    def _leaves_something(self) -> bool:
        """Give back what was stopped; tell whether anything goes on without us."""
        try:
            left = self.claims.in_hand(self.life)
            if left and self._performing.is_handing_over and self.is_idle:
                self.claims.give_back(self.life, left)
                left = []
            if not left:
                self._database.sign_out(self.life)
        except StoreUnavailable as error:
            logger.info("%s", error)
            return True
        return bool(left)
