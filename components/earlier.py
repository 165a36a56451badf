"""What earlier attempts at a task, and earlier claims of it, have left for the agent that goes on with it.

It is told to an agent as data, and it never stands in the way of an attempt: what cannot be read is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components import (
    branch_names,
    execution_log,
    git,
    git_command,
    git_history,
    handoff,
    prompt,
    safekeeping,
    text_file,
)
from components.errors import RunnerError
from components.model import Held, Workspace
from components.reason_words import REMEDIES
from components.run_directory import RECEIPT, RunDirectory
from components.shelf import Snapshot
from components.states import Reason
from components.tools import Tools

MESSAGE_BYTES = 6 * 1024
CHECK_BYTES = 4 * 1024
STAT_BYTES = 3 * 1024
FILES_SHOWN = 60
COMMITS_SHOWN = 30
WARNINGS_SHOWN = 10
SMALLEST_PATCH = 512
RECEIPT_BYTES = 64 << 20
TAIL_BYTES = 1 << 20
TAIL_LINES = 2000
DIFF = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")

PASSING = frozenset({Reason.RATE_LIMITED, Reason.OVERLOADED, Reason.KILLED, Reason.SESSION_LOST})
"""Ends that say nothing of the work: the attempt before such a one is told of as well."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is told: why there is another attempt (None: not known, or this is the first), and the rest as text."""

    reason: Reason | None = None
    text: str = ""


def gather(held: Held, workspace: Workspace, tools: Tools, *, resuming: bool) -> Earlier:
    """Return what was left before this attempt. One that goes on with its session is not shown its own words."""
    ends = list(_ends(held, tools))
    parts: list[str] = []
    for attempt, receipt in ends:
        parts += [part for part in _of_attempt(attempt, receipt, held, tools, resuming) if part]
    patches: list[tuple[str, str]] = []
    if held.attempt > 1:
        parts += _safely(lambda: _change(workspace, workspace.base_commit, "The change so far")) or []
        patches += [] if resuming else _patch(workspace, workspace.base_commit, None, "The change so far, as a patch")
    if not resuming and (handed := _safely(lambda: _handed_over(held, workspace))):
        since, until = handed
        parts += _safely(lambda: _before(workspace, since, until)) or []
        patches += _patch(workspace, since, until, "What was done before this claim, as a patch")
    if held.attempt == 1 and (kept := _safely(lambda: safekeeping.find(held.task, workspace.repository))):
        parts += _safely(lambda: [_left(workspace, kept)]) or []
        patches += _patch(workspace, kept.parents[0], kept.commit, "What was not committed, as a patch")
    return Earlier(_reason(ends[0][1]) if ends else None, "\n\n".join([*parts, *_fitted(patches, parts)]))


def _safely(look: Callable[[], Any]) -> Any:
    """Return what was found, or None where the repository or a file does not let it be found."""
    try:
        return look()
    except (RunnerError, OSError, ValueError, RecursionError):
        return None


