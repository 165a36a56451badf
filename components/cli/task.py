"""`task`: one task, typed by a person, done by an agent in the background or before their eyes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.cli import ids
from components.cli.output import folded, show
from components.states import Level, Role

if TYPE_CHECKING:
    from components.config import Config
    from components.typed_task import TypedTask

OPTIONS = {"--claude-timeout": "--timeout", "--task-budget-usd": "--budget"}
"""How the settings' own options are called here."""
TITLE_CHARACTERS = 80
HELP = """Have an agent do one task in a project.

PROJECT is a name of `projects:` in the configuration, the path of a git repository, or its address: that is cloned
first. DESCRIPTION says what to do; with - it is read from standard input. The agent works in a worktree of its own
unless --minor or --workspace says otherwise.

\b
Start it and go on with your own work:
  agent-runner task shop "Make the tests of the cart green" -b
\b
See it work (Ctrl-C leaves it at work; a second one cancels it):
  agent-runner task ~/src/shop "Explain the build in README.md" --minor
\b
In a repository that is not here yet (a token for it: `git_tokens`):
  agent-runner task https://git.example.org/shop.git "Update the licence" -b
\b
Afterwards:
  agent-runner status            agent-runner logs ID -f
  agent-runner show ID           agent-runner cancel ID

Exit codes: 0 done (or started, with -b), 1 not done, 4 no such project, 75 too many tasks run, 130 interrupted.
"""


