"""Tasks found in a Headless PM server's lists, as the original server has no way to read a single one."""

from __future__ import annotations

from collections.abc import Sequence

from components import pm_wire
from components.http import AnswerTooLarge, Request
from components.model import Task
from components.pm_api import API, PmApi, data_of
from components.states import Role, TaskStatus


class PmLists:
    """The lists of one server; remembers which statuses the server does not know."""

    def __init__(self, api: PmApi) -> None:
        self._api = api
        self._unknown: set[str] = set()

    def rows(self, status: str = "", role: str = "") -> list[dict[str, object]]:
        """Return the rows of a status and a role ("" for all); none for a status that this server does not know.

        Raises AnswerTooLarge for a list over 16 MB: some 18,000 tasks of the size that people write.
        """
        for spelling in self._api.spellings(status) if status else ("",):
            if spelling not in self._unknown:
                query = {name: value for name, value in (("status", spelling), ("role", role)) if value}
                request = Request("GET", f"{API}/tasks", query)
                answer = self._api.ask(request)
                if not (answer.status == 422 and status and pm_wire.complains_of(data_of(answer), "status")):
                    return self._api.read(request, answer, pm_wire.parse_rows)
                self._unknown.add(spelling)
        return []

    def find(self, task: Task) -> dict[str, object] | None:
        """Return the row with the task's id, or None when no list has it.

        By status first, the likely ones before the others, as those lists are short. A task that moves meanwhile may
        slip through, or have a status that we have no name for: so a miss is believed only of one list of all.
        """
        role = task.role if task.role in set(Role) else ""
        statuses = tuple(dict.fromkeys((TaskStatus.UNDER_WORK.value, task.status, *TaskStatus)))
        found = self._find_by_status(task, statuses, role)
        if found is not None:
            return found
        try:
            return _row(task, self.rows(role=role))
        except AnswerTooLarge:
            return self._find_by_status(task, statuses, role)

    def _find_by_status(self, task: Task, statuses: Sequence[str], role: str) -> dict[str, object] | None:
        found = (_row(task, self.rows(status, role)) for status in statuses if status)
        return next((row for row in found if row is not None), None)


def _row(task: Task, rows: list[dict[str, object]]) -> dict[str, object] | None:
    return next((row for row in rows if str(row.get("id")) == task.id), None)
