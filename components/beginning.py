"""Where the work of a claim began, and what its agents did since: by what was noted when each of them came."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from components import git_history, handoff, receipt, starting_point, unproven
from components.authorship import Beginning, Span
from components.evidence import Evidence
from components.hearing import Hearing
from components.model import Held, Workspace
from components.run_directory import RunDirectory, RunState
from components.starting_point import StartingPoint
from components.tools import Tools
from components.unproven import Unproven

TRACE = "git-trace"
CHANGES = re.compile(rb"cmd_name (?:add|am|apply|cherry-pick|commit|merge|mv|pull|rebase|revert|rm) ")
"""What git notes of a command by which work comes about; an agent's program itself only asks it for things."""


def of_work(held: Held, workspace: Workspace, tools: Tools) -> Beginning:
    """Return where the work began, in this claim or in an earlier one that was given back unfinished."""
    base, earlier, files = handoff.begun_at(held.task, workspace), tuple[str, ...](), dict[str, str]()
    left = None if workspace.is_worktree else unproven.find(held.task, workspace.repository)
    if left is not None:
        files = dict(left.files)
        if left.commits and git_history.is_ancestor(workspace.path, left.begun, base):
            base, earlier = left.begun, left.commits
    first, spans = _first_start(held, tools), list(_spans(held, tools))
    is_idle = not workspace.is_worktree and not _has_acted(held, tools)
    return Beginning(held.task, base, first, spans, earlier, files, is_idle)


def was_clean(held: Held, workspace: Workspace, tools: Tools) -> bool:
    """Was there nothing of others in the main checkout, not committed, when the first agent of the claim came?"""
    strange = of_work(held, workspace, tools).strange
    return strange is not None and not strange


def kept(held: Held, workspace: Workspace, beginning: Beginning, found: Evidence) -> Unproven:
    """Return what of the work is to be kept for later claims; what an earlier one left stays known."""
    files = {path: starting_point.digest(workspace.path / path) for path in found.leftovers}
    begun = unproven.find(held.task, workspace.repository)
    files = {**(begun.files if begun else {}), **files}
    return Unproven(beginning.base, tuple(commit.id for commit in found.commits), files)


def starts(held: Held, tools: Tools) -> Iterator[tuple[RunDirectory, StartingPoint]]:
    """Yield the runs of this claim so far, each with how things stood when it began."""
    for attempt in range(1, held.attempt + 1):
        run = tools.run_of(replace(held, attempt=attempt))
        if (start := starting_point.read(run.path)) is not None:
            yield run, start


def _first_start(held: Held, tools: Tools) -> StartingPoint | None:
    return next((start for _, start in starts(held, tools)), None)


def _spans(held: Held, tools: Tools) -> Iterator[Span]:
    """Yield the lives of the agents of this claim; all time where none was noted."""
    is_noted = False
    for run, start in starts(held, tools):
        is_noted = True
        yield Span(start.at, end_of(run), start.head, start.dirty)
    if not is_noted:
        yield Span(0.0, time.time())


def end_of(run: RunDirectory) -> float:
    """Return when a run ended, in seconds since 1970; of one whose end nobody saw, when it was last heard of."""
    with contextlib.suppress(OSError):
        state = run.state()
        if state is RunState.ENDED:
            return (run.path / "exit").stat().st_mtime
        if state is RunState.VANISHED:
            return max(map(_written, (run.out, run.err, run.path / TRACE, run.path / starting_point.FILE)))
    return time.time()


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _has_acted(held: Held, tools: Tools) -> bool:
    """May any agent of this claim have changed something? Not one that talked, and was heard to use no tool."""
    runs = [run for run, _ in starts(held, tools)]
    return not runs or any(_may_have_acted(run, tools) for run in runs)


def traced(run: RunDirectory, workspace: Workspace) -> dict[str, str]:
    """Return the environment that has every git which an agent starts in a main checkout note what it does."""
    return {} if workspace.is_worktree else {"GIT_TRACE2": str(run.path / TRACE), "GIT_TRACE2_BRIEF": "1"}


def _has_run_git(run: RunDirectory) -> bool:
    """Did anything that a run has started have git add to the history, or to what will be?"""
    with contextlib.suppress(OSError), (run.path / TRACE).open("rb") as lines:
        return any(CHANGES.match(line) for line in lines)
    return False


def _may_have_acted(run: RunDirectory, tools: Tools) -> bool:
    """May an agent have used tools? Of one that told no turns that is not known: its program may not tell.

    What git has noted counts as well: a program's own hooks change files without a word.
    """
    result = receipt.read(run).get("result")
    if not result or result.get("tool_calls") or _has_run_git(run):  # one that was cut off may not have told all
        return True
    hearing = Hearing(run.out, tools.executor.listener())
    while hearing.look():
        tools.pulse.beat()
    hearing.finish()
    told = hearing.listener.progress()
    return told.tool_calls > 0 or not told.turns
