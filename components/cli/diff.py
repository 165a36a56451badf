"""The `diff` command: what an execution has changed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import click

from components.cli import ids
from components.cli.output import has_colours, show

PAGERS = (("GIT_PAGER", ""), ("PAGER", ""))
SHOWN_TO_GIT = ("TERM", "LESS", "LV", "LANG", "LC_ALL", "COLUMNS", "LESSCHARSET")
HELP = """Show what an execution has changed, as a patch: from the commit that it began at to what it left.

It works also when the worktree is gone: the work is on a branch. Of one that runs it shows the files as they are now,
without those that git does not know yet. Where nothing has changed, it says so on standard error. On a terminal a pager
shows it, in a pipe it is plain.

\b
  agent-runner diff 3f9c2a1b --stat
  agent-runner diff 3f9c2a1b | git apply

Exit codes: 0 shown, 1 git failed, 2 a mistake in the call, 4 no such execution, or its work is not there any more.
"""


@click.command(name="diff", help=HELP, short_help="Show what an execution has changed.")
@click.argument("execution", metavar="ID", shell_complete=ids.complete)
@click.option("--stat", "is_stat", is_flag=True, help="Only which files, and how much.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: from, to, and how much.")
@click.option("--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="A configuration file.")
def command(*, execution: str, is_stat: bool, as_json: bool, file: Path | None) -> None:
    """Find the change, and become git."""
    from components import diffing, execution_index, git, git_command
    from components.config import load

    config = load({}, os.environ, file=file).config
    files, row = ids.found(config, ids.looking(config), execution)
    change = diffing.of(files, row, is_live=not execution_index.Watch(files).is_over())
    if as_json:
        size = git.diff_stat(change.directory, change.before, change.after or None)
        told = {**asdict(change), "directory": str(change.directory), **asdict(size), "id": files.id}
        show(json.dumps(told, indent=2))
        return
    sys.stdout.flush()
    if git_command.run(change.directory, *change.words("--quiet"), accepted=(0, 1)).exit_code == 0:
        click.echo(f"Execution {files.short_id} has changed nothing.", err=True)
        return
    _become_git(change.directory, change.words(*(("--stat",) if is_stat else ())))


def _become_git(directory: Path, words: tuple[str, ...]) -> None:
    """Let git write to where we would, with its pager on a terminal: a patch may be larger than memory.

    The repository's own configuration does not choose the pager: an agent could have written it.
    """
    from components import git_command
    from components.errors import GitFailed

    environ = {name: os.environ[name] for name in git_command.INHERITED + SHOWN_TO_GIT if name in os.environ}
    environ |= {**git_command.FIXED, "GIT_PAGER": pager(), "LESS": os.environ.get("LESS", "FRX")}
    if "LC_ALL" not in os.environ:
        environ.pop("LC_ALL", None)
    colour = "--color=always" if has_colours() else "--color=never"
    verb, *rest = words
    argv = ["git", *git_command.HARDENED, "-C", str(directory), verb, colour, *rest]
    program = shutil.which("git")
    if program is None:
        raise GitFailed("git is not installed. Install it, for example: apt-get install git")
    os.execve(program, argv, environ)  # noqa: S606 - no shell: argv is ours


def pager() -> str:
    """Return the pager that the user has chosen, `less` where it is installed, else none."""
    chosen = next((os.environ[name] for name, _ in PAGERS if os.environ.get(name)), "")
    return chosen or ("less" if shutil.which("less") else "cat")
