"""The `prompt` command: what an agent would be told, before or without letting it work."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components import branch_names, home_branch
from components.config import Loaded, load, require
from components.errors import NotFound
from components.model import AgentRun, Held, Task, Workspace
from components.states import Complexity, Phase, Role

if TYPE_CHECKING:
    from components.tools import Tools

NOBODY = "prompt-show"
"""The agent in whose name the server is read where none is given; it is not registered."""


@click.group(name="prompt", short_help="Show what an agent would be told.")
def command() -> None:
    """Show what an agent would be told about a task."""


@command.command()
@click.option("--task", "task_id", metavar="N", required=True, help="The task's id at the server.")
@click.option("--role", metavar="ROLE", help=f"Who would do it: {', '.join(Role)}.  [default: the task's own role]")
@click.option("--attempt", metavar="K", type=click.IntRange(1), help="Which attempt.  [default: the next one]")
@click.option("--agent-id", metavar="ID", help="Whose earlier attempts count.  [default: <role>_001]")
@click.option("--repo", "repository", metavar="DIR", help="The git repository.  [default: the current directory]")
@click.option("--config", "file", metavar="FILE", type=Path, help="Read this configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: prompt, model, command line, limits.")
@click.pass_context
def show(
    context: click.Context, /, task_id: str, attempt: int | None, file: Path | None, as_json: bool, **_: Any
) -> None:
    """Print exactly what an agent would be given on standard input for a task of the Headless PM server.

    It is made by the daemon's own code from the task as it is now, the role's instructions, the configuration, and
    what earlier attempts on this machine have left. Nothing is claimed, started or changed, here or at the server;
    the directory and the branch of a major task that was not begun are those that it would get first.

    \b
    What would the agent be told about task 42, and which model would it be?
      advanced-agent-runner prompt show --task 42
      advanced-agent-runner prompt show --task 42 --json | jq -r .model
    What would QA be told, or the second attempt?
      advanced-agent-runner prompt show --task 42 --role qa
      advanced-agent-runner prompt show --task 42 --attempt 2

    The mark of the fences is a new one each time. What an attempt that ran was given stands in the file `prompt` of
    its run directory (see `status`).

    Exit codes: 0 shown, 2 a mistake in the call or the configuration, 4 no such task, 69 the server or the agent's
    program is not there, 77 the key is refused.
    """
    given = {name: context.params[name] for name in ("role", "agent_id", "repository")}
    task = _task(load(given, os.environ, file=file), task_id)
    given["role"] = given["role"] or load(given, os.environ, file=file).config.role or task.role
    tools = _tools(load(given, os.environ, file=file)).for_task(task)
    held = _held(task, attempt, tools)
    described = _described(held, tools)
    if as_json:
        click.echo(json.dumps(_as_json(held, described, tools), indent=2))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(described.prompt.encode())


def _task(loaded: Loaded, task_id: str) -> Task:
    """Return the task as the server has it now. Raises NotFound."""
    from components.sources.headless_pm import HeadlessPm

    config = loaded.config
    require(config, "api_key")
    branch_names.check_identifier("task id", task_id)
    identity = (config.agent_id or NOBODY, config.role or Role.BACKEND_DEV, config.level)
    source = HeadlessPm(config.api_url, config.api_key, *identity, wait=_wait)
    task = source.look(Task(id=task_id, title=""))
    if task is None:
        raise NotFound(f"task {task_id}: the server at {config.api_url} has no such task; look at its list of tasks")
    return task


def _wait(seconds: float) -> None:
    import threading

    threading.Event().wait(seconds)


def _tools(loaded: Loaded) -> Tools:
    """Return the daemon's tools; what is worth a warning goes to the standard error output."""
    from components.app import AdvancedAgentRunner
    from components.redact import Redactor
    from components.signals import Signals
    from components.terminal_ui import TerminalUI

    config = loaded.config
    ui = TerminalUI(sys.stderr, verbosity=-1, redact=Redactor([config.api_key]), environ=os.environ)
    for warning in loaded.warnings:
        ui.warning(warning)
    return AdvancedAgentRunner(config, os.environ, ui, Signals(config.on_term)).tools()


def _held(task: Task, attempt: int | None, tools: Tools) -> Held:
    """Return the attempt that is meant, as the journal would have it: after the last one of this agent, if any ran."""
    from components import orphans
    from components.run_directory import RunState

    agent_id = tools.config.agent_id
    runs = [(held, run) for held, run in orphans.runs_of(task, tools.runs) if held.agent_id == agent_id]
    if not runs:
        return Held(task, agent_id, Phase.SPAWNING, uuid.uuid4().hex, str(uuid.uuid4()), attempt or 1)
    last, run = max(runs, key=lambda pair: (pair[0].locked_at, pair[0].attempt))
    is_over = run.state() in (RunState.ENDED, RunState.VANISHED)
    return replace(last, task=task, phase=Phase.SPAWNING, attempt=attempt or last.attempt + is_over)


def _described(held: Held, tools: Tools) -> AgentRun:
    from components import launch

    return launch.describe(held, _workspace(held, tools), tools)


def _workspace(held: Held, tools: Tools) -> Workspace:
    """Return where the attempt works, or would work first."""
    known, repository = held.workspace, tools.worktrees.repository
    if known is not None and known.path.is_dir():
        return known
    if held.task.complexity is not Complexity.MAJOR:
        return Workspace(repository, repository, *home_branch.wanted(repository, held.task))
    return tools.worktrees.foreseen(held.task, held.claim, held.attempt)


def _as_json(held: Held, described: AgentRun, tools: Tools) -> Mapping[str, object]:
    run = asdict(described)
    del run["prompt"]
    return {
        "task": held.task.id,
        "attempt": held.attempt,
        "role": tools.config.role,
        "executor": tools.executor.name,
        **{name: str(value) if isinstance(value, Path) else value for name, value in run.items()},
        "argv": list(tools.executor.command(described).argv),
        "prompt": described.prompt,
    }
