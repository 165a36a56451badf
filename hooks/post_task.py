"""Clears away what a task left behind, then adds one line about it to the runner's log of tasks.

Reads the payload of the moment `post_task` (JSON) on stdin. Removes the run's temporary directory, if it is one inside
`<home>/runs`; appends a line of JSON to `<home>/logs/tasks.log` (0600), once for each attempt even if it is run again.
Exit code 0: done; 1: something could not be done, which is a warning. Needs Python only, and stands alone: copy it
where you like and change it.

    HEADLESS_PM_TASK_LOG_MB=10   at this size the log is renamed to tasks.log.1 (the one before is dropped)
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DONE, WARNING = 0, 1
MEGABYTE = 1 << 20
TITLE_CHARACTERS = 200


class Failed(Exception):
    """Something could not be done; the text says what, and what to do about it."""


def main() -> int:
    code = DONE
    try:
        payload = read_payload()
    except Failed as failed:
        print(failed, file=sys.stderr)
        return WARNING
    for step in (remove_temporary, write_line):
        try:
            step(payload)
        except Failed as failed:
            print(failed, file=sys.stderr)
            code = WARNING
        except OSError as error:
            print(f"{step.__name__}: {error}; see to it that this path can be written", file=sys.stderr)
            code = WARNING
    return code


def read_payload() -> dict[str, Any]:
    try:
        payload: dict[str, Any] = json.loads(sys.stdin.buffer.read())
        if not {"home", "task", "claim", "attempt"} <= payload.keys():
            raise ValueError("`home`, `task`, `claim` or `attempt` is missing")
    except (ValueError, AttributeError) as error:
        raise Failed(f"stdin is not the JSON of a post_task moment ({error}); see docs/hooks.md") from error
    return payload


def remove_temporary(payload: dict[str, Any]) -> None:
    """Remove the run's temporary directory. One that leads elsewhere, by a link on the way, is left alone."""
    if not payload.get("temporary_directory"):
        return
    temporary, runs = Path(payload["temporary_directory"]), Path(payload["home"], "runs")
    inside = temporary.is_relative_to(runs) and temporary != runs
    if not inside or temporary.resolve() != runs.resolve() / temporary.relative_to(runs):
        raise Failed(f"temporary_directory: {temporary} is not a directory inside {runs}; look at it and remove it")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(temporary)


def write_line(payload: dict[str, Any]) -> None:
    line = summary(payload)
    logs = Path(payload["home"], "logs")
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = logs / "tasks.log"
    with locked(logs / "tasks.log.lock"):
        if payload.get("retry") and is_written(log, line):
            print(f"task {line['task']}: was logged before")
            return
        rotate(log)
        append(log, json.dumps(line))
    print(f"task {line['task']}: {line['reason']} in {line['seconds']:g} s, {line['cost_usd']:.4f} USD")


def summary(payload: dict[str, Any]) -> dict[str, Any]:
    task, verdict = payload["task"], payload.get("verdict") or {}
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": task.get("id"),
        "title": str(task.get("title", ""))[:TITLE_CHARACTERS],
        "agent_id": payload.get("agent_id"),
        "role": payload.get("role"),
        "claim": payload["claim"],
        "attempt": payload["attempt"],
        "reason": verdict.get("reason", "unknown"),
        "success": bool(verdict.get("success")),
        "status": payload.get("status", ""),
        "seconds": round(verdict.get("seconds") or 0.0, 1),
        "cost_usd": round(verdict.get("cost_usd") or 0.0, 6),
        "model": verdict.get("model", ""),
        "exit_code": verdict.get("exit_code"),
        "branch": (payload.get("workspace") or {}).get("branch", ""),
    }


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the log: another agent's line must not meet our look or our rotation."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def is_written(log: Path, line: dict[str, Any]) -> bool:
    """Tell whether the log, or the one before it, has a line of this claim and attempt."""
    mark = json.dumps(line["claim"]).encode()
    for path in (log, log.with_name("tasks.log.1")):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as lines:
            if any(mark in text and same(text, line) for text in lines):
                return True
    return False


def same(text: bytes, line: dict[str, Any]) -> bool:
    try:
        known = json.loads(text)
    except ValueError:
        return False
    return isinstance(known, dict) and all(known.get(key) == line[key] for key in ("claim", "attempt"))


def rotate(log: Path) -> None:
    text = os.environ.get("HEADLESS_PM_TASK_LOG_MB", "").strip() or "10"
    try:
        limit = float(text) * MEGABYTE
    except ValueError:
        raise Failed(f"HEADLESS_PM_TASK_LOG_MB: {text!r} is not a number; set it to one, such as 10") from None
    if log.exists() and log.stat().st_size >= limit:
        log.rename(log.with_name("tasks.log.1"))


def append(log: Path, text: str) -> None:
    """Add a line by one write. A torn one before it, of a full disk or a crash, gets its end first."""
    fd = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        start = "\n" if size and os.pread(fd, 1, size - 1) != b"\n" else ""
        line = f"{start}{text}\n".encode()
        if os.write(fd, line) != len(line):
            raise Failed(f"{log}: no room for the whole line; make room on its file system")
    finally:
        os.close(fd)


if __name__ == "__main__":
    sys.exit(main())
