"""The JSON of a Headless PM server read into values: pure, bounded, distrustful.

Three generations of servers are understood: statuses in lower or upper case, with or without `epic_id`.
What cannot be read raises ValueError with a sentence that names the field and what was seen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from components.model import Task
from components.states import Complexity, Role

if TYPE_CHECKING:  # journals are read by the words here too, in every command; only the runner loads the ports
    from components.ports import Change, Registration

ID = re.compile(r"[0-9]{1,18}")
UNPRINTABLE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor, screen
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # strings to the terminal: its title, its clipboard
    r"|\x1b[ -/]*[0-~]?|[\x00-\x1f\x7f-\x9f]"  # shorter escapes and single control characters
    r"|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # what turns the direction of writing round
)
TITLE_LIMIT = 500
TEXT_LIMIT = 1_000_000
NAME_LIMIT = 1_000
DETAIL_LIMIT = 500


def task_id(value: object) -> str:
    """Return an id that may stand in an address and in a path: 1 to 18 digits. Raises ValueError for any other."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not ID.fullmatch(text):
        raise ValueError(f"the task's id is {one_line(repr(value), 60)}, not a number of 1 to 18 digits")
    return text


def parse_task(data: object, *, strict: bool = True) -> Task:
    """Return the task that an answer describes.

    An unknown or missing complexity is read as major: a worktree of its own is the safe choice. Not `strict` is for
    the earlier runner's lock files, which may hold no more than {"id", "title", "status", "skill_level"}: only the id
    must be right there, and any other field of a wrong type is read as absent.
    """
    if not isinstance(data, dict):
        raise ValueError(f"a task was expected, not {_kind(data)}")
    read = _Fields(data, strict)
    role = read.name("target_role").lower()
    if strict and role not in set(Role):
        raise ValueError(f"the task's target_role is {one_line(repr(role), 60)}; known are {', '.join(Role)}")
    return Task(
        id=task_id(data.get("id")),
        title=one_line(read.text("title", required=True), TITLE_LIMIT),
        description=_cut(read.text("description"), TEXT_LIMIT),
        role=role,
        level=(read.name("difficulty") or (read.name("skill_level") if not strict else "")).lower(),
        complexity=_complexity(read.name("complexity")),
        branch=read.name("branch"),
        status=read.name("status", required=True).lower(),
        locked_by=read.name("locked_by") or None,
        created_by=read.name("created_by"),
        created_at=read.name("created_at"),
        notes=_cut(read.text("notes"), TEXT_LIMIT),
        feature_id=read.name_or_number("feature_id"),
        epic_id=read.name_or_number("epic_id"),
    )


def parse_rows(data: object) -> list[dict[str, object]]:
    """Return the rows of a list; what is no object in it is left out."""
    if not isinstance(data, list):
        raise ValueError(f"a list was expected, not {_kind(data)}")
    return [row for row in data if isinstance(row, dict)]


def member(data: object, name: str) -> object:
    """Return a field of an answer that must be an object."""
    if not isinstance(data, dict) or name not in data:
        raise ValueError(f"an object with the field {name} was expected, not {_kind(data)}")
    return data[name]


def accept(data: object) -> None:
    """Check an answer whose content does not matter: an object, as every answer to a write is."""
    if not isinstance(data, dict):
        raise ValueError(f"an object was expected, not {_kind(data)}")


def parse_registration(data: object) -> Registration:
    """Return what the server has stored of the agent, from the answer to `register`."""
    from components.ports import Registration

    agent = member(data, "agent")
    if not isinstance(agent, dict):
        raise ValueError(f"agent is {_kind(agent)}, not an object")
    read = _Fields(agent, strict=True)
    return Registration(
        agent_id=read.name("agent_id", required=True),
        role=read.name("role", required=True).lower(),
        level=read.name("level", required=True).lower(),
        last_seen=read.name("last_seen"),
    )


