"""The Headless PM server as a source of tasks.

Its `next` locks nothing, its lock may tell two callers that they have it, and it cannot be asked for one task: so
whoever asks for a lock looks afterwards, and a look goes through lists where the server is an original one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from components import pm_wire
from components.errors import SourceRefused, SourceUnavailable, TaskTaken, UnsafeName
from components.http import Request
from components.http_deadline import WaitForAnswer
from components.model import Task
from components.pm_absence import PmAbsence
from components.pm_api import API, PmApi, data_of
from components.pm_lists import PmLists
from components.pm_names import PmNames
from components.ports import Alarm, Change, Registration
from components.states import Level, Role, TaskStatus

logger = logging.getLogger(__name__)

HISTORY_LENGTH = 500
DOCUMENTS_LENGTH = 100
ALARM = "critical_issue"
TITLE_LIMIT = 200
TEXT_LIMIT = 50_000
WARNED_LIMIT = 1_000
# The statuses that `next` hands out; to QA those of any role and difficulty.
CLAIMABLE: Mapping[str, tuple[TaskStatus, ...]] = MappingProxyType({Role.QA: (TaskStatus.DEV_DONE,)})
CLAIMABLE_BY_OTHERS = (TaskStatus.CREATED, TaskStatus.APPROVED)


class HeadlessPm:
    """One agent's view of a Headless PM server. `timeout` (seconds) bounds an answer, `wait` sleeps between tries."""

    def __init__(
        self,
        url: str,
        api_key: str,
        agent_id: str,
        role: str,
        level: str,
        *,
        timeout: float = 15.0,
        wait: Callable[[float], object],
        wait_for_answer: WaitForAnswer | None = None,
    ) -> None:
        self._api = PmApi(
            url, api_key, agent_id, role, level, timeout=timeout, wait=wait, wait_for_answer=wait_for_answer
        )
        self._lists = PmLists(self._api)
        self._absence = PmAbsence(time.monotonic)
        self._names = PmNames(self._api)
        self._agent_id = agent_id
        self._role = role
        self._level = level
        self._capabilities: frozenset[str] | None = None
        self._warned: set[str] = set()

    def register(self) -> Registration:
        """Sign in, or keep the locks alive; returns what the server has stored, which may be another role."""
        self._capabilities = None  # another version may have been started at the address
        return self._api.register()

    def last_seen(self) -> str:
        """Return when our agent id last signed in, as the server spells it; "" when it never did."""
        rows = self._api.get("/agents", {}, pm_wire.parse_rows)
        return next((str(row.get("last_seen") or "") for row in rows if row.get("agent_id") == self._agent_id), "")

    def next_task(self, refused: Collection[str] = ()) -> Task | None:
        """Return a free task for our role and level, without locking it.

        The server is not asked to wait for one: each waiting request occupies one of its 40 threads.
        """
        query = {"role": self._role, "level": self._level, "timeout": "0"}
        offered = self._api.get("/tasks/next", query, lambda data: data)
        if offered is None:
            return None
        task = self._readable(offered)
        return task if task is not None and task.id not in refused else self._first_claimable(refused)

    def ours(self) -> list[Task]:
        """Return the tasks that we hold, and those at work whose lock was forgotten while we were the last to act."""
        role = "" if self._role == Role.QA else self._role
        statuses = (TaskStatus.UNDER_WORK, *CLAIMABLE.get(self._role, CLAIMABLE_BY_OTHERS))
        rows = [row for status in statuses for row in self._lists.rows(status, role)]
        tasks = [task for row in rows if (task := self._readable(row)) is not None]
        return [task for task in tasks if task.locked_by == self._agent_id or self._was_ours(task)]

    def _was_ours(self, task: Task) -> bool:
        if task.locked_by is not None or task.status != TaskStatus.UNDER_WORK:
            return False
        last = next(iter(self.history(task)), None)
        return last is not None and last.changed_by == self._agent_id

    def look(self, task: Task) -> Task | None:
        """Return the task as it is now, or None when it is gone, not just missed, or its id was given to another."""
        if "get_task" in self.capabilities():
            request = Request("GET", f"{API}/tasks/{_id(task)}")
            answer = self._api.ask(request)
            if not self._api.has_no_such_path(answer):
                if answer.status == 404:
                    self._api.check_absence(request, answer)
                    return None
                return _same(task, self._api.read(request, answer, self._api.parse_task))
            self._capabilities = None  # an original server stands at the address now
        return self._listed(task)

    def _listed(self, task: Task) -> Task | None:
        row = self._lists.find(task)
        if row is None:
            if self._absence.is_believed(task):
                return None
            raise SourceUnavailable(f"{self._api.url}: no list shows task {task.id} now; looking again to be sure")
        self._absence.end(task)
        try:
            return _same(task, self._api.parse_task(row))
        except ValueError as error:
            raise SourceUnavailable(f"{self._api.url}: task {task.id} cannot be read: {error}") from error

    def groups(self, task: Task) -> tuple[str, str]:
        """Return the names of a task's feature and epic, "" for one that cannot be told."""
        return self._names.of(task)

    def lock(self, task: Task) -> None:
        """Ask for the lock. Raises TaskTaken on 409, also when the holder is us. Success proves nothing: look."""
        request, answer = self._api.act("POST", f"/tasks/{_id(task)}/lock")
        if answer.status == 409:
            raise TaskTaken(f"task {task.id} has a lock already; look whose it is")
        self._api.read(request, answer, self._api.parse_task)

    def unlock(self, task: Task) -> bool:
        """Give the lock back where the server has a way to do it; False where it has none."""
        if "unlock" not in self.capabilities():
            return False
        self._api.read(*self._api.act("POST", f"/tasks/{_id(task)}/unlock"), pm_wire.accept)
        return True

    def set_status(self, task: Task, status: str) -> Task:
        """Move the task and return it as it is then. No notes are sent: they would replace all comments.

        A spelling that the server does not know (422) has moved nothing, so the other one may be tried.
        """
        usual, other = self._api.spellings(status)
        request, answer = self._api.act("PUT", f"/tasks/{_id(task)}/status", {"status": usual})
        if answer.status == 422 and pm_wire.complains_of(data_of(answer), "status"):
            again, second = self._api.act("PUT", f"/tasks/{_id(task)}/status", {"status": other})
            request, answer = (request, answer) if second.status == 422 else (again, second)
        moved = self._api.read(request, answer, lambda data: self._api.parse_task(pm_wire.member(data, "task")))
        if moved.id != task.id:
            raise SourceUnavailable(f"{self._api.url}: moved task {moved.id} for {task.id}; outcome unknown: look")
        return moved

    def comment(self, task: Task, text: str) -> None:
        """Append a comment to the task's notes; what is over 50,000 characters is cut."""
        body = {"comment": pm_wire.outgoing(text, TEXT_LIMIT)}
        self._api.read(*self._api.act("POST", f"/tasks/{_id(task)}/comment", body), pm_wire.accept)

    def history(self, task: Task) -> list[Change]:
        """Return the task's changes among the last 500 of the whole server, newest first."""
        limit = {"limit": str(HISTORY_LENGTH)}
        return self._api.get("/changelog", limit, lambda data: pm_wire.parse_changes(data, task))

    def alarm(self, alarm: Alarm) -> None:
        """Publish a critical issue that begins with the names of whom the server shall tell, and with its marker.

        One of ours that has the marker is there already. A list that the server refuses to show hides none for ever.
        """
        if alarm.marker and self._is_published(alarm.marker):
            return
        mentions = " ".join(f"@{name}" for name in alarm.mentions)
        content = "\n\n".join(filter(None, [mentions, alarm.marker, alarm.content]))
        body = {
            "doc_type": ALARM,
            "title": pm_wire.one_line(alarm.title, TITLE_LIMIT),
            "content": pm_wire.outgoing(content, TEXT_LIMIT),
        }
        self._api.read(*self._api.act("POST", "/documents", body, actor="author_id"), pm_wire.accept)

    def _is_published(self, marker: str) -> bool:
        query = {"doc_type": ALARM, "author_id": self._agent_id, "limit": str(DOCUMENTS_LENGTH)}
        try:
            rows = self._api.get("/documents", query, pm_wire.parse_rows)
        except SourceRefused as error:
            logger.warning("%s", error)
            return False
        return any(marker in str(row.get("content")) for row in rows)

    def capabilities(self) -> frozenset[str]:
        """Return what the server offers beyond the original, which offers nothing; asked once per registration."""
        known = self._capabilities
        if known is None:
            answer = self._api.ask(Request("GET", "/health"))
            # A refusal or a page there is that of a proxy which serves the API only.
            known = pm_wire.parse_capabilities(data_of(answer)) if answer.is_success else frozenset()
            self._capabilities = known
        return known

    def _first_claimable(self, refused: Collection[str]) -> Task | None:
        """Return the oldest task that `next` would hand out if the refused ones were not there."""
        any_role = self._role == Role.QA
        free = [
            task
            for status in CLAIMABLE.get(self._role, CLAIMABLE_BY_OTHERS)
            for row in self._lists.rows(status, "" if any_role else self._role)
            if (task := self._readable(row)) is not None
            if task.status == status and task.locked_by is None and task.id not in refused
            if any_role or (task.role == self._role and _is_within(task.level, self._level))
        ]
        return min(free, key=lambda task: (task.created_at, int(task.id)), default=None)

    def _readable(self, data: object) -> Task | None:
        """Return the task of a row, or None, with one warning per id, when it makes no sense."""
        try:
            return self._api.parse_task(data)
        except ValueError as error:
            name = pm_wire.one_line(repr(data.get("id") if isinstance(data, dict) else data), 60)
            if name not in self._warned and len(self._warned) < WARNED_LIMIT:
                self._warned.add(name)
                logger.warning("%s: task %s is left alone, it cannot be read: %s", self._api.url, name, error)
            return None


def _id(task: Task) -> str:
    """Return the id as part of an address. Raises UnsafeName for one that is not a number."""
    try:
        return pm_wire.task_id(task.id)
    except ValueError as error:
        raise UnsafeName(str(error)) from error


def _same(task: Task, found: Task) -> Task | None:
    """Return what was found, unless the id has been given to another task since."""
    is_other = task.created_at and found.created_at and task.created_at != found.created_at
    return None if is_other or found.id != task.id else found


def _is_within(difficulty: str, level: str) -> bool:
    """Return whether an agent of a level may do a task; a difficulty that we do not know is for principals."""
    levels = list(Level)
    known = difficulty in levels and level in levels
    return level == Level.PRINCIPAL or (known and levels.index(Level(difficulty)) <= levels.index(Level(level)))
