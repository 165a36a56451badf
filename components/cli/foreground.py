"""A typed task before a person's eyes: its runner is in the background all the same, and survives the terminal."""

from __future__ import annotations

import contextlib
import json
import os
import sys

import click

from components import ending_here, execution_index, execution_log, history_entry, log_follow, stopping, typed_task
from components.cli.logs import printer
from components.cli.output import folded, show
from components.config import Config
from components.git_command import printable
from components.log_follow import LogFollow
from components.model import Verdict
from components.redact import Redactor, secret_values
from components.short_id import SHORT

INTERRUPTED = 130


class RunnerLost(Exception):
    """The runner of the task that is followed has died, and there is nothing that could be followed."""


def follow(config: Config, claim: str, *, as_json: bool = False) -> int:
    """Show a task until it ends, and return its exit code; as JSON, the end alone is told on standard output.

    Ctrl-C leaves it at work; a second one, while we tell that, cancels it.
    """
    files = _files(config, claim)
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        code = _followed(config, files)
    if as_json:
        _show_as_json(config, files)
    return code


def call_off(config: Config, claim: str, *, as_json: bool) -> int:
    """Drop a new task that was interrupted while it waited for its turn; one that has just begun is left at work."""
    files = _files(config, claim)
    if not ending_here.end(config.home, files):
        return leave(config, files)
    _say(f"\n{files.short_id}: cancelled before it began; `restart {files.short_id}` does it after all")
    if as_json:
        _show_as_json(config, files)
    return INTERRUPTED


def give_way(config: Config, claim: str) -> int:
    """Tell of one that was to go on, and whose waiting for its turn was interrupted: it stays as it was."""
    files = _files(config, claim)
    if typed_task.has_runner(config.home, claim):
        return leave(config, files)
    short = files.short_id
    _say(f"\n{short} stays as it was: nobody works on it; `restart {short} --resume` goes on, `cancel {short}` ends it")
    return INTERRUPTED


def _files(config: Config, claim: str) -> execution_index.ExecutionFiles:
    return execution_index.ExecutionFiles(config.home, claim, f"t{claim[:SHORT]}")


def _show_as_json(config: Config, files: execution_index.ExecutionFiles) -> None:
    show(json.dumps(_as_json(files, typed_task.verdict_of(config.home, files.id)), ensure_ascii=False))


def _followed(config: Config, files: execution_index.ExecutionFiles) -> int:
    show(f"{files.short_id}: the agent's work follows; Ctrl-C leaves it at work in the background", "cyan")
    rest = log_follow.rest
    if sys.stdout.isatty():
        from components.cli.status_line import StatusLine

        rest = StatusLine(config, files, sys.stdout).rest
    try:
        printer(LogFollow(files, is_live=True, rest=_while_attended(files, rest)))
    except KeyboardInterrupt:
        return leave(config, files)
    except RunnerLost as lost:
        _say(f"{files.short_id}: {lost}")
    verdict = typed_task.verdict_of(config.home, files.id)
    if verdict is not None and verdict.reason in history_entry.DONE_WELL:
        return 0
    short = files.short_id
    for words, what in (
        (f"show {short}", "all that is known of it"),
        (f"restart {short} --resume", "go on where it stopped"),
        (f"restart {short}", "do it again"),
    ):
        show(f"  agent-runner {words:26}  {what}")
    return 1


def _while_attended(files: execution_index.ExecutionFiles, rest: log_follow.Rest) -> log_follow.Rest:
    """Return a rest that raises RunnerLost once the runner has died before an attempt: nobody starts it again."""
    runs_before = len(files.runs())

    def rested(seconds: float, fd: int | None) -> None:
        rest(seconds, fd)
        if typed_task.has_runner(files.home, files.id) or len(files.runs()) > runs_before:
            return
        if typed_task.verdict_of(files.home, files.id) is None and not stopping.alive(files):
            redact = Redactor(secret_values(os.environ))
            said = printable(redact(execution_log.last_error(files.runner_log))) or "it did not say why"
            why = (
                f"its runner has ended before it began an attempt: {said}; `logs {files.short_id} --runner` has its log"
            )
            raise RunnerLost(why)

    return rested


def _as_json(files: execution_index.ExecutionFiles, verdict: Verdict | None) -> dict[str, object]:
    """Return how it ended; without a verdict it has not."""
    told = {"id": files.id, "is_over": verdict is not None, "log": str(files.runner_log)}
    if verdict is None:
        return told
    return {
        **told,
        "reason": verdict.reason,
        "detail": verdict.detail,
        "exit_code": verdict.exit_code,
        "cost_usd": verdict.cost_usd or None,
        "seconds": verdict.seconds,
        "model": verdict.model,
    }


def leave(config: Config, files: execution_index.ExecutionFiles) -> int:
    """Leave the task at work, unless it is to be cancelled."""
    short = files.short_id
    told = f"{short} works on in the background: `logs {short} -f` shows it, `cancel {short}` ends it."
    try:
        click.echo("\n" + "\n".join(folded(f"{told} Ctrl-C again within 3 s cancels it now")), err=True)
        stopping.waited(3.0 if sys.stdin.isatty() else 0.0, lambda: False)
    except KeyboardInterrupt:
        show(f"\n{files.short_id}: {stopping.stop(config.home, files, config.cancel_grace, os.environ, _say)}")
    return INTERRUPTED


def _say(line: str) -> None:
    click.echo(line, err=True)
