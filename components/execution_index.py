"""The executions of a home, found by their files alone."""

from __future__ import annotations

import contextlib
import heapq
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from components import execution_names, nearest_ids, text_file
from components.errors import AmbiguousId, NotFound
from components.execution_names import STATE_LIMIT, KnownExecution
from components.model import Held, Verdict
from components.nearest_ids import KnownId
from components.run_directory import JOURNAL, RECEIPT, RunDirectory, RunState
from components.short_id import SHORT
from components.states import Reason


@dataclass(frozen=True, slots=True)
class ExecutionFiles:
    """Where the files of one execution are. `id` is its claim; only the 8 letters of it where no file tells the rest.

    `task_id` is "" for one that was typed and has no run yet.
    """

    home: Path
    id: str
    task_id: str = ""

    @property
    def short_id(self) -> str:
        """The id as people see and type it."""
        return self.id[:SHORT]

    @property
    def directory(self) -> Path:
        """The directory of an execution that was typed; others have none."""
        return self.home / "tasks" / self.id

    @property
    def runner_log(self) -> Path:
        """What the runner of an execution that was typed has said."""
        return self.directory / "log"

    def runs(self) -> dict[int, RunDirectory]:
        """Return the run directories by attempt, in order: one listing, and no look into any."""
        found = {}
        ours = f"-{self.short_id}-"
        for name in [one for one in execution_names.names(self.home / "runs") if ours in one]:
            parts = execution_names.parts_of(name)
            if parts and parts[1] == self.short_id and self.task_id in ("", parts[0]):
                found[parts[2]] = RunDirectory(self.home / "runs" / name)
        return dict(sorted(found.items()))

    def next_run(self, attempt: int) -> Path:
        """Return where the run of the attempt after this one will be."""
        return self.home / "runs" / f"{self.task_id}-{self.short_id}-{attempt + 1}"


def find(home: Path, word: str) -> ExecutionFiles:
    """Return the execution that a person means: by its id, by the beginning of it, by a run's name, by a task's id.

    Of several executions of a task it is the newest. Raises AmbiguousId, or NotFound with what is near.
    """
    word = word.strip().lower()
    _, short, _ = execution_names.parts_of(word) or ("", word, 0)
    found = _meant(home, execution_names.known(home, short[:SHORT]), word)
    if len(found) > 1:
        raise AmbiguousId(nearest_ids.candidates(word, _told(home, found)))
    if not found:
        raise NotFound(_unknown(home, word))
    return _with_whole_id(_files(home, found[0]))


def _meant(home: Path, known: list[KnownExecution], word: str) -> list[KnownExecution]:
    """Return which executions a word may mean."""
    task, short, _ = execution_names.parts_of(word) or ("", word, 0)
    found = [one for one in known if short in (one.id, one.id[:SHORT]) and task in ("", one.task_id)]
    if not found:
        of_task = [one for one in known if word and one.task_id.lower() == word]
        found = [max(of_task, key=lambda one: _when(home, one))] if of_task else []
    return found or [one for one in known if word and _begins(home, one, word)]


def journal(files: ExecutionFiles) -> tuple[Path, Held] | None:
    """Return the living journal of an execution, None where it has none (any more)."""
    return next((one for one in execution_names.journals(files.home) if one[1].claim.startswith(files.id)), None)


def last_entry(home: Path, claim: str) -> Held | None:
    """Return the newest journal entry of an execution: the living one, or the copy in its last run that has one."""
    files = ExecutionFiles(home, claim)
    living = journal(files)
    if living is not None:
        return living[1]
    copies = (execution_names.journal_at(run.path / JOURNAL) for run in reversed(files.runs().values()))
    return next((held for held in copies if held is not None and held.claim.startswith(claim)), None)


def verdict(run: RunDirectory) -> Verdict | None:
    """Return how a run was judged, None where it was not."""
    try:
        told = json.loads(text_file.read(run.path / RECEIPT, limit=STATE_LIMIT).text)["verdict"]
        return Verdict(**{**told, "reason": Reason(told["reason"])})
    except (OSError, ValueError, LookupError, TypeError):
        return None


class Watch:
    """Looks at one execution again and again, at the cost of a `stat` where nothing has changed.

    `last` is the journal as it was seen last, also when it is gone.
    """

    def __init__(self, files: ExecutionFiles) -> None:
        self.files = files
        self.last: Held | None = None
        self.path: Path | None = None
        self._stamp: tuple[int, int, int] | None = None

    def look(self) -> Held | None:
        """Return the journal as it is now, None when it is gone; then it is gone for good."""
        if self.path is None:
            found = journal(self.files)
            if found is None:
                return None
            self.path, self.last = found
        stamp = _stamp(self.path)
        if stamp != self._stamp:
            self._stamp = stamp
            held = execution_names.journal_at(self.path) if stamp else None
            is_ours = held is not None and held.claim.startswith(self.files.id)
            self.last, self.path = (held, self.path) if is_ours else (self.last, None)
        return self.last if self.path else None

    def is_over(self) -> bool:
        """Is its journal gone, and no run of it alive? What was typed is over once it is kept how it ended.

        Of that a journal proves nothing: one that is damaged, or was deleted, has a task that can be gone on with.
        """
        if self.look() is not None:
            return False
        if any(_is_alive(run) for run in self.files.runs().values()):
            return False
        return (self.files.directory / "verdict.json").exists() or not self.files.directory.is_dir()


def _files(home: Path, one: KnownExecution) -> ExecutionFiles:
    return ExecutionFiles(home, one.id, one.task_id)


def _begins(home: Path, one: KnownExecution, word: str) -> bool:
    return one.id.startswith(word) or (
        word.startswith(one.id) and _with_whole_id(_files(home, one)).id.startswith(word)
    )


def _with_whole_id(one: ExecutionFiles) -> ExecutionFiles:
    """Return the execution with its whole id, where a journal in one of its runs tells it."""
    if len(one.id) > SHORT:
        return one
    for run in one.runs().values():
        held = execution_names.journal_at(run.path / JOURNAL)
        if held is not None and held.claim.startswith(one.id):
            return replace(one, id=held.claim)
    return one


def _is_alive(run: RunDirectory) -> bool:
    """Does anything of a run live? The lock of one that did not start yet is not touched: its runner wants it."""
    return (run.path / "pids").exists() and run.state() is RunState.ALIVE


def _unknown(home: Path, word: str) -> str:
    """Return what to say of a word that means no execution."""
    known = {one.id[:SHORT]: one for one in execution_names.known(home)}

    def newest() -> list[str]:
        return heapq.nlargest(nearest_ids.OFFERED, known, key=lambda short: _when(home, known[short]))

    return nearest_ids.unknown(word, known, lambda short: _told(home, [known[short]])[0], newest)


def _told(home: Path, found: Iterable[KnownExecution]) -> list[KnownId]:
    return [KnownId(one.id[:SHORT], one.task_id, _when(home, one)) for one in found]


def _when(home: Path, one: KnownExecution) -> float:
    return _changed_at(os.path.join(home, one.trace))  # noqa: PTH118


def _changed_at(path: Path | str) -> float:
    """Return when a file changed last, in seconds since 1970; 0 for one that is not there."""
    with contextlib.suppress(OSError):
        return os.stat(path).st_mtime  # noqa: PTH116
    return 0.0


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with every save of a journal: it is another file then."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size
    return None
