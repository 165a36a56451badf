"""The `pm` command: a Headless PM server to run, and a terminal to fill it from."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.states import Level, Role

if TYPE_CHECKING:
    from components.headless_pm.desk import Desk

GENERATIONS = ("main", "hooks", "installer")
ROLES = tuple(str(role) for role in Role)
LEVELS = tuple(str(level) for level in Level)
LOOPBACK = ("127.", "::1", "localhost")
FOR_QA = "note: the server offers QA whatever developers finished, and a task for the role qa to nobody"


@click.group("pm")
@click.option("--url", metavar="URL", help="The server.  [default: HEADLESS_PM_API_URL, else http://localhost:6969]")
@click.option(
    "--as", "agent_id", default="pm_cli", show_default=True, metavar="AGENT_ID", help="The pm agent to act as."
)
@click.pass_context
def command(context: click.Context, url: str | None, agent_id: str) -> None:
    """Run a Headless PM server, and fill any Headless PM server with tasks from a terminal.

    \b
    Example:
        pm serve &
        export HEADLESS_PM_API_KEY="$(cat ~/.headless-pm/pm.key)"
        pm task add "Fix the login page" --level senior --major
        pm task list
    """
    context.obj = {"url": url, "agent_id": agent_id}


@command.command()
@click.option("--port", default=6969, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--db", type=click.Path(path_type=Path, dir_okay=False), help="SQLite file.  [default: HOME/pm.db]")
@click.option("--api-key-file", type=click.Path(path_type=Path, dir_okay=False), help="File that holds the API key.")
@click.option("--real", is_flag=True, help="Copy the defects of the original server.")
@click.option("--generation", default="main", type=click.Choice(GENERATIONS), help="Speak as a branch of 2025 did.")
@click.option("--defect", "named", multiple=True, metavar="NAME[=VALUE]", help="Copy one defect; `list` shows all.")
@click.option("--stale-after", default=1800.0, type=click.FloatRange(0), help="Seconds of silence that free a lock.")
@click.option("--faults", is_flag=True, help="For tests: faults can be injected at /_faults.")
def serve(port: int, host: str, db: Path | None, api_key_file: Path | None, **copied: Any) -> None:
    """Serve a Headless PM until it is stopped.

    The data is one SQLite file. The API key is that of the environment (HEADLESS_PM_API_KEY), else one is made and kept
    in HOME/pm.key. HOME is HEADLESS_PM_HOME, else ~/.headless-pm.

    \b
    Example:
        pm serve --port 0 --db /tmp/try.db
        pm serve --real --defect racy_lock=0.5     as the original, with a wider race
    """
    from components.headless_pm import settings

    if "list" in copied["named"]:
        click.echo(settings.described())
        return
    from components.config import load
    from components.headless_pm import app

    switches = settings.defects(**{name: copied.pop(name) for name in ("real", "generation", "named")})
    config = load({"api_key_file": api_key_file, "api_url": f"http://127.0.0.1:{port or 6969}"}, os.environ).config
    key = config.api_key or _new_key(config.home / "pm.key")
    if not host.startswith(LOOPBACK):
        click.echo(f"warning: {host} can be reached from other machines, and there is no encryption", err=True)
    database = db or config.home / "pm.db"
    app.serve(settings.Settings(database, (key,), switches, **copied), host, port, announce=_announce)


def _announce(url: str) -> None:
    click.echo(f"Headless PM listening on {url}")


def _new_key(file: Path) -> str:
    """Make a key that only this user can read, where the clients of this machine look for one."""
    from components import durable

    key = secrets.token_urlsafe(32)
    durable.make_directory(file.parent)
    durable.write(file, f"{key}\n".encode())
    click.echo(f'A new API key is in {file}; other programs get it by: export HEADLESS_PM_API_KEY="$(cat {file})"')
    return key


def _desk(context: click.Context) -> Desk:
    """Return a seat at the configured server."""
    from components.config import load, require
    from components.headless_pm.desk import Desk

    config = load({"api_url": context.obj["url"]}, os.environ).config
    require(config, "api_key")
    return Desk(config.api_url, config.api_key, context.obj["agent_id"])


@command.group()
def task() -> None:
    """Add, list, show, approve and delete tasks."""


@task.command("add")
@click.argument("title")
@click.option("-d", "--description", help="What is to be done.")
@click.option("--description-file", type=click.File("r", encoding="utf-8"), help="Read it from a file; - is stdin.")
@click.option("--role", default="backend_dev", show_default=True, type=click.Choice(ROLES))
@click.option("--level", default="senior", show_default=True, type=click.Choice(LEVELS))
@click.option("--major/--minor", default=False, help="A branch of its own, or straight on main.  [default: minor]")
@click.option("--branch", default="", help="The branch the work belongs on.")
@click.option("--feature", default="Tasks", show_default=True, metavar="NAME", help="Made when it is not there.")
@click.option("--epic", default="Backlog", show_default=True, metavar="NAME", help="Made when it is not there.")
@click.option("--pending", is_flag=True, help="Do not offer it to agents until `pm task approve`.")
@click.pass_context
def add_task(context: click.Context, /, *, title: str, description_file: Any, major: bool, **fields: Any) -> None:
    """Make a task and print its id.

    \b
    Example:
        pm task add "Fix the login page" -d "The button does nothing." --level junior
        git log -1 --format=%B | pm task add "Review the last commit" --description-file -
    """
    from components.headless_pm.desk import Draft

    given = fields.pop("description")
    if given is not None and description_file is not None:
        raise click.UsageError("give --description or --description-file, not both")
    if not title.strip():
        raise click.BadParameter("say in one line what is to be done", param_hint="TITLE")
    description = description_file.read() if description_file is not None else given or ""
    complexity = "major" if major else "minor"
    made = _desk(context).add(Draft(title=title, description=description, complexity=complexity, **fields))
    if fields["role"] == Role.QA:
        click.echo(FOR_QA, err=True)
    click.echo(made["id"])


@task.command("list")
@click.option("--status", help="Only these, as created or under_work.")
@click.option("--role", type=click.Choice(ROLES), help="Only those for this role.")
@click.option("--json", "as_json", is_flag=True, help="The server's own answer.")
@click.pass_context
def list_tasks(context: click.Context, status: str | None, role: str | None, as_json: bool) -> None:
    """List tasks, newest first."""
    tasks = _desk(context).tasks(status, role)
    columns = ("id", "status", "target_role", "difficulty", "complexity", "locked_by", "title")
    click.echo(json.dumps(tasks, indent=2) if as_json else _table(tasks, columns))


@task.command("show")
@click.argument("task_id", type=int)
@click.option("--json", "as_json", is_flag=True, help="The server's own answer.")
@click.pass_context
def show_task(context: click.Context, task_id: int, as_json: bool) -> None:
    """Show one task with its description and notes."""
    found = _desk(context).task(task_id)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    long = ("description", "notes")
    for name, value in found.items():
        if value is not None and name not in long:
            click.echo(f"{name + ':':15} {_plain(value)}")
    for name in long:
        if found.get(name):
            click.echo(f"\n{name}:\n" + "\n".join(f"  {_plain(line)}" for line in str(found[name]).splitlines()))


@task.command("approve")
@click.argument("task_ids", type=int, nargs=-1, required=True)
@click.pass_context
def approve_tasks(context: click.Context, task_ids: tuple[int, ...]) -> None:
    """Put pending tasks into the queue (pending -> created)."""
    desk = _desk(context)
    for task_id in task_ids:
        click.echo(f"{desk.approve(task_id)['id']} created")


@task.command("delete")
@click.argument("task_id", type=int)
@click.pass_context
def delete_task(context: click.Context, task_id: int) -> None:
    """Delete a task with its history."""
    _desk(context).delete(task_id)
    click.echo(f"{task_id} deleted")


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_context
def import_tasks(context: click.Context, file: Path) -> None:
    """Make the tasks of a YAML file; nothing is made when the file has a mistake.

    A task with a `key` is made once, however often the file is imported.

    \b
    Example of a file:
        role: backend_dev
        tasks:
          - key: login-button
            title: Fix the login page
            level: junior
            description: |
              The button does nothing.
    """
    from components.headless_pm import task_file

    drafts = task_file.read(file)
    desk = _desk(context)
    known = desk.known_keys()
    for draft in drafts:
        if draft.key in known:
            click.echo(f"{known[draft.key]} is there already: {draft.key}")
        else:
            click.echo(f"{desk.add(draft)['id']} {_plain(draft.title)}")


@command.command()
@click.option("--json", "as_json", is_flag=True, help="The server's own answer.")
@click.pass_context
def agents(context: click.Context, as_json: bool) -> None:
    """List the agents of the server, last seen first."""
    found = _desk(context).agents()
    click.echo(json.dumps(found, indent=2) if as_json else _table(found, ("agent_id", "role", "level", "last_seen")))


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    """Return rows under their column names; the last column is as wide as it needs."""
    cells = [columns, *([_plain(row.get(name) or "-") for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns) - 1)]
    lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[-1]]) for line in cells]
    return "\n".join(lines)


def _plain(value: object) -> str:
    """Return a text that cannot move the cursor of a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))
