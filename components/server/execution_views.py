"""What the API tells of an execution: from the history, and from the files of its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from components import (
    at_work,
    diffing,
    execution_index,
    git,
    git_command,
    git_operations,
    journal_format,
    overview,
    receipt,
    typed_task,
    unstarted,
)
from components.diffing import Change
from components.errors import NotFound, RunnerError
from components.execution import Execution, Transition
from components.execution_index import ExecutionFiles
from components.run_directory import RunState
from components.server import last_words
from components.server.core import Core
from components.short_id import SHORT
from components.states import LIVE, ExecutionStatus

PATCH_BYTES = 1 << 20
LOG_LINES = 200
MOST_FILES = 1000
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
LETTERS = {"A": "added", "D": "deleted", "M": "modified", "T": "modified", "R": "renamed", "C": "added"}


def row(core: Core, one: Execution) -> dict[str, Any]:
    """Return an execution as lists show it."""
    data = asdict(one)
    tokens = {name.removesuffix("_tokens"): data.pop(name) for name in TOKENS}
    pids = {name: data.pop(f"{name}_pid") or None for name in ("runner", "shim", "agent")} | _living(core, one)
    data.pop("step")
    shown = {"short_id": one.short_id, "project": core.shown_project(one.project), "repository": one.project}
    shown["host_name"] = core.shown_host(one.host)
    return {**data, **shown, "is_over": one.status not in LIVE, "tokens": tokens, "pids": pids}


def _living(core: Core, one: Execution) -> dict[str, int | None]:
    """Return the processes of an execution that is at work here: the history hears of them late, or not at all."""
    if one.status not in LIVE or one.host not in ("", core.host) or not journal_format.AGENT_ID.fullmatch(one.agent_id):
        return {}
    agent = overview.agent(core.home, one.agent_id, core.host)
    if agent.held is None or agent.held.claim != one.id:
        return {}
    living = agent.run.pids if agent.run else {}
    return {"runner": agent.runner or None, "shim": living.get("shim"), "agent": living.get("agent")}


def whole(core: Core, one: Execution) -> dict[str, Any]:
    """Return all that is known of an execution."""
    files = ExecutionFiles(core.home, one.id, one.task_id)
    told = _receipt(files)
    return {
        **row(core, one),
        **_cost_so_far(files, one),
        "timeline": [_move(move) for move in core.store.transitions_of(one.id)],
        "attempts": list(_attempts(files)),
        "output": {**_change(files, one), "log": list(last_words.lines(files, LOG_LINES, core.redact))},
        "receipt": {name: told[name] for name in told if name not in ("result", "verdict", "version")},
        "metrics": _metrics(one),
    }


def _cost_so_far(files: ExecutionFiles, one: Execution) -> dict[str, Any]:
    """Return what it has cost by now: its attempts that were judged, and what the one at work has used so far."""
    runs = list(files.runs().values())
    if one.status not in LIVE or not runs:
        return {"cost_usd": one.cost_usd, "is_whole_cost": True}
    judged = sum(verdict.cost_usd for run in runs if (verdict := execution_index.verdict(run)))
    live, is_whole = at_work.so_far(runs[-1]) if runs[-1].state() is RunState.ALIVE else (0.0, True)
    return {"cost_usd": max(one.cost_usd, judged) + live, "is_whole_cost": is_whole}


def find(core: Core, word: str) -> Execution:
    """Return the execution of an id, also of one that was started just now. Raises NotFound and AmbiguousId."""
    try:
        return core.store.get(word)
    except NotFound:
        if (
            not journal_format.CLAIM.fullmatch(word)
            or not (typed_task.directory_of(core.home, word) / "task.json").exists()
        ):
            raise
        return replace(unstarted.standing(core.home, typed_task.load(core.home, word)), host=core.host)


def _move(one: Transition) -> dict[str, Any]:
    return {**asdict(one), "before": str(one.before or "")}


def _attempts(files: ExecutionFiles) -> Iterator[dict[str, Any]]:
    for number, run in files.runs().items():
        verdict, end = execution_index.verdict(run), run.exit_record()
        yield {
            "attempt": number,
            "run": run.name,
            "state": run.state().name.lower(),
            "reason": verdict.reason if verdict else "",
            "detail": verdict.detail if verdict else "",
            "cost_usd": verdict.cost_usd if verdict else 0.0,
            "exit_code": end.exit_code if end else None,
            "signal": end.signal if end else None,
            "seconds": end.seconds if end else None,
        }


def _receipt(files: ExecutionFiles) -> Mapping[str, Any]:
    return next((data for run in reversed(files.runs().values()) if (data := receipt.read(run))), {})


def _change(files: ExecutionFiles, one: Execution) -> dict[str, Any]:
    """Return what it has changed; `trouble` says why that cannot be told."""
    try:
        change = diffing.of(files, one, is_live=one.status in LIVE)
        if not change.after:
            now = git_operations.diff(change.directory, change.before)
            text, is_cut = now.text, now.is_cut
        else:
            text, is_cut = _patch(change)
        size = git.diff_stat(change.directory, change.before, change.after or None)
        return {"diff": text, "is_cut": is_cut, **asdict(size), "artifacts": _artifacts(change), "trouble": ""}
    except (RunnerError, OSError) as error:
        empty = {"files": 0, "insertions": 0, "deletions": 0}
        return {"diff": "", "is_cut": False, **empty, "artifacts": [], "trouble": str(error)}


def _patch(change: Change) -> tuple[str, bool]:
    shown = git_command.run(change.directory, *change.words("--no-color")).stdout
    return shown[:PATCH_BYTES].decode(errors="replace"), len(shown) >= PATCH_BYTES


def _artifacts(change: Change) -> list[dict[str, str]]:
    """Return the files that were changed, each with how."""
    shown = git_command.run(change.directory, *change.words("--name-status", "--no-renames", "-z")).stdout
    words = shown.decode(errors="replace").split("\0")[:-1]
    pairs = list(zip(words[::2], words[1::2], strict=False))[:MOST_FILES]
    return [{"path": path, "change": LETTERS.get(letter[:1], "modified")} for letter, path in pairs]


def _metrics(one: Execution) -> dict[str, Any]:
    names = ("seconds", "cost_usd", "tool_calls", "turns", "attempt", *TOKENS)
    return {name: getattr(one, name) for name in names}


def short(one: Execution) -> str:
    """Return the name of an execution in messages."""
    return one.id[:SHORT]


def is_over(one: Execution) -> bool:
    """Is nothing to be done about it any more? An interrupted one may be gone on with."""
    return one.status not in LIVE and one.status is not ExecutionStatus.INTERRUPTED
