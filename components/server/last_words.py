"""What an execution and its runner said last, fit to be shown."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

from components import execution_log
from components.claude_words import ClaudeWords
from components.codex_words import CodexWords
from components.errors import NotFound
from components.execution_index import ExecutionFiles
from components.log_view import Kind, LogView

TAIL_BYTES = 1 << 20


def view(redact: Callable[[str], str]) -> LogView:
    """Return what makes readable lines of a stream."""
    return LogView([ClaudeWords(), CodexWords()], redact)


def lines(files: ExecutionFiles, count: int, redact: Callable[[str], str]) -> tuple[str, ...]:
    """Return the last readable lines that the newest attempt's agent printed; of its error output where that is all."""
    runs = list(files.runs().values())
    if not runs:
        return ()
    said = _tail(runs[-1].out, count)
    reader, found = view(redact), deque[str](maxlen=count)
    if said:
        found.extend(one.text for row in said for one in reader.lines(row))
    else:
        found.extend(one.text for row in _tail(runs[-1].err, count) for one in reader.text(row, Kind.STDERR))
    return tuple(found)


def _tail(path: Path, count: int) -> list[bytes]:
    with contextlib.suppress(NotFound):
        return execution_log.tail(path, count, TAIL_BYTES)
    return []