def _ends(held: Held, tools: Tools) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the last attempts that have a receipt, the newest first, until one that says something of the work."""
    for attempt in range(held.attempt - 1, 0, -1):
        run = tools.run_of(replace(held, attempt=attempt))
        receipt = _safely(lambda run=run: json.loads(_text(run.path / RECEIPT)))  # type: ignore[misc]
        if isinstance(receipt, dict):
            yield attempt, receipt
            if _reason(receipt) not in PASSING:
                return


def _text(path: Path) -> str:
    return text_file.read(path, limit=RECEIPT_BYTES, follow=False).text


def _reason(receipt: dict[str, Any]) -> Reason | None:
    reason = str(_table(receipt, "verdict").get("reason"))
    return Reason(reason) if reason in set(Reason) else None


def _table(receipt: dict[str, Any], name: str) -> dict[str, Any]:
    table = receipt.get(name)
    return table if isinstance(table, dict) else {}


def _of_attempt(attempt: int, receipt: dict[str, Any], held: Held, tools: Tools, resuming: bool) -> Iterator[str]:
    """Yield how an attempt ended, the checks that failed after it, and what it said last."""
    reason, detail = _reason(receipt), str(_table(receipt, "verdict").get("detail") or "")
    if detail:
        said = detail.removesuffix(REMEDIES[reason]).rstrip(". ") if reason in REMEDIES else detail
        yield f"Attempt {attempt} ended: {prompt.cut(said, MESSAGE_BYTES)}"
    warnings = receipt.get("warnings")
    for warning in warnings[:WARNINGS_SHOWN] if isinstance(warnings, list) else []:
        yield f"Noted after it: {prompt.cut(str(warning), CHECK_BYTES)}"
    checks = _table(receipt, "checks").get("run")
    for check in checks if isinstance(checks, list) else []:
        yield _failed_check(check)
    if not resuming:
        said = _table(receipt, "result").get("text") or _last_words(tools.run_of(replace(held, attempt=attempt)), tools)
        if isinstance(said, str) and said.strip():
            yield f"Its last message:\n{prompt.cut(said.strip(), MESSAGE_BYTES)}"


def _failed_check(check: object) -> str:
    """Return what a check that failed has printed, "" for any other."""
    if not isinstance(check, dict) or check.get("exit_code") == 0:
        return ""
    lines = check.get("last_lines")
    printed = "\n".join(map(str, lines)) if isinstance(lines, list) else ""
    ended = check.get("why") or f"ended with exit code {check.get('exit_code')}"
    said = f"; the last lines that it printed:\n{prompt.cut(printed, CHECK_BYTES)}" if printed.strip() else ""
    return f"The check `{str(check.get('command'))[:500]}` {ended}{said}"


def _last_words(run: RunDirectory, tools: Tools) -> str:
    """Return the last text of an agent that was cut off, from the end of its output."""

    def look() -> str:
        listener = tools.executor.listener()
        for line in execution_log.tail(run.out, TAIL_LINES, TAIL_BYTES):
            listener.hear(line)
        return listener.progress().last_text

    return str(_safely(look) or "")


def _handed_over(held: Held, workspace: Workspace) -> tuple[str, str] | None:
    """Return from where to where others have worked on this task before, where this workspace began at their work."""
    if not workspace.is_worktree:
        return None
    begun, given = handoff.find(workspace.repository, held.task), handoff.given(workspace.repository, held.task)
    if given:
        return given, begun
    if begun != workspace.base_commit:
        return None
    since = git_history.started_from(workspace.repository, workspace.base_commit)
    return (since, workspace.base_commit) if since != workspace.base_commit else None


def _before(workspace: Workspace, since: str, until: str) -> list[str]:
    commits = git.commits_between(workspace.path, since, until)
    listed = [f"{commit.id[:12]} {commit.subject[:200]}" for commit in commits[:COMMITS_SHOWN]]
    if len(commits) > COMMITS_SHOWN:
        listed.append(f"and {len(commits) - COMMITS_SHOWN} before them")
    begun = "Others worked before; this branch begins with their commits (newest first)"
    return [f"{begun}:\n" + "\n".join(listed), *_stat(workspace, since, until, "They changed")]


def _left(workspace: Workspace, kept: Snapshot) -> str:
    """Return what has become of the files that the claim before had not committed."""
    if git.status(workspace.path):
        where = "is in the working directory again, not committed: look at it first, and go on with it"
    else:
        where = "conflicts with the commit that this branch begins at, so it was not put into the working directory"
    base, commit = kept.parents[0][:12], kept.commit[:12]
    return f"What was not committed before {where}. Snapshot {kept.name}: `git diff {base} {commit}`"


def _change(workspace: Workspace, base: str, title: str) -> list[str]:
    """Return the size of the change from `base` to the files as they are, and which of them are not committed."""
    found = _stat(workspace, base, None, title)
    entries = git.status(workspace.path)
    if entries:
        listed = [f"{entry.code} {entry.path}" for entry in entries[:FILES_SHOWN]]
        if len(entries) > FILES_SHOWN:
            listed.append(f"and {len(entries) - FILES_SHOWN} more")
        found.append("Not committed (as `git status --porcelain` tells it):\n" + "\n".join(listed))
    return found


def _stat(workspace: Workspace, base: str, until: str | None, title: str) -> list[str]:
    stat = _diff(workspace, base, until, f"--stat=110,80,{FILES_SHOWN}")
    return [f"{title}, from commit {base[:12]}:\n{prompt.cut(stat, STAT_BYTES)}"] if stat else []


def _patch(workspace: Workspace, base: str, until: str | None, title: str) -> list[tuple[str, str]]:
    patch = _safely(lambda: _diff(workspace, base, until))
    return [(title, patch)] if patch else []


def _diff(workspace: Workspace, base: str, until: str | None, *options: str) -> str:
    """Return what `git diff` says, "" where the commit that the work began at is not known."""
    if not branch_names.COMMIT.fullmatch(base):
        return ""
    ends = (base,) if until is None else (base, until)
    return git_command.run(workspace.path, *DIFF, *options, *ends, "--").stdout.decode(errors="replace").rstrip()


def _fitted(patches: list[tuple[str, str]], parts: list[str]) -> Iterator[str]:
    """Yield the patches, cut so that all fits into what a prompt takes."""
    taken = sum(len(part.encode(errors="replace")) + 2 for part in parts)
    room = (prompt.EARLIER_BYTES - taken) // max(len(patches), 1) - 200
    if room >= SMALLEST_PATCH:
        yield from (f"{title}:\n{prompt.cut(patch, room)}" for title, patch in patches)
