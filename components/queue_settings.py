"""The settings of the queue and its workers: a part of the table in `settings`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from components.schedule_kind import Recurrences, check_role
from components.setting import Setting
from components.setting_kinds import Names, Number, Text
from components.store_url import StoreUrl, shown

WORKER = Text(
    "1 to 64 of the characters A-Z a-z 0-9 _ . @ -, a letter or a digit first",
    re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}"),
)


@dataclass(frozen=True, slots=True)
class Roles:
    """A list of roles: comma-separated in text, or a YAML list."""

    words: str = "names of roles, such as [backend_dev, qa]"

    def from_text(self, text: str) -> tuple[str, ...]:
        return self.from_yaml(text)

    def from_yaml(self, value: object) -> tuple[str, ...]:
        names = Names(self.words).from_yaml(value)
        for name in names:
            check_role(name)
        return names


@dataclass(frozen=True, slots=True)
class PerRole:
    """A number for some roles."""

    words: str = "a table such as {backend_dev: 20, qa: 5}"

    def from_text(self, text: str) -> Mapping[str, int]:
        pairs = dict(pair.strip().partition("=")[::2] for pair in text.split(",") if pair.strip())
        return self.from_yaml({role: int(count) if count.isdecimal() else count for role, count in pairs.items()})

    def from_yaml(self, value: object) -> Mapping[str, int]:
        if not isinstance(value, dict):
            raise ValueError(f"not a table; write {self.words}")
        for role, count in value.items():
            check_role(str(role))
            if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= 1_000_000:
                raise ValueError(f"{role} has no whole number from 0 to 1000000; write {self.words}")
        return {str(role): count for role, count in value.items()}


SHARED_QUEUE = (
    Setting(
        "queue",
        StoreUrl(),
        "",
        "Where the queue is that agents wait in: a file, or a PostgreSQL database that workers of many machines share.",
        masked=shown,
        derived="the database of `store` where that is PostgreSQL, else `engine.db` in the home",
    ),
    Setting(
        "worker_name",
        WORKER,
        "",
        "A worker's name, its own among all workers of the queue.",
        flag="--name",
        derived="the name of the machine",
    ),
    Setting("worker_roles", Roles(), (), "The roles that a worker serves.", flag="--roles", derived="all"),
    Setting(
        "worker_concurrency",
        Number(1, 1000, whole=True),
        4,
        "How many agents a worker has at once.",
        flag="--concurrency",
    ),
    Setting("queue_concurrency", Number(1, 1_000_000, whole=True), None, "How many all workers have at once."),
    Setting("role_concurrency", PerRole(), {}, "How many of a role all workers have at once."),
    Setting(
        "queue_poll_interval",
        Number(0.05, 3600, "seconds"),
        0.5,
        "How often a worker looks into a queue on PostgreSQL; of its own machine it is woken at once.",
    ),
    Setting(
        "worker_ttl",
        Number(2, 86400, "seconds"),
        90.0,
        "After how long without a sign of life a worker of another machine counts as dead.",
    ),
    Setting(
        "schedules",
        Recurrences(),
        None,
        "Tasks and workflows that recur, for a worker to put into the queue; {} withdraws all, none leaves them.",
    ),
)
