"""Tells the history what a runner does, without ever delaying or losing a task over it."""

from __future__ import annotations

import collections
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components import history_entry, receipts
from components.errors import RunnerError, StateCorrupt
from components.model import Held
from components.run_directory import RunDirectory
from components.states import FINAL, Door, ExecutionStatus, Phase

if TYPE_CHECKING:
    from components.history_spool import Event
    from components.store import Store

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 1000
FIRST_REST, LONGEST_REST = 1.0, 60.0
"""Seconds between two tries to reach a store that is away."""


def _unchanged(text: str) -> str:
    return text


class History:
    """The history as a runner sees it: it tells, and never waits for an answer.

    What is told goes to a thread of its own, which is begun with the first of it and imports what a store needs. While
    the store is away it is kept in `<home>/spool/<agent>.jsonl` and told later, in order. What a killed runner had not
    told yet is found by `history_sync`, in journals and receipts.
    """

    def __init__(
        self,
        home: Path,
        store_url: str,
        *,
        agent_id: str,
        project: str,
        door: Door = Door.RUN,
        restarted_from: str = "",
        redact: Callable[[str], str] = _unchanged,
        say: Callable[[str], object] = logger.warning,
    ) -> None:
        self._home = home
        self._url = store_url
        self._agent_id = agent_id
        self._project = project
        self._door = door
        self._restarted_from = restarted_from
        self._redact = redact
        self._say = say
        self._spool = home / "spool" / f"{agent_id}.jsonl"
        self._queue: collections.deque[tuple[Held, float, dict[str, object]]] = collections.deque(maxlen=QUEUE_LENGTH)
        self._news = threading.Event()
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self._store: Store | None = None
        self._in_hand: set[str] = set()
        self._is_away = False
        self._is_suspect = False
        self._is_synced = False
        self._has_past = receipts.are_in(home / "runs")
        self._file: tuple[int, int] | None = None

    def note(self, held: Held, **facts: object) -> None:
        """Tell where the task in hand stands, after its journal is durable; also when it is DONE.

        `facts` are fields of Execution that the journal does not tell. Returns at once and never raises.
        """
        self._queue.append((held, time.time(), facts))
        self._news.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="history", daemon=True)
            self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Tell what is left for at most `timeout` seconds; what is left then is kept for the next start."""
        self._ends.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                self._keep(self._taken())

    def _work(self) -> None:
        rest = FIRST_REST
        try:
            while not (self._ends.is_set() and not self._queue):
                self._news.wait(rest if self._is_away else None)
                self._news.clear()
                self._pass_on(self._taken())
                rest = min(2 * rest, LONGEST_REST) if self._is_away else FIRST_REST
        except Exception:  # the last line of defence: no trouble of the history may reach the task
            logger.exception("the history of agent %s is not told any more until the next start", self._agent_id)
        finally:
            if self._store is not None:
                self._store.close()

    def _taken(self) -> list[Event]:
        """Take what is in the queue, as events; receipts and process ids are looked up now, not by the runner."""
        events = []
        while self._queue:
            held, at, facts = self._queue.popleft()
            self._in_hand.add(held.claim)
            status = history_entry.status_of(held, at)
            if status is not None or held.phase is Phase.DONE:
                events.append(self._event(held, status or ExecutionStatus.CANCELLED, at, facts))
        return events

    def _event(self, held: Held, status: ExecutionStatus, at: float, facts: dict[str, object]) -> Event:
        found = list(receipts.of(held, self._home / "runs", self._project))
        known = {"runner_pid": os.getpid(), **(self._pids(held) if status is ExecutionStatus.RUNNING else {})}
        if found and found[-1].text:
            known["summary"] = self._redact(found[-1].text)
        known |= {name: self._redact(value) if isinstance(value, str) else value for name, value in facts.items()}
        when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        entry = replace(
            history_entry.entry(held, status, self._redact, self._door, self._project),
            started_at=when if status is ExecutionStatus.RUNNING else "",
            completed_at=when if status in FINAL else "",
            restarted_from=self._restarted_from,
            **known,  # type: ignore[arg-type]
        )
        return entry, tuple(one.used for one in found), frozenset(known)

    def _pids(self, held: Held) -> dict[str, object]:
        try:
            pids = RunDirectory.of(self._home / "runs", held.task.id, held.claim, held.attempt).pids()
        except (OSError, LookupError, TypeError):
            return {}
        return {f"{who}_pid": one.pid for who, one in pids.items()}

    def _pass_on(self, events: list[Event]) -> None:
        """Tell events, after those that were kept; keep what cannot be told now."""
        try:
            while events or self._store is None or self._is_away:
                if self._store is None or self._is_away or self._is_lost():
                    self._keep(events)
                    events = []
                    self._reach()
                    break
                self._tell(events[0])
                events.pop(0)
        except (RunnerError, OSError) as error:
            self._keep(events)
            self._is_suspect = isinstance(error, StateCorrupt)
            if not self._is_away:
                self._say(f"The history is kept in {self._spool} for now: {error}")
            self._is_away = True
        else:
            if self._is_away:
                self._say("The store of the history is there again, and was told what it missed")
            self._is_away = False

    def _reach(self) -> None:
        """Open the store and tell it what was kept; at first, also find what a run before this one did not tell."""
        from components import history_spool, history_sync, store_file

        is_lost = self._is_lost()
        if self._store is not None:
            self._store.close()
        self._store = history_sync.opened(
            self._home,
            self._url,
            self._say,
            is_suspect=self._is_suspect,
            has_past=self._has_past,
            is_lost=is_lost,
        )
        self._has_past = True
        self._file = store_file.identity(self._store.path)
        kept = history_spool.read(self._spool)
        is_lost = False
        try:
            while kept and not (is_lost := self._is_lost()):
                self._tell(kept[0])
                kept.pop(0)
        finally:
            history_spool.keep_only(self._spool, kept)
        if is_lost:
            self._reach()
            return
        if not self._is_synced:
            history_sync.sync(self._home, self._store, agent_id=self._agent_id, in_hand=self._in_hand)
            self._is_synced = True

    def _is_lost(self) -> bool:
        """Was the store's file taken away, or another put in its place, since it was reached last?

        Asked before each event: a new file would soon be where the old one was, by its number as well.
        """
        if self._store is None or self._file is None:
            return False
        from components import store_file

        return store_file.identity(self._store.path) != self._file

    def _tell(self, event: Event) -> None:
        from components import history_telling, store_file

        assert self._store is not None
        history_telling.tell_or_leave(self._store, event)
        if self._file is None:  # made by what was told; at once, for it may go before the rest is
            self._file = store_file.identity(self._store.path)

    def _keep(self, events: list[Event]) -> None:
        from components import history_spool

        if events:
            try:
                history_spool.append(self._spool, events)
            except OSError as error:
                logger.warning("the history loses %s events of agent %s: %s", len(events), self._agent_id, error)