def parse_changes(data: object, task: Task) -> list[Change]:
    """Return the changes of one task, newest first, from the changelog of the whole project.

    Changes from before the task was made belong to an earlier one with the same id; timestamps are naive UTC of one
    form, which sort as text. Rows that cannot be read are left out.
    """
    from components.ports import Change

    changes = []
    for row in parse_rows(data):
        if str(row.get("task_id")) == task.id:
            read = _Fields(row, strict=False)
            changes.append(
                Change(
                    task_id=task.id,
                    old_status=read.name("old_status").lower(),
                    new_status=read.name("new_status").lower(),
                    changed_by=read.name("changed_by"),
                    changed_at=read.name("changed_at"),
                )
            )
    own = [change for change in changes if change.changed_at >= task.created_at]
    return sorted(own, key=lambda change: change.changed_at, reverse=True)


def parse_capabilities(data: object) -> frozenset[str]:
    """Return the additions that a server announces in `/health`; a server that announces none has none."""
    names = data.get("capabilities") if isinstance(data, dict) else None
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def parse_detail(data: object, body: str) -> str:
    """Return a refusal in the server's own words, as one line that may be shown.

    `detail` is text for the server's own errors and a list of {loc, msg} for a field that does not fit.
    """
    detail = data.get("detail") if isinstance(data, dict) else None
    if isinstance(detail, list):
        words = "; ".join(_complaint(entry) for entry in detail[:5])
    elif isinstance(detail, str):
        words = detail
    else:
        words = body
    return one_line(words, DETAIL_LIMIT)


def complains_of(data: object, field: str) -> bool:
    """Return whether a refusal (422) is about this field, or does not say what it is about."""
    detail = data.get("detail") if isinstance(data, dict) else None
    if not isinstance(detail, list):
        return True
    places = [entry.get("loc") for entry in detail if isinstance(entry, dict)]
    return any(field in place for place in places if isinstance(place, list))


def is_upper_case(data: object) -> bool:
    """Return whether a task's JSON spells its status in upper case, as servers of one generation do."""
    status = data.get("status") if isinstance(data, dict) else None
    return isinstance(status, str) and status.isupper()


def one_line(text: str, limit: int) -> str:
    """Return text that may be shown anywhere: one line of at most `limit` characters, without terminal escapes."""
    # Cut before the search: its cost then has a bound, whatever the server sent.
    shown = " ".join(UNPRINTABLE.sub(" ", _encodable(text[: 4 * limit])).split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def outgoing(text: str, limit: int) -> str:
    """Return text that a server can store, of at most `limit` characters, the last of them saying if it was cut."""
    clean = _encodable(text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


class _Fields:
    """The fields of one JSON object; a wrong type raises ValueError where `strict`, else reads as absent."""

    def __init__(self, data: dict[str, Any], strict: bool) -> None:
        self._data = data
        self._strict = strict

    def text(self, field: str, *, required: bool = False) -> str:
        value = self._data.get(field)
        if isinstance(value, str):
            return _encodable(value)
        if self._strict and (required or value is not None):
            raise ValueError(f"{field} is {_kind(value)}, not text")
        return ""

    def name(self, field: str, *, required: bool = False) -> str:
        return self.text(field, required=required)[:NAME_LIMIT]

    def name_or_number(self, field: str) -> str:
        value = self._data.get(field)
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else self.name(field)


def _complexity(name: str) -> Complexity:
    return Complexity.MINOR if name.lower() == Complexity.MINOR else Complexity.MAJOR


def _complaint(entry: object) -> str:
    if not isinstance(entry, dict):
        return str(entry)[:DETAIL_LIMIT]
    place = entry.get("loc")
    where = ".".join(str(part) for part in place[:8]) if isinstance(place, list) else ""
    return f"{where}: {str(entry.get('msg', ''))[:DETAIL_LIMIT]}"


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n\n[Cut here: the text had {len(text):,} characters, the limit is {limit:,}.]"


def _encodable(text: str) -> str:
    """Return the text without what UTF-8 (lone surrogates) or C programs (NUL) cannot hold."""
    return text.encode(errors="replace").decode().replace("\0", "")


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return "nothing" if value is None else kinds.get(type(value), "something else")
