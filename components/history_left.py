"""Tells the history what runners had kept for it that live no more."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from components import durable, execution_names, history_spool, history_telling, typed_task
from components.store import Store

logger = logging.getLogger(__name__)
END = ".jsonl"


def tell_all(home: Path, store: Store) -> None:
    """Tell what is left in the spools of dead runners, and remove them; where there is no spool it is one listing.

    Nobody is kept out meanwhile: an event that two tell changes nothing the second time. Only a spool that is as it was
    read is removed, under the lock that its runner would need. Raises as `Store`; what was not told then is told by
    the next one.
    """
    for name in sorted(execution_names.names(home / history_spool.DIRECTORY)):
        agent_id, end = name.removesuffix(END), name.endswith(END)
        if not end or any(map(durable.is_held, _locks(home, agent_id))):
            continue
        path = home / history_spool.DIRECTORY / name
        try:
            size = path.stat().st_size
            events = history_spool.read(path)
        except OSError as error:
            logger.warning("what the history was to be told cannot be read: %s", error)
            continue
        for event in events:
            history_telling.tell_or_leave(store, event)
        _remove(home, path, size, agent_id)


def _remove(home: Path, path: Path, size: int, agent_id: str) -> None:
    """Remove a spool that has not grown, unless a runner that may make it grow lives, or is being started."""
    with ExitStack() as held:
        for lock in _locks(home, agent_id):
            fd = durable.try_lock(lock) if lock.exists() else None
            if fd is not None:
                held.callback(os.close, fd)
            elif lock.exists():
                return
        if path.exists() and path.stat().st_size == size:
            durable.remove(path)


def _locks(home: Path, agent_id: str) -> Iterator[Path]:
    """Yield the locks of which a runner of this agent holds one: that of the agent, and that of its typed task."""
    yield home / "locks" / f"agent-{agent_id}.flock"
    short = agent_id.removeprefix(typed_task.agent_of(""))
    if typed_task.agent_of(short) == agent_id and short:
        for claim in (home / typed_task.DIRECTORY).glob(f"{short}*"):
            yield claim / "alive"
