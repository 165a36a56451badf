"""`execute`: the runner of one typed task. Started by `task` and `restart`, and again by whoever finds it gone."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.errors import AgentMissing, MergeConflict, RunnerError, UnsafeName, UnsafeUrl
from components.model import Held, Verdict
from components.states import Door, Phase, Reason

if TYPE_CHECKING:
    from components.config import Config
    from components.typed_task import TypedTask

YOUNG_OBJECTS = 50_000
"""New objects between two looks for garbage: a runner makes little of it, and loading takes a sixth less time so."""


def configured(typed: TypedTask, environ: Mapping[str, str]) -> Config:
    """Return the configuration of a typed task's runner. Raises ConfigError with every mistake."""
    from components.config import load

    settings: dict[str, object] = {name: value for name, value in typed.settings.items() if name != "config"}
    given = {**settings, "role": typed.task.role, "level": typed.task.level, "agent_id": typed.agent_id}
    if typed.repository.is_dir() or not typed.clone_of:
        given["repository"] = str(typed.repository)
    file = typed.settings.get("config")
    loaded = load(
        {**given, "single_task": True},
        environ,
        file=Path(file) if file else None,
    )
    return replace(loaded.config, idle_timeout=None, max_tasks=None, interactive=False, on_term="leave")


def keep_verdict(home: Path, held: Held) -> None:
    """Keep how the task ended, before its journal goes."""
    from components import typed_task

    typed_task.keep_verdict(home, held.claim, held.verdict or Verdict(Reason.LOST_CLAIM))


def give_up(config: Config, typed: TypedTask, error: RunnerError) -> int:
    """Keep and tell that a task cannot be begun, because its repository or its agent is not to be had."""
    from components import cancelling
    from components.history import History
    from components.redact import Redactor, secret_values
    from components.task_persistence import host_name, now_text

    known = {UnsafeUrl: Reason.UNSAFE_TASK, UnsafeName: Reason.UNSAFE_TASK, AgentMissing: Reason.AGENT_MISSING}
    known[MergeConflict] = Reason.MERGE_CONFLICT
    reason = next((known[kind] for kind in type(error).__mro__ if kind in known), Reason.WORKSPACE_FAILED)
    if cancelling.is_asked(config.home, typed.claim):
        reason = Reason.CANCELLED
    held = Held(
        task=typed.task,
        agent_id=typed.agent_id,
        phase=Phase.DONE,
        claim=typed.claim,
        session_id="",
        locked_at=now_text(),
        host=host_name(),
        verdict=Verdict(reason, str(error)),
    )
    keep_verdict(config.home, held)
    history = History(
        config.home,
        config.store,
        agent_id=typed.agent_id,
        project=str(typed.repository),
        door=typed.door,
        restarted_from=typed.restarted_from,
        redact=Redactor(secret_values(os.environ)),
    )
    history.note(held)
    history.close()
    cancelling.forget(config.home, typed.claim)
    click.echo(f"Task {typed.task.id} was not begun: {error}", err=True)
    return 1


def require_wanted(home: Path, claim: str) -> None:
    """Raise RunnerError for a task that was called off before anything of it began: then nothing is prepared for it."""
    from components import cancelling, unstarted
    from components.execution_index import ExecutionFiles

    if cancelling.is_asked(home, claim) and unstarted.never_began(ExecutionFiles(home, claim)):
        raise RunnerError("it was cancelled before it began")


@click.command(name="execute", hidden=True)
@click.argument("claim")
@click.argument("alive", type=int)
def command(claim: str, alive: int) -> int:
    """Run a typed task to its end, from wherever it is."""
    os.set_inheritable(alive, False)
    gc.set_threshold(YOUNG_OBJECTS)
    from components import agent_wanted, background, typed_task, workplace
    from components.app import AdvancedAgentRunner
    from components.cli.run import terminal
    from components.config import load
    from components.signals import Signals
    from components.sources.typed import TypedTaskSource

    signals = Signals("leave")
    signals.install()
    home = load({}, os.environ).config.home
    typed = typed_task.load(home, claim)
    config = configured(typed, os.environ)
    try:
        require_wanted(home, claim)
        workplace.prepare(config, typed)
    except RunnerError as error:
        return give_up(config, typed, error)
    config = configured(typed, os.environ)
    ui = terminal(config)
    on_beat = None
    if typed.door is Door.WORKFLOW:
        on_beat = partial(agent_wanted.require, config, typed)
        config = replace(config, heartbeat_interval=min(config.heartbeat_interval, agent_wanted.SECONDS))
    role, level = typed.task.role, typed.task.level
    source = TypedTaskSource(typed_task.directory_of(home, claim), typed.agent_id, role, level, on_beat)
    runner = AdvancedAgentRunner(config, os.environ, ui, signals, source=source)
    runner.door, runner.project, runner.restarted_from = typed.door, str(typed.repository), typed.restarted_from
    runner.on_end = partial(keep_verdict, home)
    try:
        tally = runner.run(first=background.first_entry(home, typed, runner.journal, ui.warning))
    except RunnerError as error:
        if not runner.journal.is_locked() and typed_task.verdict_of(home, claim) is None:
            return give_up(config, typed, error)  # nobody waits for what cannot begin
        raise
    if not runner.journal.is_locked():
        typed_task.forget_agent(home, claim)
    return 1 if tally.failed else 0
