"""The sockets of the house: what a plug-in must do, typed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from components.event import Notice
from components.model import AgentResult, AgentRun, Command, ExitRecord, Progress, Task, Usage


class Listener(Protocol):
    """Hears what one agent prints, line by line as it comes, in memory that does not grow."""

    def hear(self, line: bytes) -> None:
        """Take one line of standard output without its newline; noise and a torn last line are no error."""
        ...

    def progress(self) -> Progress:
        """Return how far the agent is."""
        ...

    def result(self, exit_record: ExitRecord | None) -> AgentResult | None:
        """Return what the agent said of its run, or None when it did not say; None is also an end nobody saw."""
        ...


@runtime_checkable
class HearsMany(Protocol):
    """A listener that takes many lines at once, and passes over those that cannot matter faster than one by one."""

    def hear_many(self, lines: bytes) -> None:
        """Take whole lines, each with a newline before it and none behind it."""
        ...


class Executor(Protocol):
    """Speaks to one kind of agent. Pure: it makes words and reads words, and touches nothing.

    `resumes_by` says how it is known that a session can be gone on with: `transcript`, the CLI's own record on disk;
    `stream`, an id that the agent told while it ran; or "" where each run begins anew.
    """

    name: str
    resumes_by: str

    def command(self, run: AgentRun) -> Command:
        """Return how to start the agent for this run."""
        ...

    def listener(self) -> Listener:
        """Return somebody who understands what one run prints."""
        ...

    def usage(self, transcript: Iterable[bytes]) -> Usage:
        """Return what the lines of the agent's own record of a session say that it used: for a run that was killed."""
        ...


@runtime_checkable
class TellsTotals(Protocol):
    """An executor whose agent tells with each result the tokens of its whole session, earlier runs included."""

    tells_totals: bool


@dataclass(frozen=True, slots=True)
class Registration:
    """The source's answer to `register`: what it has stored of this agent, and when, in its own words."""

    agent_id: str
    role: str
    level: str
    last_seen: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the source's history of a task."""

    task_id: str
    old_status: str
    new_status: str
    changed_by: str
    changed_at: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person must see: a document at the source that mentions people; `marker` tells it from all others."""

    title: str
    content: str
    mentions: tuple[str, ...] = field(default=())
    marker: str = ""


class TaskSource(Protocol):
    """Where tasks come from and results go to.

    Every method raises SourceUnavailable when asking again later may help, SourceRefused when it will not, Unauthorized
    for a bad key. None of them repeats a write by itself: an unknown outcome is for the caller to look at.
    """

    def register(self) -> Registration:
        """Sign in; also the heartbeat that keeps our locks alive (the server forgets them after 30 min of silence)."""
        ...

    def last_seen(self) -> str:
        """Return when our agent id last signed in, in the source's own words; "" when it never did."""
        ...

    def capabilities(self) -> frozenset[str]:
        """Return what the source announces beyond the usual, such as `atomic_lock`; asked once, then remembered."""
        ...

    def next_task(self, refused: Collection[str] = ()) -> Task | None:
        """Return a free task for our role and level, without locking it; never one whose id is in `refused`."""
        ...

    def ours(self) -> list[Task]:
        """Return the tasks that we hold, and those at work whose lock was forgotten while we were the last to act."""
        ...

    def look(self, task: Task) -> Task | None:
        """Return the task as it is now, or None when it is gone or its id was given to another task.

        None is proof: a source that only fails to show the task for the moment raises SourceUnavailable.
        """
        ...

    def lock(self, task: Task) -> None:
        """Ask for the lock. Raises TaskTaken on 409, also when the holder is us. Success proves nothing: look."""
        ...

    def unlock(self, task: Task) -> bool:
        """Give the lock back and leave the status; False where the source has no way to do it."""
        ...

    def set_status(self, task: Task, status: str) -> Task:
        """Move the task; from `under_work` to anything else frees the lock. Raises SourceRefused on 422."""
        ...

    def comment(self, task: Task, text: str) -> None:
        """Append a comment to the task's notes."""
        ...

    def history(self, task: Task) -> list[Change]:
        """Return the task's recent status changes, newest first."""
        ...

    def alarm(self, alarm: Alarm) -> None:
        """Publish something that a person must see, unless a look shows one with its marker."""
        ...


@runtime_checkable
class KnowsGroups(Protocol):
    """A source whose tasks belong to something that has a name; being asked costs little, and never fails."""

    def groups(self, task: Task) -> tuple[str, str]:
        """Return the names of a task's feature and epic, "" for one that is not known."""
        ...


@runtime_checkable
class KnowsParents(Protocol):
    """A source whose tasks build upon others that are done."""

    def parents(self, task: Task) -> Sequence[tuple[str, str]]:
        """Return the name and the output of each task that this one builds upon."""
        ...


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One attempt of an agent whose turn has come. The key `<agent id>:<attempt>` is entered once, however often told.

    `role` says which workers may take it; of those that wait the lowest `priority` comes first. `lost` is how many
    attempts were lost with their machines since it was entered; `attempt` counts them in.
    """

    agent_id: str
    attempt: int = 1
    role: str = ""
    priority: int = 100
    lost: int = 0

    @property
    def key(self) -> str:
        """What tells this attempt from every other."""
        return f"{self.agent_id}:{self.attempt}"


class AgentQueue(Protocol):
    """Distributes entries over workers, on one machine or many; an entry is with one of them at a time.

    Every method raises StoreUnavailable while the database is away.
    """

    def enqueue(self, entries: Collection[QueueEntry]) -> None:
        """Make entries durable and wake workers on this machine; one that was told before changes nothing."""
        ...

    def cancel(self, key: str) -> None:
        """Have the worker that has an entry, wherever it is, stop it; one that waits is never begun."""
        ...


class Performer(Protocol):
    """What a worker does with an entry. The same one may come again, after a crash or on another machine."""

    def perform(self, entry: QueueEntry, is_cancelled: Callable[[], bool]) -> None:
        """Bring an entry to its end, adopting what still runs on this machine, and record how it ended.

        `is_cancelled` costs nothing and is asked often. Besides answering it may raise, and what it raises goes
        through: Draining asks to leave the agent at work, TaskTaken to stop it, and both to record nothing.
        `entry.attempt` may be higher than what was enqueued: attempts that were lost with their machines count.

        Raises StoreUnavailable while it cannot record; is then called again. Raises what the worker shall count as
        trouble of the machine; an agent's failure is an end like any other.
        """
        ...


class Notifier(Protocol):
    """Tells people of an event at one address."""

    def tell(self, notice: Notice) -> None:
        """Tell it, within a time limit. Raises NotTold, and then may be asked again."""
        ...
