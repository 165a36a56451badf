"""The Claude CLI's own record of a session on disk: whether it can be resumed, and what a run added to it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from components import execution_log
from components.errors import NotFound

TIMESTAMP = re.compile(rb'"timestamp"\s*:\s*"(\d{4}-\d\d-\d\dT[\d:.]+Z)"')


def find(session_id: str, env: Mapping[str, str]) -> Path | None:
    """Return a session's transcript, or None; `env` is the environment that the agent is given.

    The file lies under `projects/<a spelling of the directory>/<session>.jsonl`; the CLI refuses `--session-id` for a
    session that has one and `--resume` for one that has none.
    """
    configured = env.get("CLAUDE_CONFIG_DIR")
    base = Path(configured) if configured else Path(env.get("HOME", "/")) / ".claude"
    return next(iter(base.glob(f"projects/*/{session_id}.jsonl")), None)


def size(session_id: str, env: Mapping[str, str]) -> int:
    """Return how long a session's transcript is, in bytes; 0 where there is none."""
    path = find(session_id, env)
    try:
        return path.stat().st_size if path else 0
    except OSError:
        return 0


def lines_after(path: Path, offset: int) -> Iterator[bytes]:
    """Yield what was added to a transcript from an offset on, in bytes, line by line; the last one also when torn.

    Helpers that a session had work for it have records of their own, in the directory of its name: of these the lines
    are yielded that are no older. A transcript that is gone, or was replaced by what is no file, has no lines.
    """
    began = b""
    for line in _added(path, offset):
        began = began or _told_at(line)
        yield line
    for helper in path.with_suffix("").glob("**/*.jsonl") if began else ():
        yield from (line for line in _added(helper, 0) if _told_at(line) >= began)


def _added(path: Path, offset: int) -> Iterator[bytes]:
    torn = b""
    with contextlib.suppress(NotFound):
        for _, chunk in execution_log.follow(path, offset, wait=lambda _: None, ended=lambda: True):
            *whole, torn = (torn + chunk).split(b"\n")
            torn = torn[: execution_log.LINE_BYTES]
            yield from whole
    if torn:
        yield torn


def _told_at(line: bytes) -> bytes:
    """Return when a line was told, as the CLI writes it: UTC, so that texts compare as times do."""
    found = TIMESTAMP.search(line)
    return found[1] if found else b""
