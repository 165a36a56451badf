"""The executions of a home, found by their files alone."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from components import journal_format, nearest_ids, text_file
from components.branch_names import SHORT
from components.errors import AmbiguousId, NotFound
from components.model import Held, Verdict
from components.nearest_ids import KnownId
from components.run_directory import JOURNAL, RunDirectory, RunState
from components.states import Reason

RUN = re.compile(r"(?P<task>.+)-(?P<short>[0-9a-f]{8})-(?P<attempt>[1-9][0-9]{0,8})")
STATE_LIMIT = 64 << 20
"""Bytes of a state file that are read."""
STARTING_SECONDS = 30.0
"""How long an execution that was typed may have neither a journal nor a run."""


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
        for name in _names(self.home / "runs"):
            parts = RUN.fullmatch(name) if self.short_id in name else None
            if parts and parts["short"] == self.short_id and self.task_id in ("", parts["task"]):
                found[int(parts["attempt"])] = RunDirectory(self.home / "runs" / name)
        return dict(sorted(found.items()))

    def next_run(self, attempt: int) -> Path:
        """Return where the run of the attempt after this one will be."""
        return self.home / "runs" / f"{self.task_id}-{self.short_id}-{attempt + 1}"


def find(home: Path, word: str) -> ExecutionFiles:
    """Return the execution that a person means: by its id, by the beginning of it, by a run's name, by a task's id.

    Of several executions of a task it is the newest. Raises AmbiguousId, or NotFound with what is near.
    """
    known = _known(home)
    word = word.strip().lower()
    run = RUN.fullmatch(word)
    word = run["short"] if run else word
    found = [one for one in known if word in (one.id, one.short_id) and (not run or one.task_id == run["task"])]
    if not found:
        of_task = [one for one in known if word and one.task_id.lower() == word]
        found = [max(of_task, key=lambda one: _when(known[one]))] if of_task else []
    found = found or [one for one in known if word and _begins(one, word)]
    if len(found) > 1:
        raise AmbiguousId(nearest_ids.candidates(word, _told(found, known)))
    if not found:
        offer = nearest_ids.offer(word, _told(known, known)) or f"There is none in {home} (HEADLESS_PM_HOME)."
        raise NotFound(f"no execution here has the id {word[:80]!r}. {offer}")
    return _with_whole_id(found[0])


def journal(files: ExecutionFiles) -> tuple[Path, Held] | None:
    """Return the living journal of an execution, None where it has none (any more)."""
    return next((one for one in _journals(files.home) if one[1].claim.startswith(files.id)), None)


def last_entry(home: Path, claim: str) -> Held | None:
    """Return the newest journal entry of an execution: the living one, or the copy in its last run that has one."""
    files = ExecutionFiles(home, claim)
    living = journal(files)
    if living is not None:
        return living[1]
    copies = (_journal(run.path / JOURNAL) for run in reversed(files.runs().values()))
    return next((held for held in copies if held is not None and held.claim.startswith(claim)), None)


def verdict(run: RunDirectory) -> Verdict | None:
    """Return how a run was judged, None where it was not."""
    try:
        told = json.loads(text_file.read(run.path / "result.json", limit=STATE_LIMIT).text)["verdict"]
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
            held = _journal(self.path) if stamp else None
            is_ours = held is not None and held.claim.startswith(self.files.id)
            self.last, self.path = (held, self.path) if is_ours else (self.last, None)
        return self.last if self.path else None

    def is_over(self) -> bool:
        """Is its journal gone, and no run of it alive? One that was typed has a moment for its beginning."""
        if self.look() is not None:
            return False
        runs = self.files.runs()
        if any(_is_alive(run) for run in runs.values()):
            return False
        has_ended = self.last is not None or bool(runs) or (self.files.directory / "verdict.json").exists()
        return has_ended or not _is_fresh(self.files.directory)


def _known(home: Path) -> dict[ExecutionFiles, Path]:
    """Return the executions, each with the newest path that tells of it."""
    known: dict[tuple[str, str], tuple[int, Path]] = {}
    for name in _names(home / "runs"):
        if parts := RUN.fullmatch(name):
            key, attempt = (parts["task"], parts["short"]), int(parts["attempt"])
            if attempt > known.get(key, (0, home))[0]:
                known[key] = attempt, home / "runs" / name / "spec.json"
    whole = {claim[:SHORT]: claim for claim in _names(home / "tasks") if journal_format.CLAIM.fullmatch(claim)}
    found = {ExecutionFiles(home, whole.pop(short, short), task): path for (task, short), (_, path) in known.items()}
    for path, held in _journals(home):
        whole.pop(held.claim[:SHORT], None)
        newest = found.pop(ExecutionFiles(home, held.claim[:SHORT], held.task.id), path)
        found.setdefault(ExecutionFiles(home, held.claim, held.task.id), newest)
    return {**found, **{ExecutionFiles(home, claim): home / "tasks" / claim for claim in whole.values()}}


def _begins(one: ExecutionFiles, word: str) -> bool:
    return one.id.startswith(word) or (word.startswith(one.id) and _with_whole_id(one).id.startswith(word))


def _with_whole_id(one: ExecutionFiles) -> ExecutionFiles:
    """Return the execution with its whole id, where a journal in one of its runs tells it."""
    if len(one.id) > SHORT:
        return one
    for run in one.runs().values():
        held = _journal(run.path / JOURNAL)
        if held is not None and held.claim.startswith(one.id):
            return replace(one, id=held.claim)
    return one


def _journals(home: Path) -> Iterator[tuple[Path, Held]]:
    for name in _names(home / "locks"):
        if name.startswith("agent-") and name.endswith(".lock"):
            held = _journal(home / "locks" / name)
            if held is not None:
                yield home / "locks" / name, held


def _journal(path: Path) -> Held | None:
    try:
        return journal_format.parse(text_file.read(path, limit=STATE_LIMIT).text.encode())
    except (OSError, ValueError):
        return None


def _is_alive(run: RunDirectory) -> bool:
    """Does anything of a run live? The lock of one that did not start yet is not touched: its runner wants it."""
    return (run.path / "pids").exists() and run.state() is RunState.ALIVE


def _told(found: Iterable[ExecutionFiles], known: Mapping[ExecutionFiles, Path]) -> list[KnownId]:
    return [KnownId(one.short_id, one.task_id, _when(known[one])) for one in found]


def _is_fresh(directory: Path) -> bool:
    return time.time() - _when(directory) < STARTING_SECONDS


def _when(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with every save of a journal: it is another file then."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size
    return None


def _names(directory: Path) -> Iterable[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return ()
