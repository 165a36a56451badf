"""What the API is given and gives, as OpenAPI tells it."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from components.board_task import BoardStatus, BoardTask
from components.states import Complexity, Level, Role

MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,199}")
ID = re.compile(r"[0-9a-f]{8,32}")
LINE = 1000
TEXT = 1_000_000


def _said_something(text: str) -> str:
    """Return a text that says something. Raises ValueError."""
    if not text.strip():
        raise ValueError("it is empty")
    return _storable(text)


def _storable(text: str) -> str:
    """Return a text that every store can keep. Raises ValueError."""
    if "\0" in text:
        raise ValueError("it has a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it has half a character") from None
    return text


def _line(text: str) -> str:
    if any(ord(letter) < 32 for letter in text):
        raise ValueError("it has control characters; write one line")
    return _storable(text)


def _model(name: str) -> str:
    """Return the name of a model. Raises ValueError for what an agent's command line may take for something else."""
    if name and not MODEL.fullmatch(name):
        raise ValueError(
            "no name of a model; write one such as claude-sonnet-5, with letters, digits and . _ : / @ [ ] -"
        )
    return name


def _within(path: str) -> str:
    """Return a path that stays within a repository. Raises ValueError."""
    if path.startswith(("/", "~")) or ".." in path.split("/"):
        raise ValueError("not a path within the repository; write one such as docs/feature.md")
    return _line(path)


def _moment(text: str) -> str:
    """Return a time as the store keeps it, so that the two can be compared. Raises ValueError."""
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus in a query that nobody encoded is a space
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        raise ValueError("no time; write one such as 2026-11-21 or 2026-11-21T14:30:00+00:00 (UTC)") from None


def _known_as(text: str) -> str:
    """Return an id. Raises ValueError for what is none."""
    if text and not ID.fullmatch(text):
        raise ValueError("no id; give the id of the last one of the page before, 32 of the letters 0-9 a-f")
    return text


def _day(text: str) -> str:
    """Return a day. Raises ValueError."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date().isoformat() if text else ""
    except ValueError:
        raise ValueError("no day; write one such as 2026-11-21") from None


def _told(pattern: str) -> dict[str, Any]:
    """Return what OpenAPI tells of a text that a validator of ours checks: its words say more than a pattern's."""
    return {"pattern": pattern}


said = AfterValidator(_said_something)
"""Refuses a text that is empty."""
PLAIN = r"^[^\x00-\x1F]*$"
A_DAY: tuple[dict[str, Any], ...] = ({"const": ""}, {"type": "string", "format": "date"})
A_TIME = (*A_DAY, {"type": "string", "format": "date-time"})
Title = Annotated[
    str,
    Field(min_length=1, max_length=LINE, json_schema_extra=_told(r"^[^\x00-\x1F]*[^\s\x00-\x1F][^\x00-\x1F]*$")),
    AfterValidator(_said_something),
    AfterValidator(_line),
]
LongText = Annotated[str, Field(max_length=TEXT, json_schema_extra=_told(r"^[^\x00]*$")), AfterValidator(_storable)]
Word = Annotated[str, Field(max_length=LINE, json_schema_extra=_told(PLAIN)), AfterValidator(_line)]
Model = Annotated[str, Field(max_length=LINE, json_schema_extra=_told(f"^({MODEL.pattern})?$")), AfterValidator(_model)]
Time = Annotated[str, Field(max_length=LINE, json_schema_extra={"anyOf": [*A_TIME]}), AfterValidator(_moment)]
"""A time in ISO 8601; without a zone it is UTC."""
Day = Annotated[str, Field(max_length=10, json_schema_extra={"anyOf": [*A_DAY]}), AfterValidator(_day)]
Id = Annotated[str, Field(max_length=LINE, json_schema_extra=_told(f"^({ID.pattern})?$")), AfterValidator(_known_as)]
RepositoryPath = Annotated[
    str,
    Field(max_length=LINE, json_schema_extra=_told(r"^(?![/~])(?!(.*/)?\.\.(/|$))[^\x00-\x1F]*$")),
    AfterValidator(_within),
]


class Given(BaseModel):
    """What is given has no fields but those that we know."""

    model_config = ConfigDict(extra="forbid")


class NewTask(Given):
    """A task for the board."""

    title: Title
    context: LongText = Field(default="", description="What the agent should know, and what is to be done.")
    docs_path: RepositoryPath = Field(default="", description="Where its documentation is, within the repository.")
    project: Word = Field(default="", description="A name of GET /api/projects; may be left out where there is one.")
    role: Role = Role.BACKEND_DEV
    level: Level | None = None
    complexity: Complexity = Field(default=Complexity.MAJOR, description="`major` works in a worktree of its own.")
    model: Model = ""


class TaskShown(BaseModel):
    """A task of the board."""

    id: str
    title: str
    context: str
    docs_path: str
    project: str
    repository: str
    role: str
    level: str
    complexity: str
    model: str
    status: BoardStatus
    host: str
    execution_id: str = Field(description="Its run now, or its last one.")
    error: str = Field(description="Why it is back in `todo`.")
    output: list[str] = Field(description="The last 50 lines that its agent printed.")
    created_at: str
    updated_at: str
    started_at: str
    ended_at: str
    pid: int | None = Field(description="Of the process that runs it.")
    exit_code: int | None = Field(description="Of its agent.")


class TaskList(BaseModel):
    """Tasks of the board, newest first; `counts` are of all of the project, or of all projects."""

    tasks: list[TaskShown]
    counts: dict[str, int]


class Started(BaseModel):
    """A task that runs now."""

    status: Literal["running"]
    pid: int
    execution_id: str


class Stopping(BaseModel):
    """It was asked to end; after the grace it is killed."""

    status: Literal["stopping"]


def safe(word: str) -> str:
    """Return a word that may be looked for in every store; what is kept there has no such character."""
    return word.replace("\0", "?").encode(errors="replace").decode()


def shown(task: BoardTask) -> dict[str, Any]:
    """Return a task of the board as the API tells it."""
    return {**asdict(task), "output": list(task.output), "pid": task.pid or None}
