"""What a person who plans work does at a PM server, over its API; every generation of the server will do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from components.errors import NotFound, SourceRefused, SourceUnavailable, Unauthorized

Json = dict[str, Any]

PATIENCE = (5.0, 60.0)  # seconds to connect, seconds of silence
ANSWER_LIMIT = 64 << 20
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
KEY_LINE = re.compile(r"^Key: (\S+)\s*\Z", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Draft:
    """A task that is to be made. `key` names it for good, so that an import can be repeated."""

    title: str
    description: str = ""
    role: str = "backend_dev"
    level: str = "senior"
    complexity: str = "minor"
    branch: str = ""
    feature: str = "Tasks"
    epic: str = "Backlog"
    pending: bool = False
    key: str = ""

    @property
    def text(self) -> str:
        """Return the description as the server gets it: the key is its last line."""
        return f"{self.description.rstrip()}\n\nKey: {self.key}".lstrip() if self.key else self.description


class Desk:
    """One person's seat at a server. Signs in as a pm agent when something is changed.

    Every method raises SourceUnavailable when asking again may help, Unauthorized for a bad key, SourceRefused when the
    server says no, NotFound for a task that is not there. Nothing is repeated by itself.
    """

    def __init__(self, url: str, key: str, agent_id: str) -> None:
        self._base = url.rstrip("/").removesuffix("/api/v1")
        self._agent_id = agent_id
        self._signed_in = False
        self._session = requests.Session()
        self._session.headers["X-API-Key"] = key
        self._session.trust_env = urlsplit(self._base).hostname not in LOOPBACK  # no proxy for this machine

    def tasks(self, status: str | None = None, role: str | None = None) -> list[Json]:
        """Return tasks, newest first."""
        wanted = {"status": status, "role": role}
        found = self._ask("GET", "/tasks", query={name: value for name, value in wanted.items() if value})
        return [{**task, "status": str(task.get("status", "")).lower()} for task in _list(found)]

    def task(self, task_id: int) -> Json:
        """Return one task; by the list, because not every server can show one."""
        for task in self.tasks():
            if task.get("id") == task_id:
                return task
        raise NotFound(f"there is no task {task_id} at {self._base}; `pm task list` shows those there are")

    def agents(self) -> list[Json]:
        """Return the agents, last seen first."""
        return _list(self._ask("GET", "/agents"))

    def add(self, draft: Draft) -> Json:
        """Make a task, with its epic and feature when they are not there, and put it into the queue."""
        body = {
            "feature_id": self._feature(draft.epic, draft.feature),
            "title": draft.title,
            "description": draft.text,
            "target_role": draft.role,
            "difficulty": draft.level,
            "complexity": draft.complexity,
            "branch": draft.branch,
        }
        task = _dict(self._ask("POST", "/tasks/create", body=body, query=self._me()))
        wanted = "pending" if draft.pending else "created"
        if str(task.get("status", "")).lower() != wanted:
            return self.move(int(task["id"]), wanted)
        return {**task, "status": wanted}

    def move(self, task_id: int, status: str) -> Json:
        """Set a task's status."""
        changed = self._ask("PUT", f"/tasks/{task_id}/status", body={"status": status}, query=self._me())
        task = _dict(_dict(changed).get("task"))
        return {**task, "status": str(task.get("status", "")).lower()}

    def approve(self, task_id: int) -> Json:
        """Put a pending task into the queue; one that is there already stays. SourceRefused for any other status."""
        task = self.task(task_id)
        if task["status"] == "pending":
            return self.move(task_id, "created")
        if task["status"] != "created":
            raise SourceRefused(f"task {task_id} is {task['status']}; only a pending task can be approved")
        return task

    def delete(self, task_id: int) -> None:
        """Delete a task with its history."""
        self._ask("DELETE", f"/tasks/{task_id}", query=self._me())

    def known_keys(self) -> dict[str, int]:
        """Return the keys of earlier imports with the ids of their tasks."""
        found = ((KEY_LINE.search(str(task.get("description") or "")), task) for task in self.tasks())
        return {match.group(1): int(task["id"]) for match, task in found if match}

    def _feature(self, epic: str, feature: str) -> int:
        epic_id = _id_of(_list(self._ask("GET", "/epics")), epic)
        if epic_id is None:
            body: Json = {"name": epic, "description": ""}
            epic_id = int(_dict(self._ask("POST", "/epics", body=body, query=self._me()))["id"])
        feature_id = _id_of(_list(self._ask("GET", f"/features/{epic_id}")), feature)
        if feature_id is None:
            body = {"epic_id": epic_id, "name": feature, "description": ""}
            feature_id = int(_dict(self._ask("POST", "/features", body=body, query=self._me()))["id"])
        return feature_id

    def _me(self) -> Json:
        """Return the acting agent as the API wants it, signed in as a pm."""
        if not self._signed_in:
            body = {"agent_id": self._agent_id, "role": "pm", "level": "principal"}
            stored = _dict(_dict(self._ask("POST", "/register", body=body)).get("agent")).get("role")
            if stored != "pm":
                raise SourceRefused(
                    f"the server knows the agent {self._agent_id} as {stored}, and only a pm may do this; "
                    "choose another id with `pm --as NAME`"
                )
            self._signed_in = True
        return {"agent_id": self._agent_id}

    def _ask(self, method: str, path: str, body: Json | None = None, query: Json | None = None) -> Any:
        try:
            with self._session.request(
                method,
                f"{self._base}/api/v1{path}",
                json=body,
                params=query,
                timeout=PATIENCE,
                stream=True,
                allow_redirects=False,
            ) as response:
                content = _bounded(response)
        except requests.RequestException as error:
            kind = type(error).__name__
            raise SourceUnavailable(f"{self._base} did not answer ({kind}); is `pm serve` running there?") from error
        return _understood(self._base, method, path, response.status_code, content)


