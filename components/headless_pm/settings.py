"""What a server is started with: where its data is, who may ask, which defects of the original it copies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from components.errors import ConfigError

DEFAULT_PORT = 6969
STALE_SECONDS = 1800.0
DEV_KEYS = ("development-key", "XXXXXX")

MAIN_STATUSES = (
    "pending",
    "created",
    "under_work",
    "dev_done",
    "qa_done",
    "documentation_done",
    "committed",
    "evaluation",
    "approved",
)


class Generation(StrEnum):
    """The three servers in the wild: main of 2026-02, and two branches of 2025-07."""

    MAIN = "main"
    HOOKS = "hooks"
    INSTALLER = "installer"


def _switch(meaning: str) -> Any:
    return field(default=False, metadata={"help": meaning})


def _seconds(meaning: str, usual: float) -> Any:
    return field(default=None, metadata={"help": f"{meaning} (seconds, {usual:g} unless given)", "usual": usual})


@dataclass(frozen=True, slots=True)
class Defects:
    """Behaviours of the original that this server copies only on demand. Seconds where a value is a number."""

    racy_lock: float | None = _seconds("a lock is checked, then set this much later: two callers may get 200", 0.2)
    strict_relock: bool = _switch("locking a task you already hold is 409")
    no_get_task: bool = _switch("GET /tasks/{id} is 405")
    no_unlock: bool = _switch("there is no unlock endpoint")
    reused_ids: bool = _switch("the id of the newest row, once deleted, is given out again")
    notes_overwritten: bool = _switch("notes of a status change replace the notes, comments included")
    racy_comments: float | None = _seconds("a comment is read, then written this much later: others get lost", 0.05)
    poll_grid: float | None = _seconds("a waiting `next` holds one of 40 threads and looks only this often", 5.0)
    plain_500: bool = _switch("an error of the server is 500 text/plain, also deleting an agent that created tasks")
    naive_since: bool = _switch("changes?since= with a zone or a Unix number is an empty list")
    no_pending: bool = _switch("there is no status pending (422), and a new task is created")
    new_created: bool = _switch("a new task is created, not pending")
    upper_case: bool = _switch("statuses are upper case in answers, either case is taken")
    testing: bool = _switch("there is a status testing")
    no_epic_id: bool = _switch("tasks have no epic_id")
    closed_context: bool = _switch("/context needs the key")
    dev_keys: bool = _switch("the keys development-key and XXXXXX are accepted")
    delay: float | None = _seconds("every answer comes this much later", 1.0)

    @property
    def first_status(self) -> str:
        """Return what a new task is."""
        return "created" if self.no_pending or self.new_created else "pending"

    @property
    def statuses(self) -> tuple[str, ...]:
        """Return the statuses this server knows, in the order its error messages name them."""
        known = tuple(status for status in MAIN_STATUSES if not (self.no_pending and status == "pending"))
        return (*known, "testing") if self.testing else known

    @property
    def capabilities(self) -> tuple[str, ...]:
        """Return what `GET /health` announces beyond the original; none of it where the defect is on."""
        lacking = {
            "get_task": self.no_get_task,
            "unlock": self.no_unlock,
            "atomic_lock": self.racy_lock is not None,
            "relock": self.strict_relock,
            "wake": self.poll_grid is not None,
        }
        return tuple(name for name, lacks in lacking.items() if not lacks)


REAL: Mapping[str, object] = {
    "racy_lock": 0.02,
    "strict_relock": True,
    "no_get_task": True,
    "no_unlock": True,
    "reused_ids": True,
    "notes_overwritten": True,
    "racy_comments": 0.02,
    "poll_grid": 5.0,
    "plain_500": True,
    "naive_since": True,
}

GENERATIONS: Mapping[Generation, Mapping[str, object]] = {
    Generation.MAIN: {},
    Generation.HOOKS: {"no_pending": True, "no_epic_id": True, "closed_context": True},
    Generation.INSTALLER: {
        "no_pending": True,
        "no_epic_id": True,
        "closed_context": True,
        "upper_case": True,
        "testing": True,
    },
}


def defects(*, real: bool = False, generation: str = "main", named: Iterable[str] = ()) -> Defects:
    """Build the switches from a command line: `named` holds NAME or NAME=VALUE, and wins over the presets.

    Raises ConfigError naming the unknown switch or the bad value.
    """
    chosen: dict[str, Any] = dict(GENERATIONS[Generation(generation)])
    if real:
        chosen |= REAL
        chosen["dev_keys"] = generation == Generation.MAIN
    for word in named:
        name, _, value = word.partition("=")
        chosen[name] = _parsed(name, value)
    return replace(Defects(), **chosen)


def described() -> str:
    """Return every switch with its meaning, a line each."""
    return "\n".join(f"{switch.name:18} {switch.metadata['help']}" for switch in fields(Defects))


def _parsed(name: str, value: str) -> bool | float | None:
    switch = next((one for one in fields(Defects) if one.name == name), None)
    if switch is None:
        known = ", ".join(one.name for one in fields(Defects))
        raise ConfigError(f"--defect {name}: there is no such switch; choose from: {known}")
    if value in ("off", "no", "false"):
        return None if "usual" in switch.metadata else False
    if "usual" not in switch.metadata:
        if value in ("", "on", "yes", "true"):
            return True
        raise ConfigError(f"--defect {name}={value}: this switch is on or off; write {name} or {name}=off")
    try:
        seconds = float(value) if value else float(switch.metadata["usual"])
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise ConfigError(f"--defect {name}={value}: a number of seconds from 0 to 3600 is expected, as {name}=0.5")
    return seconds


@dataclass(frozen=True, slots=True)
class Settings:
    """How one server runs. `stale_after` is the silence (s) after which a holder's locks are forgotten."""

    database: Path
    keys: tuple[str, ...] = field(repr=False)
    defects: Defects = Defects()
    stale_after: float = STALE_SECONDS
    faults: bool = False

    @property
    def accepted_keys(self) -> tuple[bytes, ...]:
        """Return every key that opens the API."""
        return tuple(key.encode() for key in (*self.keys, *(DEV_KEYS if self.defects.dev_keys else ())))
