"""DBOS as a library that the queue can live with: JSON only, quiet, and of a release whose insides we know.

Why insides at all: DBOS looks for work by a timer of its own that nothing can wake, hands what a dead worker had to
nobody (without its vendor's service), and knows no limit over several queues. Its statements for claiming, handing back
and recording are used as they are; when to claim is ours.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from components.errors import ConfigError

logger = logging.getLogger(__name__)

QUIET_SECONDS = 60.0
INSIDES = (
    "init_workflows",
    "start_queued_workflows",
    "get_workflow_statuses",
    "update_workflow_outcome",
    "reenqueue_for_recovery",
    "run_migrations",
)


class Quiet(logging.Handler):
    """Passes on what DBOS says: a warning a minute. In an outage it says the same a hundred times a second."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, unless another was shown within the minute."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + QUIET_SECONDS
            logger.info("the queue: %s", " ".join(record.getMessage().split())[:300])


def prepared() -> Any:
    """Return the module `dbos`, quiet, and unable to unpickle. Raises ConfigError where it is missing or differs."""
    try:
        import dbos
    except ModuleNotFoundError as error:
        remedy = "pip install 'advanced-agent-runner[queue]'"
        raise ConfigError(f"{error.name} is not installed; run: {remedy}") from error
    _check_insides()
    dbos_logger = logging.getLogger("dbos")
    if not any(isinstance(one, Quiet) for one in dbos_logger.handlers):
        dbos_logger.handlers = [Quiet()]
        dbos_logger.propagate = False
    dbos_logger.setLevel(logging.WARNING)
    _refuse_pickle()
    return dbos


def _check_insides() -> None:
    from importlib.metadata import version

    from dbos import _core, _queue, _sys_db

    wanted: list[tuple[object, str]] = [(_sys_db.SystemDatabase, name) for name in INSIDES]
    wanted += [(_core, "execute_dequeued_workflow"), (_queue, "_INTERNAL_QUEUE_CONSTRUCTION")]
    missing = [name for owner, name in wanted if not hasattr(owner, name)]
    if missing:
        raise ConfigError(f"dbos {version('dbos')} has no {', '.join(missing)}; run: pip install 'dbos>=3.4,<3.5'")


def _refuse_pickle() -> None:
    """Whatever a row says of itself: nothing in the database may run as code here."""
    from dbos._serialization import DefaultSerializer

    def refuse(_: object, _text: str) -> Any:
        raise ValueError("the queue holds no pickles; this row was not made by a runner")

    setattr(DefaultSerializer, "deserialize", refuse)  # noqa: B010
