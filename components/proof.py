"""The proof that a task was done: what the agent says is not enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from components import (
    beginning,
    cancelling,
    checking,
    demand,
    evidence,
    git,
    git_history,
    main_checkout,
    receipt,
    safekeeping,
    starting_point,
    unproven,
)
from components.checking import Checked
from components.errors import ConfigError, GitFailed, UnsafeName
from components.evidence import Evidence
from components.model import Held, Verdict, Workspace
from components.reason_words import WORDS, detail
from components.redact import listed, plain
from components.run_directory import RunDirectory
from components.starting_point import StartingPoint
from components.states import Reason
from components.tools import Tools

UNKNOWN_START = "how things stood before the agent came is not known; changes in the main checkout are not counted"


def examine(held: Held, run: RunDirectory, verdict: Verdict, tools: Tools) -> Verdict:
    """Return the verdict of a run that says it succeeded, after looking at its work and running the checks.

    What was found goes into the receipt. Raises Draining when the operator wants to leave meanwhile.
    """
    if demand.is_for_qa(held, tools) or held.workspace is None:
        return verdict
    if not checking.see_out(held, tools):
        return _stopped(verdict, held, tools)
    try:
        with main_checkout.exclusive(held.workspace, held, tools) as locks:
            judged = _judged(held, run, verdict, tools, locks)
    except GitFailed as error:
        judged = _as(Reason.WORK_UNFINISHED, f"its work cannot be examined: {error}", verdict)
    judged = replace(judged, detail=tools.redact(plain(judged.detail)))
    receipt.add(run, verdict=receipt.verdict_part(judged))
    return judged


def look(held: Held, run: RunDirectory, tools: Tools) -> Evidence:
    """Look at the work, and note in the receipt what is there. Raises GitFailed."""
    workspace = _reopened(held, tools)
    begun = beginning.of_work(held, workspace, tools)
    found = evidence.gather(workspace, begun)
    if not workspace.is_worktree:
        unproven.note(held.task, workspace, beginning.kept(held, workspace, begun, found))
    receipt.add(run, evidence=receipt.evidence_part(found, tools.redact))
    warn(held, run, tools, found.notes)
    return found


def warn(held: Held, run: RunDirectory, tools: Tools, notes: Sequence[str] = ()) -> None:
    """Note in the receipt what a person has to know of the place where the agent worked. Raises GitFailed."""
    if held.workspace is not None:
        words = (*notes, *_warnings(held, run, held.workspace, tools))
        receipt.warn(run, *(tools.redact(plain(one)) for one in words))


def loss_of(workspace: Workspace) -> str:
    """Return what an agent has deleted of its worktree, in words; "" for nothing. Raises GitFailed."""
    if not workspace.is_worktree:
        return ""
    is_there = git.branch_exists(workspace.repository, workspace.branch)
    branch = "" if is_there else f"branch {workspace.branch}, with the commits on it"
    worktree = "" if workspace.path.is_dir() else "its worktree, with what was not committed there"
    lost = " and ".join(filter(None, (worktree, branch)))
    return f"the agent, or somebody else, deleted {lost}" if lost else ""


def _judged(held: Held, run: RunDirectory, verdict: Verdict, tools: Tools, locks: Sequence[int]) -> Verdict:
    wanted = demand.of(held, tools)
    try:
        found = look(held, run, tools)
    except (GitFailed, UnsafeName) as error:
        if wanted != demand.NOTHING:
            return _as(Reason.WORK_UNFINISHED, f"its work cannot be examined: {error}", verdict)
        receipt.warn(run, f"the work could not be examined: {error}")
    else:
        if wanted == demand.NOTHING:
            receipt.warn(run, *found.trouble)
        elif found.trouble:
            return _as(Reason.WORK_UNFINISHED, "; ".join(found.trouble), verdict)
        elif not _is_enough(found, run, wanted):
            return _as(Reason.NO_WORK_DONE, _nothing(held, run, found, wanted), verdict)
    return _checked(held, run, verdict, tools, locks)


def _is_enough(found: Evidence, run: RunDirectory, wanted: str) -> bool:
    """Is there what was asked for?"""
    if wanted == demand.COMMIT:
        return found.is_committed
    return found.is_change or (wanted == demand.A_SIGN and receipt.has_said(receipt.read(run)))


def _checked(held: Held, run: RunDirectory, verdict: Verdict, tools: Tools, locks: Sequence[int]) -> Verdict:
    """Run the checks, if the task has any, and return the verdict that follows."""
    workspace = held.workspace
    assert workspace is not None  # `examine` has looked
    try:
        checks = checking.wanted(held, workspace, tools)
        receipt.warn(run, *checking.doubts(workspace))
    except (ConfigError, GitFailed) as error:
        return _as(Reason.CHECKS_UNUSABLE, str(error), verdict)
    if not checks:
        return verdict
    checked = checking.run(checks, held, workspace, tools, locks)
    receipt.add(run, checks=receipt.checks_part(checked, tools.redact))
    if checked.is_stopped:
        return _stopped(verdict, held, tools)
    if checked.red is not None:
        return _as(Reason.CHECKS_FAILED, _red(checked), verdict)
    tools.ui.success(f"Task {held.task.id}: {receipt.count(len(checks), 'check')} passed")
    return verdict


def _red(checked: Checked) -> str:
    red = checked.red
    assert red is not None  # only then is this asked for
    not_run = f" Not run: {listed(checked.not_run)}." if checked.not_run else ""
    said = "\n" + "\n".join(red.last_lines) if red.last_lines else " It printed nothing."
    return f"{red.name} {red.words} after {red.seconds:.0f} s.{not_run}{said}"


def _nothing(held: Held, run: RunDirectory, found: Evidence, wanted: str) -> str:
    """Return what speaks for it that no work was done, for a person and for the next attempt."""
    if denied := receipt.denied_tools(receipt.read(run)):
        return (
            f"these tools were denied to it: {listed(denied, 10)}."
            " Name them in allowed_tools, or choose another permission_mode"
        )
    if wanted == demand.COMMIT and found.is_change:
        return f"nothing is committed; changed are {listed(found.leftovers)}"
    if wanted == demand.A_SIGN:
        return "it printed nothing, and changed no file"
    if found.commits or found.leftovers:
        return f"what it changed comes to nothing, or is white space only, since {found.base[:10]}"
    where = held.workspace.branch if held.workspace else ""
    return f"there is no commit of its own on {where or 'HEAD'} since {found.base[:10]}, and no changed file"


def _stopped(verdict: Verdict, held: Held, tools: Tools) -> Verdict:
    reason = Reason.CANCELLED if cancelling.is_asked(tools.config.home, held.claim) else Reason.RUNNER_STOPPED
    return replace(verdict, reason=reason, detail=WORDS[reason])


def _as(reason: Reason, said: str, verdict: Verdict) -> Verdict:
    return replace(verdict, reason=reason, detail=detail(reason, said))


def _reopened(held: Held, tools: Tools) -> Workspace:
    """Return the workspace, its directory made again where the agent has deleted it. Raises GitFailed."""
    workspace = held.workspace
    assert workspace is not None  # `examine` has looked
    if not workspace.is_worktree:
        return workspace
    if lost := loss_of(workspace):
        tools.ui.warning(lost)
        receipt.warn(tools.run_of(held), lost)
    opened = tools.worktrees.open(held.task, held.claim, held.attempt, workspace)
    if opened.path != workspace.path:
        raise GitFailed(f"the worktree {workspace.path} was replaced or has lost its git directory. Look at it by hand")
    return workspace


def _told_by_the_agent(data: receipt.Parts) -> Iterator[str]:
    if denied := receipt.denied_tools(data):
        yield f"tools were denied to the agent: {listed(denied, 10)}"
    if written := receipt.written_outside(data):
        yield f"the agent wrote outside of its workspace: {listed(written, 20)}; look at them"


def _warnings(held: Held, run: RunDirectory, workspace: Workspace, tools: Tools) -> Iterator[str]:
    yield from _told_by_the_agent(receipt.read(run))
    before = starting_point.read(run.path)
    if before is None:
        yield UNKNOWN_START
        return
    try:
        after = starting_point.now(workspace, tools.config.push_remote)
    except GitFailed as error:
        yield f"git's configuration cannot be read any more: {error}"
        return
    if after.configuration != before.configuration:
        yield f"git's configuration or hooks in {workspace.repository} changed while the agent worked: look at them"
    if held.task.branch not in ("", workspace.branch, *_trunk(workspace)):
        yield f"the task names branch {held.task.branch}; its work is on {workspace.branch or 'no branch'}"
    if not workspace.is_worktree:
        yield from _in_place(held, workspace, after, tools)
    elif not _others_worked(before, run, tools):
        yield from _outside(before, after)


def _trunk(workspace: Workspace) -> tuple[str, ...]:
    """Return the branch that the work of a worktree will be merged into: to name that is no wish to work on it."""
    return (git.default_branch(workspace.repository),) if workspace.is_worktree else ()


def _in_place(held: Held, workspace: Workspace, after: StartingPoint, tools: Tools) -> Iterator[str]:
    """Yield what an agent that worked in the main checkout has changed there beside its task."""
    first = next((start for _, start in beginning.starts(held, tools)), after)
    if after.branch != first.branch:
        yield f"the main checkout was on {first.branch or 'no branch'} and is on {after.branch or 'no branch'} now"
    kept = {*(after.dirty or ()), *git_history.changed_paths(workspace.path, first.head, after.head)}
    lay = {path: was for path, was in (first.dirty or {}).items() if path not in kept}
    gone = [path for path, was in lay.items() if starting_point.digest(workspace.path / path) != was]
    if gone and after.dirty is not None:
        name = safekeeping.of_others(held, workspace.repository)
        where = f"; bring it back with `workspaces restore {name}`" if name else ""
        yield f"what was not committed in the main checkout before is gone: {listed(sorted(gone))}{where}"


def _outside(before: StartingPoint, after: StartingPoint) -> Iterator[str]:
    """Yield what changed in the main checkout while an agent worked in its worktree."""
    if before.branch != after.branch:
        yield f"the main checkout was on {before.branch or 'no branch'} and is on {after.branch or 'no branch'} now"
    elif before.head != after.head:
        yield f"{after.branch or 'the main checkout'} moved from {before.head[:8]} to {after.head[:8]} meanwhile"
    was, is_now = before.dirty, after.dirty
    if was is not None and is_now is not None and was != is_now:
        changed = sorted(path for path in {*was, *is_now} if was.get(path) != is_now.get(path))
        yield f"files outside of the worktree, in the main checkout, changed meanwhile: {listed(changed)}"


def _others_worked(before: StartingPoint, own: RunDirectory, tools: Tools) -> bool:
    """Has an agent of this machine worked in the main checkout since a run began? Then the changes are its own."""
    for path in tools.runs.glob(f"*/{starting_point.FILE}"):
        if path.parent != own.path and path.stat().st_mtime >= before.at - 7 * 86400:
            start = starting_point.read(path.parent)
            if start is None or start.is_worktree or start.repository != before.repository:
                continue
            if beginning.end_of(RunDirectory(path.parent)) >= before.at:
                return True
    return False
