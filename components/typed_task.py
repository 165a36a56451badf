"""What a person typed as a task: kept in a file of its own, from which its runner can be started any number of times.

```
<home>/tasks/<claim>/   0700
  task.json     what was typed; never changed
  state.json    status, lock, comments (sources/typed.py)
  verdict.json  how it ended
  log           what its runner says
  alive         locked by its runner from birth to death
  queued        locked by whoever waits for its turn to start the runner; tells its process id
  awaiting      locked by whoever does so in the background, from birth to death
```
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components import durable, execution_names
from components.errors import NotFound
from components.journal_format import CLAIM
from components.model import Task, Verdict
from components.short_id import SHORT
from components.states import Complexity, Door, Reason

DIRECTORY = "tasks"
QUEUED, AWAITING, ALIVE = "queued", "awaiting", "alive"
PID_LETTERS = 20


@dataclass(frozen=True, slots=True)
class TypedTask:
    """A typed task. `claim` is the execution's id; `settings` override the configuration, by name, as text.

    `restarted_from` is the execution that this one repeats; with `resumes` it goes on in that one's session and
    workspace. `clone_of` is the address of a repository elsewhere, of which `repository` is or will be a clone, with
    the `branch` that the work begins at; `kind` is a WorkspaceKind, "" for what the task's complexity says. It builds
    upon `starts`, commits as `COMMIT@BRANCH` that are merged for it, and `parents`: (name, output) of who made them.
    `names` are what people call who made them, by commit.
    `left` are commits of earlier attempts at the same work, the first of which began at the commit `given`.
    `board_task` is the id of the task of the board that it is a run of, "" for none.
    """

    claim: str
    task: Task
    repository: Path
    project: str
    settings: Mapping[str, str] = field(default_factory=dict)
    restarted_from: str = ""
    resumes: bool = False
    door: Door = Door.TASK
    clone_of: str = ""
    branch: str = ""
    kind: str = ""
    starts: tuple[str, ...] = ()
    parents: tuple[tuple[str, str], ...] = ()
    board_task: str = ""
    left: tuple[str, ...] = ()
    given: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def agent_id(self) -> str:
        """The name of the agent that does this one task."""
        return agent_of(self.claim)


def save(home: Path, typed: TypedTask) -> Path:
    """Make a new typed task durable and return its directory."""
    directory = durable.make_directory(directory_of(home, typed.claim))
    data = {**asdict(typed), "repository": str(typed.repository), "version": 1}
    durable.write(directory / "task.json", json.dumps(data, indent=2, ensure_ascii=False).encode(errors="replace"))
    durable.create(directory / "log")
    durable.sync_directory(directory)
    return directory


def load(home: Path, claim: str) -> TypedTask:
    """Return a typed task. Raises NotFound for one that is not there or cannot be read."""
    path = directory_of(home, claim) / "task.json"
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        return TypedTask(
            claim=data["claim"],
            task=Task(**{**data["task"], "complexity": Complexity(data["task"]["complexity"])}),
            repository=Path(data["repository"]),
            project=data["project"],
            settings=dict(data["settings"]),
            restarted_from=data["restarted_from"],
            resumes=data["resumes"],
            door=Door(data.get("door", Door.TASK)),
            **{name: str(data.get(name, "")) for name in ("clone_of", "branch", "kind")},
            board_task=str(data.get("board_task", "")),
            starts=tuple(map(str, data.get("starts", ()))),
            left=tuple(map(str, data.get("left", ()))),
            given=str(data.get("given", "")),
            names={str(commit): str(name) for commit, name in data.get("names", {}).items()},
            parents=tuple((str(name), str(output)) for name, output in data.get("parents", ())),
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise NotFound(f"the task {path} cannot be read: {error}") from error


def directory_of(home: Path, claim: str) -> Path:
    """Return the directory of a typed task. Raises NotFound for what is no id."""
    if not CLAIM.fullmatch(claim):
        raise NotFound(f"execution {claim[:64]!r}: an id is 32 of the letters 0-9 a-f; `list` shows them")
    return home / DIRECTORY / claim


def agent_of(claim: str) -> str:
    """Return the name of the agent that does one typed task."""
    return f"task-{claim[:SHORT]}"


def forget_agent(home: Path, claim: str) -> None:
    """Remove the lock file of a typed task's agent: there will be no such agent again.

    Only for who holds the task's `alive`: every runner of it takes that first, so nobody can have this file open.
    """
    (home / "locks" / f"agent-{agent_of(claim)}.flock").unlink(missing_ok=True)


def claims(home: Path) -> list[str]:
    """Return the ids of all typed tasks of a home."""
    return [name for name in execution_names.names(home / DIRECTORY) if CLAIM.fullmatch(name)]


def has_runner(home: Path, claim: str) -> bool:
    """Does the runner of a typed task live?"""
    return durable.is_held(_file(home, claim, ALIVE))


def is_queued(home: Path, claim: str) -> bool:
    """Does somebody wait for its turn to start its runner?"""
    return durable.is_held(_file(home, claim, QUEUED)) or durable.is_held(_file(home, claim, AWAITING))


def waiter(home: Path, claim: str) -> int:
    """Return the process id of who waits for its turn to start its runner, 0 for nobody, or one that tells none."""
    path = _file(home, claim, QUEUED)
    try:
        return int(Path(path).read_bytes()[:PID_LETTERS]) if durable.is_held(path) else 0
    except (OSError, ValueError):
        return 0


def was_attended(home: Path, claim: str) -> bool:
    """Has anybody ever waited for its turn, or run it? Then it is told by their locks whether one still does."""
    return any(os.path.exists(_file(home, claim, name)) for name in (ALIVE, QUEUED, AWAITING))  # noqa: PTH110


def _file(home: Path, claim: str, name: str) -> str:
    """Return a file's path as text: there may be ten thousand tasks, and a Path for each takes longer than the look."""
    if not CLAIM.fullmatch(claim):
        directory_of(home, claim)
    return os.path.join(home, DIRECTORY, claim, name)  # noqa: PTH118


def keep_verdict(home: Path, claim: str, verdict: Verdict) -> None:
    """Keep how a typed task ended."""
    path = directory_of(home, claim) / "verdict.json"
    durable.write(path, json.dumps(asdict(verdict), ensure_ascii=False).encode(errors="replace"))


def ended_at(home: Path, claim: str) -> str:
    """Return when the verdict on a typed task was kept (UTC, ISO 8601), "" where there is none."""
    try:
        moment = (directory_of(home, claim) / "verdict.json").stat().st_mtime
    except OSError:
        return ""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def verdict_of(home: Path, claim: str) -> Verdict | None:
    """Return how a typed task ended, or None where it has not ended."""
    try:
        data = json.loads((directory_of(home, claim) / "verdict.json").read_bytes())
        return Verdict(**{**data, "reason": Reason(data["reason"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise NotFound(f"the verdict of execution {claim[:SHORT]} cannot be read: {error}") from error
