"""Waits for tasks of the board to be run: one look at the board for all who wait, however many they are."""

from __future__ import annotations

import asyncio
import logging

from components.board import Board
from components.board_task import BoardTask
from components.errors import NotFound, RunnerError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.3
Waiting = asyncio.Future[BoardTask | None]


class Beginnings:
    """Who waits for which task's first run. The board is looked at while somebody waits."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._waiting: dict[str, set[Waiting]] = {}
        self._looking: asyncio.Task[None] | None = None
        self.is_closed = False

    async def of(self, task_id: str) -> BoardTask | None:
        """Return a task once it has a run; None where the service ends first. Raises NotFound, also when it goes."""
        task = await asyncio.to_thread(self._board.get, task_id)
        if task.execution_id:
            return task
        if self.is_closed:
            return None
        mine: Waiting = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(task.id, set()).add(mine)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on())
        try:
            return await mine
        finally:
            self._leave(task.id, mine)

    def close(self) -> None:
        """End it: whoever waits is told None."""
        self.is_closed = True
        for task_id in self._waiting:
            self._tell(task_id, None)

    def _leave(self, task_id: str, mine: Waiting) -> None:
        others = self._waiting.get(task_id, set())
        others.discard(mine)
        if not others:
            self._waiting.pop(task_id, None)
        if not self._waiting and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                waited = tuple(self._waiting)
                found = await asyncio.to_thread(self._board.among, waited)
            except RunnerError:
                logger.debug("the store does not answer; it is asked again", exc_info=True)
                continue
            for task_id in waited:
                if task_id not in found:
                    self._tell(task_id, NotFound(f"task {task_id[:8]} was taken off the board"))
                elif found[task_id].execution_id:
                    self._tell(task_id, found[task_id])

    def _tell(self, task_id: str, what: BoardTask | NotFound | None) -> None:
        for waiting in self._waiting.get(task_id, set()):
            if not waiting.done():
                if isinstance(what, NotFound):
                    waiting.set_exception(what)
                else:
                    waiting.set_result(what)
