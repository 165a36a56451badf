"""Typed tasks in the background: each has a runner of its own, which outlives the terminal that started it."""

from __future__ import annotations

import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from components import durable, execution_index, process, typed_task
from components.errors import GitFailed, StateCorrupt, StateForeign, TooManyTasks
from components.model import Held, Task
from components.short_id import SHORT
from components.states import Phase
from components.task_persistence import TaskPersistence, now_text
from components.typed_task import TypedTask

TURN_SECONDS = 0.5
"""How often to look whether another task has ended, where one waits for its turn."""


def new_claim() -> str:
    """Return the id of a new execution."""
    return uuid.uuid4().hex


def task_of(claim: str, title: str, description: str, *, role: str, level: str, complexity: str) -> Task:
    """Return a typed task as every source tells one; its id is its execution's."""
    from components.states import Complexity

    return Task(
        id=f"t{claim[:SHORT]}",
        title=title,
        description=description,
        role=role,
        level=level,
        complexity=Complexity(complexity),
        status="created",
        created_at=now_text(),
    )


def require_turn(home: Path, limit: int) -> None:
    """Raise TooManyTasks where no further task may be started now."""
    count = len(running(home))
    if count >= limit:
        raise TooManyTasks(
            f"{_run_here(count)}, and max_parallel_tasks is {limit}; wait for one with --wait, cancel one,"
            " or raise the limit"
        )


def _run_here(count: int) -> str:
    return "1 task runs here" if count == 1 else f"{count} tasks run here"


def running(home: Path) -> list[str]:
    """Return the ids of the typed tasks whose runner lives."""
    return [claim for claim in typed_task.claims(home) if typed_task.has_runner(home, claim)]


def start(home: Path, claim: str, limit: int, environ: Mapping[str, str]) -> int:
    """Start the runner of a typed task and return its process id.

    At most `limit` of them run at once, whoever starts them: counting and starting are one under a lock.
    Raises TooManyTasks.
    """
    with _starting(home):
        if typed_task.has_runner(home, claim):
            return 0
        require_turn(home, limit)
        return _start(home, claim, environ)


def start_new(home: Path, typed: TypedTask, environ: Mapping[str, str], require: Callable[[], None]) -> int:
    """Keep a new typed task and start its runner, if there is room for it; return the runner's process id.

    `require` raises where there is none. It is asked under the lock under which every task is started, so however
    many come at once, what it counts holds. Nothing stays behind of a task that is refused, or cannot be started
    (OSError); a kill may leave one that never began, which `cancel` ends.
    """
    with _starting(home):
        require()
        directory = typed_task.save(home, typed)
        try:
            return _start(home, typed.claim, environ)
        except OSError:
            shutil.rmtree(directory)
            raise


def start_in_turn(home: Path, claim: str, limit: int, environ: Mapping[str, str], say: Callable[[str], None]) -> int:
    """Start the runner of a typed task as soon as fewer than `limit` run."""
    is_told = False
    with durable.locked(typed_task.directory_of(home, claim) / typed_task.QUEUED) as lock:
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        while typed_task.verdict_of(home, claim) is None:
            try:
                return start(home, claim, limit, environ)
            except TooManyTasks:
                if not is_told:
                    is_told = True
                    say(f"{_run_here(limit)} (max_parallel_tasks): waiting for one of them to end")
                time.sleep(TURN_SECONDS)  # Ctrl-C ends it: no handler of ours is installed here
    return 0


def queue(home: Path, claim: str, environ: Mapping[str, str]) -> int:
    """Have a typed task wait for its turn in the background; return the process id of who waits."""
    directory = typed_task.directory_of(home, claim)
    argv = [sys.executable, "-m", "components.entry", "await_turn", claim]
    return process.start_detached(argv, directory / typed_task.AWAITING, directory / "log", _environment(home, environ))


def first_entry(
    home: Path, typed: TypedTask, journal: TaskPersistence, say: Callable[[str], object] = str
) -> Held | None:
    """Return the journal entry that a typed task begins with; None where its journal is there or it has ended.

    One that resumes another goes on in its session and its workspace. One that had begun, and whose journal is damaged
    or gone, goes on from the copy in its last run, or else begins anew: in any case as the same execution.
    """
    if typed_task.verdict_of(home, typed.claim) is not None or _is_in_hand(journal, say):
        return None
    copy = execution_index.last_entry(home, typed.claim)
    if copy is not None and copy.host in ("", journal.host):
        return copy
    held = Held(
        task=typed.task,
        agent_id=typed.agent_id,
        phase=Phase.CLAIMING,
        claim=typed.claim,
        session_id=str(uuid.uuid4()),
        taken_from=typed.task.status,
        locked_at=now_text(),
        host=journal.host,
        boot_id=process.boot_id(),
    )
    return resumed(held, home, typed) if typed.resumes else held


def _is_in_hand(journal: TaskPersistence, say: Callable[[str], object]) -> bool:
    """Is there a journal that can be used, or is another host's? A damaged one is set aside, and that is said."""
    try:
        return journal.get_locked_task() is not None
    except StateForeign:
        return True
    except StateCorrupt as error:
        say(str(error))
        return False


def resumed(held: Held, home: Path, typed: TypedTask) -> Held:
    """Return the entry of an execution that goes on with another one's conversation, workspace and branch.

    Raises GitFailed where the workspace is gone and cannot be made again: its conversation would tell of work that is
    not there.
    """
    from components.git_worktree import GitWorktree

    before = execution_index.last_entry(home, typed.restarted_from)
    if before is None or before.workspace is None:
        return held
    task = replace(held.task, branch=before.workspace.branch if before.workspace.is_worktree else "")
    base = before.workspace.path.parent if before.workspace.is_worktree else None
    workspace = GitWorktree(typed.repository, base).hand_over(before.workspace, task, held.claim)
    if workspace is None:
        raise GitFailed(
            f"the worktree {before.workspace.path} of execution {before.claim[:SHORT]} cannot be made again: something"
            " else is there; move it away, or `restart` without --resume"
        )
    return replace(held, task=task, session_id=before.session_id, workspace=workspace)


def _starting(home: Path) -> AbstractContextManager[int]:
    """Return the lock under which tasks are counted and started."""
    return durable.locked(durable.make_directory(home / typed_task.DIRECTORY) / "starting")


def _start(home: Path, claim: str, environ: Mapping[str, str]) -> int:
    directory = typed_task.directory_of(home, claim)
    argv = [sys.executable, "-m", "components.entry", "execute", claim]
    return process.start_detached(argv, directory / typed_task.ALIVE, directory / "log", _environment(home, environ))


def _environment(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with the home, and with where this program's modules are."""
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join(filter(None, [root, environ.get("PYTHONPATH", "")]))
    return {**environ, "HEADLESS_PM_HOME": str(home), "PYTHONPATH": path}