@click.command(name="task", help=HELP, short_help="Have an agent do one task in a project.")
@click.argument("project", shell_complete=ids.complete_project)
@click.argument("description")
@click.option("--background", "-b", is_flag=True, help="Start it and return at once.")
@click.option("--wait", "waits", is_flag=True, help="Wait for a turn where too many tasks run; Ctrl-C drops it.")
@click.option("--title", metavar="TEXT", help="What it is called.  [default: the description's first line]")
@click.option(
    "--role",
    metavar="ROLE",
    default=Role.BACKEND_DEV.value,
    help=f"{', '.join(Role)}.",
    show_default=True,
    shell_complete=ids.one_of(Role),
)
@click.option(
    "--seniority",
    "--level",
    "level",
    metavar="LEVEL",
    help=f"{', '.join(Level)}: chooses the model.",
    shell_complete=ids.one_of(Level),
)
@click.option("--major/--minor", "is_major", default=True, help="In a worktree of its own, or in the main checkout.")
@click.option("--workspace", "kind", metavar="KIND", help="worktree, clone (of its own) or in_place, instead.")
@click.option("--branch", metavar="NAME", help="The branch that the work begins at.")
@click.option("--model", metavar="NAME", help="The model, whatever the seniority.")
@click.option("--timeout", "claude_timeout", metavar="SECONDS", help="How long an attempt may take.")
@click.option("--budget", "task_budget_usd", metavar="USD", help="What it may cost.")
@click.option("--executor", metavar="NAME", help="Which kind of agent does the work.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; without -b when it has ended.")
@click.option("--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="A configuration file.")
def command(
    *,
    project: str,
    description: str,
    title: str | None,
    is_major: bool,
    background: bool,
    waits: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Keep the task, start its runner, and show it unless it is for the background."""
    from components import background as tasks
    from components import workplace
    from components.config import load
    from components.typed_task import TypedTask

    text = sys.stdin.read() if description == "-" else description
    if not text.strip():
        raise click.UsageError("the description is empty; say what is to be done")
    if not project.strip():
        raise click.UsageError(
            "the project is empty; name one of `projects:`, the path of a repository, or its address"
        )
    if given["model"] is not None and not given["model"].strip():
        raise click.UsageError("--model is empty; name a model, or leave it out")
    config = load({"role": given["role"], "level": given["level"]}, os.environ, file=given["file"]).config
    claim = tasks.new_claim()
    kind = given["kind"] or ("" if is_major else "in_place")
    place = workplace.chosen(config, project, claim, kind=kind, branch=given["branch"] or "")
    if place.branch and not place.clone_of:
        _require_branch(place.repository, place.branch)
    task = tasks.task_of(
        claim,
        title or first_line(text),
        text,
        role=str(config.role),
        level=config.level,
        complexity=place.complexity,
    )
    typed = TypedTask(
        claim,
        replace(task, branch=place.branch),
        place.repository,
        place.project,
        settings_of(given, config.level),
        clone_of=place.clone_of,
        branch=place.branch,
        kind=place.kind,
    )
    require_usable(typed)
    return launch(config, typed, background=background, waits=waits, as_json=as_json)


def _require_branch(repository: Path, branch: str) -> None:
    """Raise NotFound for a branch that is neither in a repository nor known of its remotes."""
    from components import git_command
    from components.errors import NotFound

    listed = ("for-each-ref", "--count=1", f"refs/heads/{branch}", f"refs/remotes/*/{branch}")
    if not git_command.answer(repository, *listed):
        raise NotFound(f"--branch {branch!r}: there is none in {repository}; `git branch --all` there shows what is")


def require_usable(typed: TypedTask) -> None:
    """Raise ConfigError where its runner could not even begin, by the names of our options."""
    from dataclasses import fields

    from components import executors
    from components.cli import execute
    from components.errors import ConfigError

    try:
        config = execute.configured(typed, os.environ)
    except ConfigError as error:
        words = str(error)
        for name, option in OPTIONS.items():
            words = words.replace(name, option)
        raise ConfigError(words) from None
    if "executor" in typed.settings:
        executors.find(config.executor, {one.name: getattr(config, one.name) for one in fields(config)})


def settings_of(given: Mapping[str, Any], level: str) -> dict[str, str]:
    """Return the options that are settings, by the settings' names."""
    names = ("claude_timeout", "task_budget_usd", "executor")
    settings = {name: given[name] for name in names if given[name] is not None}
    if given["model"]:
        settings["models"] = f"{level}={given['model']}"
    if given["file"]:
        settings["config"] = str(given["file"].absolute())
    return settings


def launch(config: Config, typed: TypedTask, *, background: bool, waits: bool, as_json: bool) -> int:
    """Start a typed task's runner, and follow it unless it is for the background."""
    from components import background as tasks
    from components import typed_task
    from components.cli import foreground

    if not waits:
        tasks.require_turn(config.home, config.max_parallel_tasks)
    directory = typed_task.save(config.home, typed)
    try:
        if background and len(tasks.running(config.home)) >= config.max_parallel_tasks:
            pid = tasks.queue(config.home, typed.claim, os.environ)
            tell(typed.claim, pid, directory / "log", as_json, word="Waits for its turn:")
            return 0
        pid = tasks.start_in_turn(config.home, typed.claim, config.max_parallel_tasks, os.environ, say)
    except KeyboardInterrupt:
        return foreground.call_off(config, typed.claim, as_json=as_json)
    if background:
        tell(typed.claim, pid, directory / "log", as_json)
        return 0
    return foreground.follow(config, typed.claim, as_json=as_json)


def say(line: str) -> None:
    """Tell something that is not the command's output."""
    click.echo(line, err=True)


def tell(claim: str, pid: int, log: Path, as_json: bool, word: str = "Started") -> None:
    """Tell what was started, and what to type next."""
    short = claim[:8]
    words = {f"logs {short} -f": "what the agent does", "status": "all that runs here", f"cancel {short}": "stop it"}
    if as_json:
        commands = [f"agent-runner {one}" for one in words]
        show(json.dumps({"id": claim, "pid": pid, "log": str(log), "next": commands}))
        return
    show(f"{word} {short} (pid {pid})", "green")
    for line in folded(f"Log: {log}", "  "):
        show(line)
    for one, what in words.items():
        show(f"  agent-runner {one:18}  {what}")


def first_line(text: str) -> str:
    """Return a title for a description."""
    line = text.strip().splitlines()[0].strip()
    return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1].rstrip() + "…"
