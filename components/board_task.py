"""A task of the board: what a program or a person at a browser wants done, and where that stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

OUTPUT_LINES = 50
"""How many of the last lines of an agent's output are kept with its task."""


class BoardStatus(StrEnum):
    """Where a task of the board stands: review is for a person, who deletes it or has it done again."""

    TODO = "todo"
    RUNNING = "running"
    REVIEW = "review"


MOVES: Mapping[BoardStatus, frozenset[BoardStatus]] = MappingProxyType(
    {
        BoardStatus.TODO: frozenset({BoardStatus.RUNNING}),
        BoardStatus.RUNNING: frozenset({BoardStatus.REVIEW, BoardStatus.TODO}),
        BoardStatus.REVIEW: frozenset({BoardStatus.TODO}),
    }
)
"""Which status may follow which."""


@dataclass(frozen=True, slots=True)
class BoardTask:
    """One task of the board. Its `execution_id` is the run it has now, or had last; `host` is where that is, or was.

    `repository` is a path and `project` its name. `docs_path` is a path within it. `pid` is the runner's while it
    runs, else 0. `exit_code` is the agent's own, None where there is none. `error` says for people why it is back in
    `todo`. `output` has the last lines that the agent printed. Times are as in Execution.
    """

    id: str
    title: str
    context: str = ""
    docs_path: str = ""
    project: str = ""
    repository: str = ""
    role: str = ""
    level: str = ""
    complexity: str = ""
    model: str = ""
    status: BoardStatus = BoardStatus.TODO
    host: str = ""
    execution_id: str = ""
    error: str = ""
    output: tuple[str, ...] = ()
    created_at: str = ""
    updated_at: str = ""
    started_at: str = ""
    ended_at: str = ""
    pid: int = 0
    exit_code: int | None = None
