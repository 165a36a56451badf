"""The entries that a worker has: each performed until it ends, is cancelled, or is not ours any more."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from components.errors import Draining, StoreUnavailable, TaskTaken
from components.ports import Performer, QueueEntry
from components.queue_claims import LeftAlone
from components.queue_ledger import State

logger = logging.getLogger(__name__)

TRIES = 3
"""How often an entry is tried on a machine in trouble before another machine shall have it."""
FIRST_REST = 1.0
LONGEST_REST = 60.0
AILING_REST = 60.0
"""How long a worker whose machine is in trouble takes nothing new."""


@dataclass(slots=True)
class InHand:
    """An entry that this worker has; `entry` is None until it is begun."""

    entry: QueueEntry | None = None
    is_cancelled: bool = False
    is_lost: bool = False
    since: float = field(default_factory=time.monotonic)


class Performing:
    """What is in hand. `on_end` is told when one is done with.

    By its key `give_back` lets others have an entry, and `let_go` tells that one was ended as somebody wanted.
    """

    def __init__(
        self,
        performer: Performer,
        give_back: Callable[[str], object],
        let_go: Callable[[str], object],
        on_end: Callable[[], None],
    ) -> None:
        self._performer = performer
        self._give_back = give_back
        self._let_go = let_go
        self._on_end = on_end
        self._in_hand: dict[str, InHand] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._well_at = 0.0
        self.is_leaving = self.is_handing_over = False
        self.performed = 0

    def __len__(self) -> int:
        return len(self._in_hand)

    @property
    def is_ailing(self) -> bool:
        """Was there trouble with this machine a short while ago?"""
        return time.monotonic() < self._well_at

    def entries(self) -> list[QueueEntry]:
        """Return what was begun and goes on."""
        with self._lock:
            return [one.entry for one in self._in_hand.values() if one.entry]

    def keys(self) -> list[str]:
        """Return the keys of all that is in hand."""
        with self._lock:
            return list(self._in_hand)

    def hold(self, keys: Collection[str]) -> None:
        """Count entries as in hand, before they are begun."""
        with self._lock:
            for key in keys:
                self._in_hand[key] = InHand()

    def end(self, entries: Mapping[str, QueueEntry]) -> None:
        """End entries whose worker had died when, or after, somebody wanted their end; each in a thread of its own."""
        for key, entry in entries.items():
            with self._lock:
                self._in_hand[key] = InHand(entry, is_cancelled=True)
            threading.Thread(target=self._end, args=(key, entry), name=f"end-{key}", daemon=True).start()

    def _end(self, key: str, entry: QueueEntry) -> None:
        with contextlib.suppress(LeftAlone):
            self.perform(key, entry)

    def drop(self, key: str) -> None:
        """Count an entry as in hand no more."""
        with self._lock:
            self._in_hand.pop(key, None)

    def note(self, states: Mapping[str, State], keys: Collection[str], life: str) -> None:
        """Take in what the queue says of entries: cancelled, or another's by now, or waiting for another."""
        with self._lock:
            for key in set(keys) & self._in_hand.keys():
                state, one = states.get(key), self._in_hand[key]
                one.is_lost = state is None or state.owner != life or state.status == "ENQUEUED"
                one.is_cancelled = not one.is_lost and state is not None and state.status == "CANCELLED"

    def perform(self, key: str, entry: QueueEntry) -> None:
        """Bring one entry to its end. Raises LeftAlone where the end is not ours to record."""
        with self._lock:
            one = self._in_hand.setdefault(key, InHand())
            one.entry = entry
        try:
            self._try(key, entry, one)
            self.performed += 1
            if one.is_cancelled:
                self._let_go(key)
        except (Draining, TaskTaken) as error:
            logger.info("%s is left: %s", key, error)
            raise LeftAlone from None
        finally:
            self.drop(key)
            self._on_end()
        if one.is_lost or one.is_cancelled:
            raise LeftAlone

    def _try(self, key: str, entry: QueueEntry, one: InHand) -> None:
        """Perform until there is an end. An absent store is waited for; a machine in trouble gives up in the end."""
        rest, tries = FIRST_REST, 0
        is_cancelled = self._asked(one)
        while True:
            try:
                self._performer.perform(entry, is_cancelled)
                self._well_at = 0.0
                return
            except (Draining, TaskTaken):
                raise
            except StoreUnavailable as error:
                logger.warning("%s waits for the store: %s", key, error)
            except Exception:
                tries += 1
                self._give_up(key, tries)
            self._stop.wait(rest)
            rest = min(2 * rest, LONGEST_REST)
            is_cancelled()

    def _give_up(self, key: str, tries: int) -> None:
        logger.exception("%s cannot be performed here (%d of %d tries)", key, tries, TRIES)
        self._well_at = time.monotonic() + AILING_REST
        if tries >= TRIES:
            self._give_back(key)
            raise TaskTaken("another worker shall try it")

    def _asked(self, one: InHand) -> Callable[[], bool]:
        def is_cancelled() -> bool:
            if one.is_lost:
                raise TaskTaken("another attempt has taken the place of this one")
            if self.is_handing_over:
                raise TaskTaken("this worker stops; another one goes on")
            if self.is_leaving:
                raise Draining("this worker leaves; what it has goes on without it")
            return one.is_cancelled

        return is_cancelled

    def leave(self) -> None:
        """Let go of all that is at work: it goes on, and is adopted by the next start."""
        self.is_leaving = True
        self._stop.set()

    def hand_over(self) -> None:
        """Stop all that is at work, for other workers to go on with."""
        self.is_handing_over = True
        self._stop.set()
