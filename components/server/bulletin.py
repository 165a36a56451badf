"""The news of the service: what moves and what changes, looked for once for all who want to hear it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime

from components.agent_store import AgentStore
from components.board import Board
from components.errors import RunnerError
from components.execution import Transition
from components.server.schemas import shown
from components.store import Store

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
KEPT = 2000
"""How many news are kept: a listener that is further behind is left out of what is older."""


class Bulletin:
    """The newest news, numbered. It is looked for while somebody listens."""

    def __init__(self, store: Store, board: Board) -> None:
        self._store = store
        self._board = board
        self._agents = AgentStore(store)
        self._news: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self._count = 0
        self._last = 0
        self._last_agent = 0
        self._moment = ""
        self._told: dict[str, str] = {}
        self._listeners = 0
        self._arrival = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self.is_closed = False

    async def listen(self, after: int) -> AsyncIterator[str]:
        """Yield what has happened after the move of this id (-1: from now on), then what happens."""
        self._listeners += 1
        try:
            await self._begin()
            number = self._count
            yield json.dumps({"type": "start", "last_event": self._last})
            async for frame in self._missed(after, self._last):
                yield frame
            while not self.is_closed:
                arrival = self._arrival
                for known, frame in list(self._news):
                    if known > number:
                        number = known
                        yield frame
                if number == self._count:
                    await arrival.wait()
        finally:
            self._listeners -= 1
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    def close(self) -> None:
        """End it: nobody is told any more."""
        self.is_closed = True
        self._arrival.set()

    async def _begin(self) -> None:
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on())
            self._moment = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._last = await asyncio.to_thread(self._store.last_transition)
            self._last_agent = await asyncio.to_thread(self._agents.last_move)

    async def _missed(self, after: int, until: int) -> AsyncIterator[str]:
        while 0 <= after < until:
            page = await asyncio.to_thread(self._store.transitions, after)
            for move in page:
                if move.id <= until:
                    yield _frame(move)
            after = page[-1].id if page else until

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except RunnerError:
                logger.debug("the store does not answer; it is asked again", exc_info=True)

    async def _look(self) -> None:
        before = self._count
        for move in await asyncio.to_thread(self._store.transitions, self._last):
            self._last = move.id
            self._post(_frame(move))
        for step in await asyncio.to_thread(self._agents.moves_after, self._last_agent):
            self._last_agent = step.id
            self._post(json.dumps({"type": "agent", **asdict(step)}, ensure_ascii=False))
        for task in await asyncio.to_thread(self._board.changed_since, self._moment):
            if self._told.get(task.id) != task.updated_at:
                self._post(json.dumps({"type": "task", "task": shown(task)}, ensure_ascii=False))
            self._told[task.id] = task.updated_at
            self._moment = max(self._moment, task.updated_at)
        self._told = {task_id: when for task_id, when in self._told.items() if when >= self._moment}
        if self._count > before:
            self._arrival.set()
            self._arrival = asyncio.Event()

    def _post(self, frame: str) -> None:
        self._count += 1
        self._news.append((self._count, frame))


def _frame(move: Transition) -> str:
    return json.dumps({"type": "execution", **asdict(move), "before": str(move.before or "")})
