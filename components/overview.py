"""What is at work on this machine, read from journals and run directories.

A look changes nothing but what `bygone` remembers, and sets nothing aside; what cannot be read is named in
`Overview.unreadable`. Liveness is told by the locks that the kernel frees with a process: each is tried, shared, for as
long as one system call takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components import bygone, dead_letters, durable, journal_format, process, text_file
from components.dead_letters import DeadLetter
from components.model import Held, ProcessId
from components.run_directory import CLOSED, JOURNAL, RunDirectory, RunState
from components.task_persistence import host_name

TYPED = re.compile(r"task-[0-9a-f]{8}")
"""The agent id of a typed task: it has that one task, and once that is over there is no such agent any more."""
STATE_LIMIT = 64 << 20
"""Bytes of a state file that are read: a journal holds a task's text and notes, a million characters each."""


@dataclass(frozen=True, slots=True)
class Run:
    """The run directory of one attempt. `pids` has `shim` and `agent`, each only while that very process lives."""

    path: Path
    state: RunState
    pids: Mapping[str, int]
    held: Held | None = None

    @property
    def is_alive(self) -> bool:
        return self.state is RunState.ALIVE


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent id. `held` is its task in hand, `run` that task's current attempt.

    `runner` is its daemon's process id, 0 for one that lives and tells none, None where no daemon lives. `trouble`
    says why the journal cannot be read. `is_elsewhere` is: the journal is another host's, so its processes cannot be
    seen from here.
    """

    agent_id: str
    journal: Path
    runner: int | None = None
    held: Held | None = None
    run: Run | None = None
    trouble: str = ""
    is_elsewhere: bool = False

    @property
    def is_idle(self) -> bool:
        """Is there neither a daemon nor anything in hand?"""
        return self.runner is None and self.held is None and not self.trouble


@dataclass(frozen=True, slots=True)
class Letter:
    """A refused report, and the file that keeps it."""

    path: Path
    content: DeadLetter


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A state file that cannot be used, and why."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Overview:
    """All that a home tells: agents by id, living runs that no journal names, refused reports, files set aside."""

    home: Path
    host: str
    agents: tuple[Agent, ...]
    strays: tuple[Run, ...]
    letters: tuple[Letter, ...]
    set_aside: tuple[Path, ...]
    unreadable: tuple[Unreadable, ...]


def look(home: Path, host: str = "", *, with_strays: bool = True) -> Overview:
    """Return what is at work now. Raises OSError only for directories of the home that cannot be listed.

    Without strays the runs that no journal names are not looked for: there may be ten thousand, each with its lock.
    """
    host = host or host_name()
    found = (agent(home, agent_id, host) for agent_id in _agent_ids(home / "locks"))
    agents = tuple(one for one in found if not (one.is_idle and TYPED.fullmatch(one.agent_id)))
    named = {one.run.path.name for one in agents if one.run}
    letters, bad_letters = _letters(home / dead_letters.DIRECTORY)
    bad_journals = [Unreadable(one.journal, one.trouble) for one in agents if one.trouble]
    return Overview(
        home=home,
        host=host,
        agents=agents,
        strays=tuple(run for run in living_runs(home) if run.path.name not in named) if with_strays else (),
        letters=tuple(letters),
        set_aside=tuple(path for path in _listed(home / "locks") if ".bad-" in path.name),
        unreadable=(*bad_journals, *bad_letters),
    )


def living_runs(home: Path) -> Iterator[Run]:
    """Yield the runs whose agent or shim lives; of the others no more than their lock is looked at, and that once."""
    runs = os.path.join(home, "runs")  # noqa: PTH118
    for name in bygone.others(home, "runs", _is_over):
        try:
            is_held = durable.is_held(f"{runs}/{name}/alive")
        except OSError:
            continue
        if is_held:
            with contextlib.suppress(OSError):
                run = run_at(home / "runs" / name)
                if run.is_alive:
                    yield run


def _is_over(run: str) -> bool:
    """Has a run begun, or been given up, and is nobody alive in it? Then nobody ever will be.

    The marks are looked at before the lock: a run that begins in between has its lock.
    """
    has_mark = os.path.exists(f"{run}/pids") or os.path.exists(f"{run}/{CLOSED}")  # noqa: PTH110
    try:
        return has_mark and not durable.is_held(f"{run}/alive")
    except OSError:
        return False


def run_at(path: Path) -> Run:
    """Return how the run of a directory stands."""
    directory = RunDirectory(path)
    state = directory.state()
    return Run(path, state, _living_pids(directory) if state is RunState.ALIVE else {}, _copy_of_journal(path))


def _agent_ids(locks: Path) -> list[str]:
    stems = {path.stem.removeprefix("agent-") for path in _listed(locks) if path.suffix in (".lock", ".flock")}
    return sorted(stem for stem in stems if journal_format.AGENT_ID.fullmatch(stem))


def agent(home: Path, agent_id: str, host: str = "") -> Agent:
    """Return one agent. The journal is read before its run is looked at: what is shown was so at one time."""
    host = host or host_name()
    journal = home / "locks" / f"agent-{agent_id}.lock"
    trouble, held = "", None
    try:
        held = journal_format.parse(_read(journal))
        if held.agent_id != agent_id:
            trouble, held = f"it belongs to agent {held.agent_id!r}", None
    except FileNotFoundError:
        pass
    except ValueError as error:
        trouble = str(error)
    run = None
    if held is not None:
        run = run_at(RunDirectory.of(home / "runs", held.task.id, held.claim, held.attempt).path)
    elsewhere = held is not None and held.host not in ("", host)
    return Agent(agent_id, journal, _runner(journal.with_suffix(".flock")), held, run, trouble, elsewhere)


def _runner(flock: Path) -> int | None:
    """Return the pid of the daemon that holds this lock, 0 where it does not tell, None where nobody holds it."""
    try:
        if not durable.is_held(flock):
            return None
        return int(_read(flock)[:20])
    except (OSError, ValueError):
        return 0 if flock.exists() else None


def _living_pids(directory: RunDirectory) -> dict[str, int]:
    try:
        pids = directory.pids()
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return {who: one.pid for who, one in pids.items() if is_alive(one)}


def is_alive(one: ProcessId) -> bool:
    """Does exactly this process live? One that has ended is dead, also before its parent collected it."""
    with contextlib.suppress(OSError, TypeError, OverflowError):
        fd = process.handle_of(one)
        if fd is not None:
            try:
                poller = select.poll()
                poller.register(fd, select.POLLIN)
                return not poller.poll(0)
            finally:
                os.close(fd)
    return False


def _copy_of_journal(path: Path) -> Held | None:
    try:
        return journal_format.parse(_read(path / JOURNAL))
    except (OSError, ValueError):
        return None


def _letters(directory: Path) -> tuple[list[Letter], list[Unreadable]]:
    letters, unreadable = [], []
    for path in _listed(directory):
        if path.suffix == ".json":
            try:
                letters.append(Letter(path, _letter(_read(path))))
            except FileNotFoundError:
                continue
            except ValueError as error:
                unreadable.append(Unreadable(path, str(error)))
    return letters, unreadable


def _letter(content: bytes) -> DeadLetter:
    """Return a refused report. Raises ValueError for what is none."""
    try:
        data = json.loads(content)
        letter = DeadLetter(**{**data, "wanted": tuple(map(str, data["wanted"]))})
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError("it is no report that the server refused") from error
    return letter


def _read(path: Path) -> bytes:
    """Return a state file. Raises FileNotFoundError, or ValueError for anything else that is wrong with it."""
    return text_file.read(path, limit=STATE_LIMIT).text.encode()


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except FileNotFoundError:
        return []