def _bounded(response: requests.Response) -> bytes:
    content = bytearray()
    for chunk in response.iter_content(1 << 16):
        content += chunk
        if len(content) > ANSWER_LIMIT:
            raise SourceUnavailable(f"{response.url} sent more than {ANSWER_LIMIT >> 20} MB; is it a Headless PM?")
    return bytes(content)


def _understood(base: str, method: str, path: str, status: int, content: bytes) -> Any:
    try:
        answer = json.loads(content)
    except ValueError as error:
        said = content[:60].decode(errors="replace")
        raise SourceUnavailable(f"{method} {path}: {base} answered {status} {said!r}, not JSON") from error
    if status < 300:
        return answer
    detail = _detail(answer)
    if status == 401:
        raise Unauthorized(f"{base} does not accept the API key ({detail}); check HEADLESS_PM_API_KEY")
    if status == 404:
        raise NotFound(f"{method} {path}: {detail}")
    if status >= 500:
        raise SourceUnavailable(f"{method} {path}: {base} answered {status} ({detail})")
    raise SourceRefused(f"{method} {path}: {base} answered {status}: {detail}")


def _detail(answer: Any) -> str:
    """Return what an error body says: a text, or a list of what is wrong with which field."""
    detail = answer.get("detail", answer) if isinstance(answer, dict) else answer
    if not isinstance(detail, list):
        return str(detail)
    fields = (part for part in detail if isinstance(part, dict))
    return "; ".join(f"{'.'.join(map(str, part.get('loc', ())))}: {part.get('msg')}" for part in fields)


def _dict(answer: Any) -> Json:
    if not isinstance(answer, dict):
        raise SourceUnavailable(f"an object was expected of the server, not {str(answer)[:60]!r}")
    return answer


def _list(answer: Any) -> list[Json]:
    if not isinstance(answer, list) or not all(isinstance(one, dict) for one in answer):
        raise SourceUnavailable(f"a list was expected of the server, not {str(answer)[:60]!r}")
    return answer


def _id_of(named: list[Json], name: str) -> int | None:
    return next((int(one["id"]) for one in named if one.get("name") == name), None)
