"""`agent`: agents that are spawned one by one, each from its parent's work or from none."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.cli import workflow_session as session
from components.cli.output import age, folded, show, table, usd
from components.cli.workflow_view import COLOURS
from components.states import Complexity, Level, Role

if TYPE_CHECKING:
    from components.agent import Agent
    from components.agent_store import AgentStore

HELP = """Spawn agents: each does one task, and is told what its parent said, and begins at what its parent left.

\b
  agent-runner agent spawn --role architect "Write spec.md for a calculator"
  agent-runner agent spawn --role backend_dev --parent ID "Implement spec.md"      begins when the parent is done
  agent-runner agent list
  agent-runner agent show ID

What an agent does line by line is shown by `logs` under its execution's id.

Exit codes: 0 spawned (with --wait: completed), 1 not completed, 2 a mistake in the call, 4 no such agent or project.
"""
SPAWNED = (
    "Exit codes: 0 spawned (with --wait: completed), 1 not completed, 2 a mistake in the call, 4 no such agent or"
    " project, 69 the store or the queue does not answer, 130 interrupted (it is at work)."
)
SHOWN = "Exit codes: 0 shown, 2 a mistake in the call, 4 no such agent, 69 the store does not answer."
CANCELLED = (
    "Exit codes: 0 ended, or asked to end; 1 it is over already, 2 a mistake in the call, 4 no such agent, 69 the store"
    " or the queue does not answer."
)
WAIT_SECONDS = 0.3
_config = click.option("--config", "file", metavar="FILE", type=Path, help="A configuration file.")


@click.group(name="agent", help=HELP, short_help="Spawn agents, one after the other or side by side.")
def command() -> None:
    """The group of all commands about agents."""


@command.command(epilog=SPAWNED)
@click.argument("task")
@click.option("--parent", metavar="ID", help="Whose work it builds upon.")
@click.option("--role", type=click.Choice(list(map(str, Role))), help="Whose instructions it gets.")
@click.option("--seniority", "--level", "level", type=click.Choice(list(map(str, Level))), help="Chooses the model.")
@click.option("--minor", is_flag=True, help="In the main checkout instead of a worktree of its own.")
@click.option("--project", "-p", metavar="PROJECT", help="The repository.  [default: the parent's, else this one]")
@click.option("--title", metavar="TEXT", default="", help="What it is called.  [default: the task's first line]")
@click.option("--priority", type=click.IntRange(0, 1_000_000), default=100, show_default=True, help="Lowest first.")
@click.option("--limit", "limits", metavar="NAME=VALUE", multiple=True, help="A setting of this agent alone.")
@click.option("--key", metavar="KEY", default="", help="The same key again spawns no other agent.")
@click.option("--wait", "waits", is_flag=True, help="Wait for its end, and print what it said.")
@click.option("--no-worker", is_flag=True, help="Leave it to workers that run already.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_config
def spawn(  # noqa: PLR0913
    *,
    task: str,
    parent: str | None,
    role: str | None,
    level: str | None,
    minor: bool,
    project: str | None,
    title: str,
    priority: int,
    limits: tuple[str, ...],
    key: str,
    waits: bool,
    no_worker: bool,
    as_json: bool,
    file: Path | None,
) -> int:
    """Have an agent do TASK; with - it is read from standard input."""
    from components import workflow_entry
    from components.agent import Agent

    text = sys.stdin.read() if task == "-" else task
    if not text.strip():
        raise click.UsageError("the task is empty; say what is to be done")
    config = session.loaded(file)
    with session.engine(config) as (agents, engine):
        above = agents.agent(parent) if parent else None
        wanted = Agent(
            "",
            role=role or "",
            level=level or "",
            complexity=str(Complexity.MINOR if minor else Complexity.MAJOR),
            title=title,
            task=text,
            priority=priority,
            settings=workflow_entry.settings_text(_limits(limits)),
            project=above.project if above and not project else session.project(config, project or "", None),
            config_file=session.config_file(file),
        )
        made = workflow_entry.spawn(agents, wanted, config, above, workflow_entry.users_key(key))
        engine.advance(made.workflow_id)
        session.Session(config, agents, file, not no_worker).have_driven(made.workflow_id)
        made = _ended(agents, made.id) if waits else agents.agent(made.id)
    return _tell(made, waits, as_json)


def _limits(given: tuple[str, ...]) -> Mapping[str, object]:
    from components import workflow_file

    limits = {name: _typed(name, text) for name, _, text in (one.partition("=") for one in given)}
    return workflow_file.node_of({"id": "a", "task": "x", "limits": limits}, subject="the agent").limits


def _typed(name: str, text: str) -> object:
    """Return what a word means as a limit of that name; one that is none stays text, and is refused by its name."""
    from components.errors import ConfigError
    from components.setting_kinds import Number
    from components.settings import BY_NAME

    known = BY_NAME.get(name)
    if known is None or not isinstance(known.kind, Number):
        return text
    try:
        return known.kind.from_text(text)
    except ValueError as error:
        raise ConfigError(f"--limit {name}={text[:80]}: {error}") from error


def _ended(agents: AgentStore, agent_id: str) -> Agent:
    from components.agent import SETTLED

    while (one := agents.agent(agent_id)).status not in SETTLED:
        time.sleep(WAIT_SECONDS)  # Ctrl-C ends it: the agent works on
    return one


@command.command(name="list", epilog=SHOWN)
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_config
def list_all(limit: int, as_json: bool, file: Path | None) -> int:
    """List the agents that were spawned, newest first."""
    found = session.agents(session.loaded(file)).spawned(limit)
    if as_json:
        show(json.dumps({"agents": [asdict(one) for one in found]}, ensure_ascii=False))
        return 0
    if not found:
        show("There is no agent yet; `agent-runner agent spawn TASK` makes one.")
        return 0
    rows = [("ID", "STATUS", "ROLE", "SINCE", "COST", "TITLE")]
    rows += [
        (one.short_id, str(one.status), one.role, age(one.created_at), usd(one.cost_usd), one.title) for one in found
    ]
    for number, text in enumerate(table(rows)):
        show(text, COLOURS.get(found[number - 1].status, "") if number else "", bold=not number)
    return 0


@command.command(name="show", epilog=SHOWN)
@click.argument("word", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_config
def show_one(word: str, as_json: bool, file: Path | None) -> int:
    """Show all that is known of an agent, also of one in a workflow."""
    agents = session.agents(session.loaded(file))
    one = agents.agent(word)
    parents = [parent.id for parent in agents.parents_of(one.id)]
    if as_json:
        show(json.dumps({**asdict(one), "parents": parents}, ensure_ascii=False))
        return 0
    show(f"{one.short_id}  {one.title}  {one.status}", COLOURS.get(one.status, ""), bold=True)
    facts = {
        "workflow": one.workflow_id[:8],
        "node": one.node,
        "role": f"{one.role}, {one.level}, {one.complexity}",
        "parents": ", ".join(parent[:8] for parent in parents),
        "attempt": str(one.attempt),
        "execution": one.execution_id[:8],
        "host": one.host,
        "workspace": one.workspace,
        "branch": one.branch,
        "time": f"{one.seconds:.1f} s" if one.seconds else "",
        "tokens": str(one.input_tokens + one.output_tokens) if one.output_tokens else "",
        "cost": usd(one.cost_usd),
        "error": one.error,
        "result": one.result,
    }
    for name, value in facts.items():
        if value:
            for line in folded(value, f"  {name:10} ", " " * 13):
                show(line)
    return 0


@command.command(epilog=CANCELLED)
@click.argument("word", metavar="ID")
@_config
def cancel(word: str, file: Path | None) -> int:
    """End an agent, wherever it is at work; what depends on it is not begun."""
    config = session.loaded(file)
    with session.engine(config) as (agents, engine):
        one = agents.agent(word)
        before = engine.cancel_agent(one.id)
        session.Session(config, agents, file).have_ended(one.workflow_id)
        show(
            f"{one.short_id}: it was {before}; {'asked to end' if before == 'active' else agents.agent(one.id).status}"
        )
    return 0


def _tell(made: Agent, waits: bool, as_json: bool) -> int:
    if as_json:
        show(json.dumps(asdict(made), ensure_ascii=False))
    elif waits:
        show(f"{made.short_id} {made.status}: {made.error or made.result}", COLOURS.get(made.status, ""))
    else:
        show(f"Spawned {made.short_id} ({made.role})", "green")
        show(f"  agent-runner agent show {made.short_id}     where it stands, and what it said")
    return 0 if not waits or made.status == "completed" else 1
