"""Runs tasks of the board, and brings each to where its run has ended, whoever was away meanwhile."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from components import background, execution_log, history_entry, overview, stopping, typed_task
from components.board_task import OUTPUT_LINES, BoardStatus, BoardTask
from components.errors import NotFound, RunnerError, StillRunning, TooManyTasks
from components.execution_index import ExecutionFiles
from components.model import Verdict
from components.server import adoption, last_words, launching
from components.server.core import Core
from components.server.launching import Order
from components.short_id import SHORT
from components.typed_task import TypedTask

logger = logging.getLogger(__name__)

BEGINNING_SECONDS = 10.0
"""How long a running task may have no files, or no runner that was ever known: whoever took it is about to start it."""
FOR_A_REVIEWER = {"evidence": "none", "max_attempts": "1"}
"""What holds for the board where the configuration says nothing: a person reviews the work, and has it done again."""


def run(core: Core, task_id: str) -> BoardTask:
    """Run a task, and return it with the process id of its runner.

    Raises NotFound, NotInTodo, ProjectBusy and TooManyTasks; whatever fails puts it back to `todo`, with why.
    """
    claim = background.new_claim()
    before = core.board.get(task_id)
    task = core.board.take(task_id, claim, core.host, core.loaded.config.tasks_per_project)
    return _started(
        core, before, claim, lambda: replace(launching.typed(core, order_of(core, task), claim), board_task=task.id)
    )


def task_of(core: Core, made: TypedTask) -> BoardTask | None:
    """Return the task of the board that an execution is a run of, its last or an older one; None where there is none.

    So it is of one that was taken off the board: what ran for it is an order like others.
    """
    with suppress(NotFound):
        return core.board.get(made.board_task) if made.board_task else None
    return None


def run_again(core: Core, before: BoardTask, made: TypedTask) -> BoardTask:
    """Run a task that is in `todo` or `review` as the repetition of one of its runs.

    Raises StillRunning for one that runs, else as `run`.
    """
    if before.status is BoardStatus.RUNNING:
        raise StillRunning(
            f"task {before.id[:SHORT]} of the board runs, as execution {before.execution_id[:SHORT]}; wait for its end,"
            f" or POST /api/tasks/{before.id}/stop ends it"
        )
    limit = core.loaded.config.tasks_per_project
    core.board.take(before.id, made.claim, core.host, limit, (BoardStatus.TODO, BoardStatus.REVIEW))
    return _started(core, before, made.claim, lambda: made)


def _started(core: Core, before: BoardTask, claim: str, make: Callable[[], TypedTask]) -> BoardTask:
    """Start the run that a task was taken for. A refused one leaves the task as it was before."""
    try:
        pid = launching.start(core, make())
    except TooManyTasks:
        core.board.give_back(before, claim)
        raise
    except (RunnerError, OSError) as error:
        core.board.give_back(replace(before, status=BoardStatus.TODO, error=core.redact(str(error))), claim)
        raise
    core.board.note(before.id, claim, pid=pid)
    return core.board.get(before.id)


def order_of(core: Core, task: BoardTask) -> Order:
    """Return what a task of the board asks for."""
    origins = core.loaded.origins
    settings = {name: value for name, value in FOR_A_REVIEWER.items() if origins[name] == "default"}
    level = task.level or str(core.loaded.config.level)
    if task.model:
        settings["models"] = f"{level}={task.model}"
    parts = [task.context.strip(), f"The documentation for this task is in: {task.docs_path}" if task.docs_path else ""]
    return Order(
        title=task.title,
        description="\n\n".join(filter(None, parts)),
        project=core.project(task.repository),
        role=task.role,
        level=level,
        complexity=task.complexity,
        settings=settings,
    )


def stop(core: Core, task_id: str) -> None:
    """Begin to stop a task; its agents are asked to end, after the grace killed. Raises NotFound where it runs not."""
    task = core.board.get(task_id)
    if task.status is not BoardStatus.RUNNING:
        raise NotFound(f"task {task.id[:8]} is not running; it is in `{task.status}`")
    files = files_of(core, task)
    if not files.directory.is_dir():
        core.board.settle(task.id, task.execution_id, BoardStatus.TODO, error="it was stopped before it began")
        return
    in_background(lambda: stopping.stop(core.home, files, core.loaded.config.cancel_grace, core.environ))


def in_background(work: object) -> None:
    """Do something that takes a while in a thread of its own; it ends with the process, and is done again by whoever
    asks again."""
    threading.Thread(target=_logged, args=(work,), daemon=True, name="stop").start()


def _logged(work: object) -> None:
    try:
        work()  # type: ignore[operator]
    except Exception:  # the last line of defence of a thread that nobody waits for
        logger.exception("an execution could not be stopped")


def settle(core: Core) -> None:
    """Bring the running tasks of this machine to where their runs are."""
    collect(core)
    for task in core.board.running(core.host):
        try:
            _settle(core, task)
        except (RunnerError, OSError):
            logger.exception("task %s of the board cannot be looked at now", task.id[:8])


def collect(core: Core) -> None:
    """Collect the runners that have ended: those that we started are our children."""
    for pid in list(core.children):
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        core.children.discard(pid)


def files_of(core: Core, task: BoardTask) -> ExecutionFiles:
    """Return the files of a task's run."""
    return ExecutionFiles(core.home, task.execution_id, f"t{task.execution_id[:SHORT]}")


def _settle(core: Core, task: BoardTask) -> None:
    claim = task.execution_id
    if typed_task.has_runner(core.home, claim):
        _note_runner(core, task)
        return
    files = files_of(core, task)
    if not (files.directory / "task.json").exists():
        if _age(task.started_at) > BEGINNING_SECONDS:
            why = "the service ended before the agent was started; run it again"
            core.board.settle(task.id, claim, BoardStatus.TODO, error=why)
        return
    verdict = typed_task.verdict_of(core.home, claim)
    if verdict is not None:
        _end(core, task, files, verdict)
    elif not adoption.adopt(core, claim) and (task.pid or _age(task.started_at) > BEGINNING_SECONDS):
        said = execution_log.last_error(files.runner_log) or "its runner ended without a word"
        output = last_words.lines(files, OUTPUT_LINES, core.redact)
        core.board.settle(task.id, claim, BoardStatus.TODO, error=core.redact(said), output=output)


def _note_runner(core: Core, task: BoardTask) -> None:
    """Note the runner that a task has now, where the one that is noted is gone."""
    if not (task.pid and Path(f"/proc/{task.pid}").exists()):
        runner = overview.agent(core.home, typed_task.agent_of(task.execution_id), core.host).runner
        if runner:
            core.board.note(task.id, task.execution_id, pid=runner)


def _end(core: Core, task: BoardTask, files: ExecutionFiles, verdict: Verdict) -> None:
    is_done = verdict.reason in history_entry.DONE_WELL
    core.board.settle(
        task.id,
        task.execution_id,
        BoardStatus.REVIEW if is_done else BoardStatus.TODO,
        error="" if is_done else core.redact(f"{verdict.reason}: {verdict.detail}".rstrip(": ")),
        exit_code=verdict.exit_code,
        output=last_words.lines(files, OUTPUT_LINES, core.redact),
    )


def _age(moment: str) -> float:
    return time.time() - datetime.fromisoformat(moment).timestamp() if moment else 0.0
