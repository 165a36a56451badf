"""The line below the log of a task in the foreground that tells, while its agent is silent, how far it is."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

from components import at_work, log_follow, typed_task
from components.at_work import AtWork, Durations
from components.cli import ids
from components.cli.output import span, usd
from components.config import Config
from components.errors import RunnerError
from components.execution_index import ExecutionFiles
from components.task_card import fit

LOOK_SECONDS = 2.0
"""How often to look at the journal and at what it has cost; the clock goes on in between."""
CLEARED = "\r\x1b[K"


class StatusLine:
    """Rests as `log_follow` does, with the line on a terminal meanwhile; it is gone before anything else is shown."""

    def __init__(self, config: Config, files: ExecutionFiles, terminal: TextIO) -> None:
        self._home = config.home
        self._agent_id = typed_task.agent_of(files.id)
        self._durations = Durations(ids.looking(config))
        self._terminal = terminal
        self._began = time.monotonic()
        self._next_look = 0.0
        self._seen: AtWork | None = None

    def rest(self, seconds: float, fd: int | None) -> None:
        """Rest, with the line there."""
        self._write(fit(self._words(), shutil.get_terminal_size().columns - 1))
        try:
            log_follow.rest(seconds, fd)
        finally:
            self._write("")

    def _words(self) -> str:
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            try:
                self._seen = at_work.of(self._home, self._agent_id, self._durations)
            except (RunnerError, OSError):  # the store is away: nothing is known of how long it takes
                self._durations = Durations(None)
        return words(self._seen, now - self._began)

    def _write(self, text: str) -> None:
        self._terminal.write(CLEARED + text)
        self._terminal.flush()


def words(one: AtWork | None, elapsed: float) -> str:
    """Return how far an execution is; what is not known is not told. `elapsed` in seconds, where nothing else tells."""
    if one is None:
        return f"... {span(elapsed)}, starting"
    took = at_work.seconds_since(one.started_at)
    parts = [span(took if took >= 0 else elapsed), one.stage]
    if one.estimate.is_late:
        parts.append("longer than ever")
    if one.estimate.fraction is not None:
        parts.append(f"{one.estimate.fraction:.0%} done")
    if one.estimate.seconds_left is not None:
        parts.append(f"about {span(one.estimate.seconds_left)} left")
    if one.cost_usd:
        parts.append(f"{usd(one.cost_usd, is_whole=one.is_whole_cost)} so far")
    return f"... {', '.join(parts)}"
