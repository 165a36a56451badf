"""`execute`: the runner of one typed task. Started by `task` and `restart`, and again by whoever finds it gone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.model import Held, Verdict
from components.states import Reason

if TYPE_CHECKING:
    from components.config import Config
    from components.typed_task import TypedTask


def configured(typed: TypedTask, environ: Mapping[str, str]) -> Config:
    """Return the configuration of a typed task's runner. Raises ConfigError with every mistake."""
    from components.config import load

    settings: dict[str, object] = {name: value for name, value in typed.settings.items() if name != "config"}
    given = {**settings, "role": typed.task.role, "level": typed.task.level, "agent_id": typed.agent_id}
    file = typed.settings.get("config")
    loaded = load(
        {**given, "repository": str(typed.repository), "single_task": True},
        environ,
        file=Path(file) if file else None,
    )
    return replace(loaded.config, idle_timeout=None, max_tasks=None, interactive=False, on_term="leave")


def keep_verdict(home: Path, held: Held) -> None:
    """Keep how the task ended, before its journal goes."""
    from components import typed_task

    typed_task.keep_verdict(home, held.claim, held.verdict or Verdict(Reason.LOST_CLAIM))


@click.command(name="execute", hidden=True)
@click.argument("claim")
@click.argument("alive", type=int)
def command(claim: str, alive: int) -> int:
    """Run a typed task to its end, from wherever it is."""
    os.set_inheritable(alive, False)
    from components import background, typed_task
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
    ui = terminal(config)
    source = TypedTaskSource(typed_task.directory_of(home, claim), typed.agent_id, typed.task.role, typed.task.level)
    runner = AdvancedAgentRunner(config, os.environ, ui, signals, source=source)
    runner.door, runner.project = typed.door, typed.project
    runner.on_end = partial(keep_verdict, home)
    tally = runner.run(first=background.first_entry(home, typed, runner.journal))
    return 1 if tally.failed else 0
