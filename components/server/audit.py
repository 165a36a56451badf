"""The audit: a line of JSON for every call that may change something, in `<home>/logs/audit.jsonl`."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from starlette.types import Scope

from components import durable
from components.server.tokens import Caller

logger = logging.getLogger(__name__)

PATH_CHARACTERS = 300


class Audit:
    """Keeps the audit. The file is opened for each line, so that it can be moved away while we run."""

    def __init__(self, home: Path) -> None:
        self.path = home / "logs" / "audit.jsonl"
        durable.make_directory(self.path.parent)

    def note(self, scope: Scope, caller: Caller | None, status: int, seconds: float) -> None:
        """Keep one call: when, from where, by which token, what, and what came of it."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "address": scope["client"][0] if scope.get("client") else "",
            "caller": caller.name if caller else "nobody",
            "method": scope["method"][:16],
            "path": scope["path"][:PATH_CHARACTERS],
            "status": status,
            "milliseconds": round(seconds * 1000),
        }
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self.path, flags, durable.FILE_MODE)
            try:
                os.write(fd, json.dumps(line).encode() + b"\n")
            finally:
                os.close(fd)
        except OSError:
            logger.exception("the audit loses a line")
