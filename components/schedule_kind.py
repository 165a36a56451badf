"""Recurring tasks, as a kind of setting."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from components.setting_kinds import CONTROL, nearest
from components.states import Role

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
FIELD = re.compile(r"[0-9A-Za-z*/,#?-]+")
KEYS = ("cron", "task", "workflow", "role")
ROLES = tuple(map(str, Role))


@dataclass(frozen=True, slots=True)
class Schedule:
    """What recurs: a workflow's file, or a task in words for a role, by a cron expression in UTC of five or six fields.

    With six the first is the second.
    """

    name: str
    cron: str
    task: str = ""
    workflow: str = ""
    role: str = ""

    def __str__(self) -> str:
        return f"{self.cron} ({self.workflow or self.task})"


@dataclass(frozen=True, slots=True)
class Recurrences:
    """For a name, when and what."""

    words: str = 'a table such as {nightly: {cron: "0 3 * * *", task: "Update the dependencies", role: backend_dev}}'

    def from_text(self, text: str) -> Mapping[str, Schedule]:
        try:
            return self.from_yaml(json.loads(text) if text.strip() else {})
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON ({error.msg}); write {self.words} as JSON, or in the file") from None

    def from_yaml(self, value: object) -> Mapping[str, Schedule]:
        if not isinstance(value, dict):
            raise ValueError(f"not a table; write {self.words}")
        return {str(name): self._one(name, given) for name, given in value.items()}

    def _one(self, name: object, given: object) -> Schedule:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name: 1 to 64 of the characters A-Z a-z 0-9 _ . -")
        if not isinstance(given, dict):
            raise ValueError(f"{name} is not a table; write {self.words}")
        for key, text in given.items():
            _check(f"{name}.{key}", key, text)
        fields = str(given.get("cron", "")).split()
        if len(fields) not in (5, 6) or not all(FIELD.fullmatch(one) for one in fields):
            raise ValueError(f'{name}.cron is no cron expression; write five fields such as "30 2 * * 1-5"')
        if bool(given.get("task")) == bool(given.get("workflow")):
            raise ValueError(f"{name} needs one of task and workflow; write {self.words}")
        return Schedule(name=name, **{**given, "cron": " ".join(fields)})


def _check(where: str, key: object, text: object) -> None:
    if key not in KEYS:
        raise ValueError(f"{where} is not known; write {', '.join(KEYS)}{nearest(str(key), KEYS)}")
    if not isinstance(text, str) or CONTROL.search(text.replace("\n", " ")):
        raise ValueError(f"{where} is no text; put it in quotes")
    if key == "role" and text:
        check_role(text, f"{where}: ")


def check_role(word: str, where: str = "") -> None:
    """Raises ValueError for a role that no agent can have: nothing would ever wait for it."""
    if word not in ROLES:
        raise ValueError(f"{where}{word!r} is not a role; write one of {', '.join(ROLES)}{nearest(word, ROLES)}")
