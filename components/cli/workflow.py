"""`workflow`: graphs of agents that build upon each other's work: run, watched, cancelled, done again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from components.agent import WorkflowStatus
from components.cli import workflow_session as session
from components.cli.output import show, show_all

HELP = """Run graphs of agents: each node is one agent's work, and begins at the merged work of those it depends on.

\b
  agent-runner workflow check flow.yaml      is it right, in which order would it go
  agent-runner workflow run flow.yaml        run it; Ctrl-C leaves it at work
  agent-runner workflow run flow.yaml -b     run it in the background
  agent-runner workflow show ID --mermaid    where it stands, as a picture
  agent-runner workflow retry ID --failed    do again what failed, and go on

docs/workflows.md tells how a workflow is written; `workflow schema` prints its JSON Schema, for editors.

Exit codes: 0 completed (or started, with -b), 1 not completed, 2 a mistake in the file, 3 it waits for a person, 4 no
such workflow, 130 interrupted (it is at work).
"""
FOLLOWED = (
    "Exit codes: 0 completed (or started, with -b), 1 not completed, or it cannot go on; 2 a mistake in the call or the"
    " file, 3 it waits for a person, 4 no such workflow or project, 69 the store or the queue does not answer, 130"
    " interrupted (it is at work)."
)
CHANGED = (
    "Exit codes: 0 done, 1 it stands where that cannot be done (over already, for instance), 2 a mistake in the call, 4"
    " no such workflow or node, 69 the store or the queue does not answer."
)
SHOWN = "Exit codes: 0 shown, 2 a mistake in the call or the file, 4 no such workflow, 69 the store does not answer."
_config = click.option("--config", "file", metavar="FILE", type=Path, help="A configuration file.")
_background = click.option("--background", "-b", is_flag=True, help="Start it and return at once.")
_no_worker = click.option("--no-worker", is_flag=True, help="Leave it to workers that run already.")


@click.group(name="workflow", help=HELP, short_help="Run graphs of agents that build upon each other.")
def command() -> None:
    """The group of all commands about workflows."""


@command.command(epilog=FOLLOWED)
@click.argument("path", metavar="FILE", type=Path)
@click.option("--project", "-p", metavar="PROJECT", help="The repository.  [default: the file's, else the current one]")
@click.option("--key", metavar="KEY", default="", help="The same key again runs no other workflow.")
@_background
@_no_worker
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (with -b).")
@_config
def run(
    *,
    path: Path,
    project: str | None,
    key: str,
    background: bool,
    no_worker: bool,
    as_json: bool,
    file: Path | None,
) -> int:
    """Run a workflow from a YAML file."""
    from components import workflow_entry, workflow_file

    config = session.loaded(file)
    graph = workflow_file.read(path)
    graph = replace(graph, project=session.project(config, project or graph.project, None if project else path))
    with session.engine(config) as (agents, engine):
        after = agents.last_move()
        made = workflow_entry.enter(agents, graph, config, session.config_file(file), workflow_entry.users_key(key))
        engine.run(made.id)
        if as_json:
            show(json.dumps({"id": made.id, "name": made.name}))
        else:
            session.tell_begun(made.short_id, graph)
        return session.Session(config, agents, file, not no_worker).carry_on(made.id, after, background)


@command.command(name="check", epilog=SHOWN)
@click.argument("path", metavar="FILE", type=Path)
@click.option("--mermaid", is_flag=True, help="Draw it as a Mermaid flowchart.")
def check_file(path: Path, mermaid: bool) -> int:
    """Tell what is wrong with a workflow file, or in which order its nodes would go."""
    from components import workflow, workflow_file, workflow_picture
    from components.workflow_picture import Drawn

    graph = workflow_file.read(path)
    if mermaid:
        drawn = (Drawn(node.id, f"{node.id}: {node.role or node.kind}", node.needs, node.kind) for node in graph.nodes)
        show(workflow_picture.mermaid(drawn).rstrip())
        return 0
    layers = workflow.layers(graph.nodes)
    show(
        f"{graph.name}: {len(graph.nodes)} nodes in {len(layers)} steps, at most {max(map(len, layers))} at once",
        "green",
    )
    for number, layer in enumerate(layers[:50], 1):
        show(f"  {number:3}  {', '.join(layer[:20])}{', ...' if len(layer) > 20 else ''}")
    return 0


@command.command(epilog=SHOWN)
def schema() -> None:
    """Print the JSON Schema of a workflow file."""
    from components import workflow_format

    click.echo(workflow_format.schema_text(), nl=False)


@command.command(name="list", epilog=SHOWN)
@click.option("--status", type=click.Choice(list(map(str, WorkflowStatus))), help="Only those of one status.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_config
def list_all(status: str | None, limit: int, as_json: bool, file: Path | None) -> int:
    """List workflows, newest first."""
    from components.cli import workflow_view

    agents = session.agents(session.loaded(file))
    found = agents.workflows(status or "", limit=limit)
    counts = agents.counts([one.id for one in found])
    if as_json:
        rows = [{"id": one.id, "name": one.name, "status": one.status, "agents": counts[one.id]} for one in found]
        show(json.dumps({"workflows": rows}))
    elif found:
        show_all(workflow_view.listed(found, counts))
    elif status:
        show(f"No workflow has the status {status}.")
    else:
        show("There is no workflow yet; `agent-runner workflow run FILE` runs one.")
    return 0


@command.command(name="show", epilog=SHOWN)
@click.argument("word", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--mermaid", is_flag=True, help="Draw it as a Mermaid flowchart.")
@_config
def show_one(word: str, as_json: bool, mermaid: bool, file: Path | None) -> int:
    """Show where a workflow stands, node by node."""
    from components import workflow_entry, workflow_picture
    from components.cli import workflow_view

    agents = session.agents(session.loaded(file))
    one = agents.workflow(word)
    nodes = workflow_entry.in_order(one, agents.agents_of(one.id))
    needs = agents.needs_of(one.id, nodes)
    if mermaid:
        show(workflow_picture.mermaid(workflow_picture.drawn(nodes, needs)).rstrip())
    elif as_json:
        show(json.dumps(workflow_view.as_json(one, nodes, needs), ensure_ascii=False))
    else:
        show_all(workflow_view.whole(one, nodes, needs))
    return 0


@command.command(epilog=CHANGED)
@click.argument("word", metavar="ID")
@_config
def cancel(word: str, file: Path | None) -> int:
    """End a workflow: begin nothing more, and stop the agents that are at work, wherever they are."""
    config = session.loaded(file)
    with session.engine(config) as (agents, engine):
        one = agents.live_workflow(word)
        at_work = engine.cancel(one.id)
        session.Session(config, agents, file).have_ended(one.id)
        show(f"{one.short_id}: cancelled; {at_work} agent{'s' * (at_work != 1)} at work asked to end", "yellow")
    return 0


@command.command(epilog=FOLLOWED)
@click.argument("word", metavar="ID")
@click.option("--failed", is_flag=True, required=True, help="What failed, was skipped or was cancelled.")
@_background
@_no_worker
@_config
def retry(word: str, failed: bool, background: bool, no_worker: bool, file: Path | None) -> int:
    """Do again what failed, and go on from there; what was completed stays."""
    del failed
    config = session.loaded(file)
    with session.engine(config) as (agents, engine):
        one = agents.workflow(word)
        ours = session.Session(config, agents, file, not no_worker)
        ours.await_ends(one.id, engine)
        after = agents.last_move()
        count = engine.retry(one.id)
        show(f"{one.short_id}: {count} agent{'s' * (count != 1)} to be done again", "green")
        return ours.carry_on(one.id, after, background)


@command.command(epilog=FOLLOWED)
@click.argument("word", metavar="ID")
@_background
@_config
def resume(word: str, background: bool, file: Path | None) -> int:
    """Go on with a workflow that nobody works on any more: after a crash of the machine, for instance."""
    config = session.loaded(file)
    with session.engine(config) as (agents, engine):
        one, after = agents.workflow(word), agents.last_move()
        engine.run(one.id)
        return session.Session(config, agents, file).carry_on(one.id, after, background)


@command.command(epilog=CHANGED)
@click.argument("word", metavar="ID")
@click.argument("node")
@click.option("--comment", "-m", metavar="TEXT", default="", help="What those that depend on it are told.")
@_no_worker
@_config
def approve(word: str, node: str, comment: str, no_worker: bool, file: Path | None) -> int:
    """Let go on what waits for a person's approval."""
    return _decide(word, node, comment, no_worker, file, is_approved=True)


@command.command(epilog=CHANGED)
@click.argument("word", metavar="ID")
@click.argument("node")
@click.option("--comment", "-m", metavar="TEXT", default="", help="Why.")
@_no_worker
@_config
def reject(word: str, node: str, comment: str, no_worker: bool, file: Path | None) -> int:
    """Refuse an approval: the node has failed, and its policy says what becomes of those that depend on it."""
    return _decide(word, node, comment, no_worker, file, is_approved=False)


def _decide(word: str, node: str, comment: str, no_worker: bool, file: Path | None, *, is_approved: bool) -> int:
    config = session.loaded(file)
    with session.engine(config) as (agents, engine):
        one = agents.live_workflow(word)
        engine.decide(one.id, node, is_approved=is_approved, comment=comment)
        show(
            f"{one.short_id}: {node} {'approved' if is_approved else 'rejected'}", "green" if is_approved else "yellow"
        )
        session.Session(config, agents, file, not no_worker).have_driven(one.id)
    return 0
