"""The names of features and epics of a Headless PM server, asked for once each and then remembered."""

from __future__ import annotations

import logging

from components import pm_wire
from components.errors import RunnerError
from components.model import Task
from components.pm_api import PmApi

logger = logging.getLogger(__name__)

NAME_LIMIT = 300


class PmNames:
    """Knows what the features and epics of one server are called, as far as it was asked for them.

    A server tells features by their epic, so a task of an epic that is not known costs two requests, any other none.
    """

    def __init__(self, api: PmApi) -> None:
        self._api = api
        self._names: dict[tuple[str, str], str] = {}

    def of(self, task: Task) -> tuple[str, str]:
        """Return the names of a task's feature and epic, "" for one that cannot be told: nothing depends on it."""
        feature, epic = ("feature", task.feature_id), ("epic", task.epic_id)
        try:
            if task.feature_id and task.epic_id and feature not in self._names:
                self._learn("feature", f"/features/{pm_wire.task_id(task.epic_id)}")
                if epic not in self._names:
                    self._learn("epic", "/epics")
        except (RunnerError, ValueError) as error:
            logger.debug("feature and epic of task %s have no names: %s", task.id, error)
        return self._names.get(feature, ""), self._names.get(epic, "")

    def _learn(self, kind: str, path: str) -> None:
        for row in self._api.get(path, {}, pm_wire.parse_rows):
            if isinstance(row.get("name"), str):
                self._names[kind, str(row.get("id"))] = pm_wire.one_line(str(row["name"]), NAME_LIMIT)
