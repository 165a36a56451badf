"""One typed task as a source of tasks: a directory holds the task, and where it stands, instead of a server.

`<home>/tasks/<claim>/task.json` is what was typed and never changes; `state.json` is the status, the lock and the
comments. So a task of a person at a terminal runs through the same steps as one of a server.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from components import durable
from components.errors import NotFound, RunnerError, TaskTaken
from components.model import Task
from components.ports import Alarm, Change, Registration
from components.states import Complexity, TaskStatus

TASK, STATE = "task.json", "state.json"
NOTES_LIMIT = 64 * 1024


class TypedTaskSource:
    """The task of one directory, offered to one agent. Nobody else is offered it, so its lock is atomic."""

    def __init__(
        self, directory: Path, agent_id: str, role: str, level: str, on_beat: Callable[[], object] | None = None
    ) -> None:
        """`on_beat` is called with each sign of life; what it cannot do is left to the next one."""
        self._directory = directory
        self._agent_id = agent_id
        self._role = role
        self._level = level
        self._on_beat = on_beat

    def register(self) -> Registration:
        """Return ourselves: there is no server to sign in to."""
        if self._on_beat is not None:
            with contextlib.suppress(RunnerError):
                self._on_beat()
        return Registration(self._agent_id, self._role, self._level)

    def last_seen(self) -> str:
        """Return nothing: nobody else signs in here."""
        return ""

    def capabilities(self) -> frozenset[str]:
        """Return that the lock is atomic."""
        return frozenset({"atomic_lock"})

    def next_task(self, refused: Collection[str] = ()) -> Task | None:
        """Return the task while it is free."""
        task = self._task()
        is_free = task.locked_by is None and task.status == TaskStatus.CREATED
        return task if is_free and task.id not in refused else None

    def ours(self) -> list[Task]:
        """Return the task while we hold it."""
        task = self._task()
        return [task] if task.locked_by == self._agent_id else []

    def look(self, task: Task) -> Task | None:
        """Return the task as it stands."""
        now = self._task()
        return now if now.id == task.id else None

    def lock(self, task: Task) -> None:
        """Take the task. Raises TaskTaken for any holder."""
        now = self._task()
        if now.locked_by is not None:
            raise TaskTaken(f"task {task.id} is held by {now.locked_by}")
        self._write(locked_by=self._agent_id)

    def unlock(self, task: Task) -> bool:
        """Give the task back."""
        del task
        self._write(locked_by=None)
        return True

    def set_status(self, task: Task, status: str) -> Task:
        """Move the task; a status other than `under_work` frees it."""
        del task
        self._write(status=str(status), **({} if status == TaskStatus.UNDER_WORK else {"locked_by": None}))
        return self._task()

    def comment(self, task: Task, text: str) -> None:
        """Append a comment to the notes."""
        notes = "\n".join(filter(None, [self._task().notes, text]))
        self._write(notes=notes[-NOTES_LIMIT:])
        del task

    def history(self, task: Task) -> list[Change]:
        """Return nothing: nobody else changes it."""
        del task
        return []

    def parents(self, task: Task) -> Sequence[tuple[str, str]]:
        """Return what the task builds upon, as it was told when it was typed."""
        del task
        try:
            given = json.loads((self._directory / TASK).read_bytes()).get("parents", ())
            return [(str(name), str(output)) for name, output in given]
        except (OSError, ValueError, TypeError, AttributeError):
            return []

    def alarm(self, alarm: Alarm) -> None:
        """Keep what a person must see beside the task."""
        durable.write(self._directory / "alarm.txt", f"{alarm.title}\n\n{alarm.content}\n".encode(errors="replace"))

    def _task(self) -> Task:
        try:
            given = json.loads((self._directory / TASK).read_bytes())["task"]
            task = Task(**{**given, "complexity": Complexity(given["complexity"])})
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise NotFound(f"the task in {self._directory} cannot be read: {error}") from error
        state = self._state()
        return replace(task, status=state["status"], locked_by=state["locked_by"], notes=state["notes"])

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"status": TaskStatus.CREATED.value, "locked_by": None, "notes": ""}
        try:
            return {**state, **json.loads((self._directory / STATE).read_bytes())}
        except FileNotFoundError:
            return state

    def _write(self, **changes: object) -> None:
        durable.write(self._directory / STATE, json.dumps({**self._state(), **changes}).encode(errors="replace"))
