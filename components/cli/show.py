"""The `show` command: all that is known of one execution."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from components import diffing, execution_index, history_entry, overview, projects, receipt, typed_task, unstarted
from components.cli import ids, opened
from components.cli.ending import ending
from components.cli.list import took
from components.cli.output import Line, folded, known_usd, show, show_all, usd
from components.config import Config, load
from components.errors import AmbiguousId, NotFound, RunnerError, StoreUnavailable
from components.execution import Execution, Transition
from components.execution_index import ExecutionFiles
from components.states import FINAL, Door, ExecutionStatus
from components.store_reader import StoreReader

LABEL = 11
COLOURS = {ExecutionStatus.SUCCEEDED: "green", ExecutionStatus.FAILED: "red", ExecutionStatus.INTERRUPTED: "yellow"}
HELP = """Show all that is known of an execution: its receipt, its moves, what it changed and cost, where its log is.

ID is the beginning of an execution's id, or a task's id: of that the newest execution. What was pruned is gone; the
history stays. Where the history does not answer, it shows what the files tell.

Exit codes: 0 shown, 2 a mistake in the call, 4 no such execution, 69 the store does not answer and there are no files
either, 75 the store is of a newer version.
"""


@dataclass(frozen=True, slots=True)
class Known:
    """An execution with all that tells of it; `row` is made from its files where the history has none.

    `trouble` says why the history could not be asked.
    """

    files: ExecutionFiles
    row: Execution
    moves: list[Transition]
    receipt: Mapping[str, Any]
    stat: str
    logs: list[Path]
    is_over: bool
    pids: Mapping[str, int]
    trouble: str


@click.command(name="show", help=HELP, short_help="Show all that is known of an execution.")
@click.argument("execution", metavar="ID", shell_complete=ids.complete)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="A configuration file.")
def command(*, execution: str, as_json: bool, file: Path | None) -> None:
    """Gather it, and show it."""
    config = load({}, os.environ, file=file).config
    known = _gathered(config, execution)
    if as_json:
        show(json.dumps(_as_json(known), indent=2, ensure_ascii=False))
    else:
        show_all(_lines(known, config))


def _gathered(config: Config, word: str) -> Known:
    reader, trouble = _history(config)
    try:
        files, row = ids.found(config, reader, word)
    except NotFound as unknown:
        if reader is not None or isinstance(unknown, AmbiguousId):
            raise
        raise StoreUnavailable(f"no execution {word[:64]!r} has files here, and {trouble}") from unknown
    is_over = execution_index.Watch(files).is_over()
    runs = list(files.runs().values())
    told = next((data for run in reversed(runs) if (data := receipt.read(run))), {})
    try:
        stat = diffing.stat(diffing.of(files, row, is_live=not is_over))
    except RunnerError as error:
        stat = f"({error})"
    logs = [run.out for run in runs] + ([files.runner_log] if files.directory.is_dir() else [])
    moves = reader.transitions_of(row.id) if row and reader else []
    row = row or _by_files(config, files)
    pids = {} if is_over else _pids(config, row.agent_id, files)
    runner, shim, agent = (pids.get(who, 0) for who in ("runner", "shim", "agent"))
    row = replace(row, runner_pid=runner, shim_pid=shim, agent_pid=agent)
    return Known(files, row, moves, told, stat, logs, is_over, pids, trouble)


def _history(config: Config) -> tuple[StoreReader | None, str]:
    """Return the history, or None and why it does not answer."""
    try:
        return opened.history(config), ""
    except StoreUnavailable as error:
        return None, str(error)


def _pids(config: Config, agent_id: str, files: ExecutionFiles) -> Mapping[str, int]:
    """Return who is with an execution now: who waits for its turn, its runner, its shim, its agent; only what lives."""
    agent = overview.agent(config.home, agent_id) if agent_id else None
    is_ours = agent is not None and agent.held is not None and agent.held.claim == files.id
    runner = {"runner": agent.runner} if agent is not None and is_ours and agent.runner else {}
    last = next(iter(reversed(files.runs().values())), None)
    pid = typed_task.waiter(config.home, files.id) if files.directory.is_dir() else 0
    waiter = {"waiter": pid} if pid else {}
    return {**waiter, **runner, **(overview.run_at(last.path).pids if last else {})}


def _by_files(config: Config, files: ExecutionFiles) -> Execution:
    """Return what files alone tell of an execution that the history does not know, or not yet."""
    held = execution_index.last_entry(config.home, files.id)
    verdict = typed_task.verdict_of(config.home, files.id) if files.directory.is_dir() else None
    if held is None:
        if not files.directory.is_dir():
            raise NotFound(f"execution {files.short_id}: its run directories do not tell its task any more")
        return unstarted.standing(config.home, typed_task.load(config.home, files.id))
    held = replace(held, verdict=verdict or held.verdict)
    place = str(held.workspace.repository) if held.workspace else ""
    lives = held.verdict is None and bool(_pids(config, held.agent_id, files))
    status = history_entry.status_of(held, time.time()) if lives else history_entry.ended(held.verdict)
    status = status or ExecutionStatus.INTERRUPTED
    return history_entry.entry(held, status, str, Door.TASK if files.directory.is_dir() else Door.RUN, place)


def _lines(known: Known, config: Config) -> Iterator[Line]:
    row = known.row
    yield Line(f"{row.short_id}  {ending(row)}", COLOURS.get(row.status, ""), bold=True)
    for label, text in _facts(known, config):
        if text:
            yield from map(Line, folded(text, f"{label:{LABEL}}", " " * LABEL))
    yield from _section("MOVES", [_move(one) for one in known.moves])
    yield from _section("RECEIPT", folded(receipt.paragraph(known.receipt), "  "))
    yield from _section("LAST WORDS", folded(row.summary, "  ") if row.summary else [])
    yield from _section("CHANGES", [f"  {line.strip()}" for line in known.stat.splitlines()])
    yield from _section("LOG", [f"  {path}" for path in known.logs if path.exists()])
    yield from _section("THE HISTORY CANNOT BE ASKED", folded(known.trouble, "  ") if known.trouble else [])
    yield from _section("NEXT", _next(known))


def _facts(known: Known, config: Config) -> Iterator[tuple[str, str]]:
    row = known.row
    yield "title", row.title
    yield "project", " ".join(filter(None, (projects.shown(config, row.project), f"({row.project})")))
    yield "task", ", ".join(filter(None, (row.task_id, row.role, row.level, row.complexity)))
    yield "agent", " on ".join(filter(None, (row.agent_id, row.host[:12])))
    yield "processes", ", ".join(f"{who} {pid}" for who, pid in known.pids.items())
    yield "began", _local(row.started_at or row.created_at)
    duration = took(row)
    yield "ended", f"{_local(row.completed_at)}, took {duration}" if row.status in FINAL else ""
    yield "attempts", str(row.attempt)
    yield "model", row.model
    yield "cost", _cost(row)
    yield "branch", row.branch
    yield "workspace", f"{row.workspace}{'' if Path(row.workspace).is_dir() else ' (gone)'}" if row.workspace else ""
    yield "again", f"of {row.restarted_from[:8]}" if row.restarted_from else ""
    yield "error", row.error


def _cost(row: Execution) -> str:
    tokens = (row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens)
    told = "{} tokens in, {} out, {} from the cache, {} into it".format(*tokens) if any(tokens) else ""
    return ", ".join(filter(None, (usd(row.cost_usd).strip("-"), told)))


def _move(one: Transition) -> str:
    reason = f" ({one.reason})" if one.reason not in ("", one.after) else ""
    attempt = f", attempt {one.attempt}" if one.attempt > 1 else ""
    return f"  {_local(one.at)}  {one.after}{reason}{attempt}"


def _next(known: Known) -> list[str]:
    """Return the commands that a person may want next."""
    id = known.row.short_id  # noqa: A001
    if not known.files.runs() and not known.files.directory.is_dir():
        return []  # pruned, or done on another machine: nothing of it is here
    live = (("logs {} -f", "watch it work"), ("cancel {}", "stop it"))
    if known.row.status is ExecutionStatus.INTERRUPTED and not known.is_over:
        live = (("restart {} --resume", "go on where it stopped"), ("cancel {}", "end it for good"))
    over = (("logs {} -n all", "all that it did"), ("restart {}", "do it again"))
    has_change = known.stat and not known.stat.startswith("(")
    words = [*(over if known.is_over else live), *([("diff {}", "what it changed")] if has_change else [])]
    if known.is_over and known.row.status is not ExecutionStatus.SUCCEEDED:
        words.append(("restart {} --resume", "go on where it stopped"))
    return [f"  agent-runner {command.format(id):28}  {what}" for command, what in words]


def _section(heading: str, lines: list[str]) -> Iterator[Line]:
    if lines:
        yield Line()
        yield Line(heading, bold=True)
        yield from map(Line, lines)


def _local(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return "-"


def _as_json(known: Known) -> Mapping[str, object]:
    return {
        **asdict(known.row),
        "cost_usd": known_usd(known.row.cost_usd),
        "transitions": [asdict(one) for one in known.moves],
        "receipt": known.receipt,
        "changes": known.stat,
        "logs": [str(path) for path in known.logs if path.exists()],
        "is_over": known.is_over,
        "pids": dict(known.pids),
        "trouble": known.trouble,
    }
