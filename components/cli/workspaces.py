"""The `workspaces` command: the worktrees that were made, the snapshots of unsaved work, bringing one back, pruning."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import textwrap
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from components import git, git_command, shelf, unsaved_work, workspace_use, worktree_entry
from components.config import Config, load
from components.errors import NotARepository
from components.git_worktree import GitWorktree
from components.shelf import Restored, Snapshot
from components.worktree_entry import WorktreeEntry

WIDTH = 80
WHEN_WIDTH = 16
SPANS = ((86400, "day"), (3600, "hour"), (60, "minute"))

config_option = click.option("--config", "file", type=click.Path(path_type=Path), help="Read this configuration file.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
repository_option = click.option(
    "--repo", "repository", metavar="DIR", help="The git repository.  [default: the current directory]"
)


class WithDefault(click.Group):
    """A group whose command is `list` when none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing and (not args or (args[0].startswith("-") and args[0] not in ("--help", "-h"))):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@dataclass(frozen=True, slots=True)
class Found:
    """One worktree of ours as it is now. `age` is the time since it was made, in seconds."""

    path: str
    task: str
    claim: str
    attempt: int
    branch: str
    state: str
    used_by: str
    unsaved: list[str]
    age: float


@click.group(name="workspaces", cls=WithDefault, short_help="Show worktrees and saved work.")
def command() -> None:
    """Show the worktrees that were made for tasks, and bring unsaved work back.

    What an agent has not committed is saved as a snapshot: while it works, when it ends, and before its worktree
    goes. A snapshot is a commit that no branch leads to; it outlives its worktree. Without a command: list.
    """


@command.command(name="list")
@repository_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_all(repository: str | None, file: Path | None, as_json: bool) -> None:
    """Show every worktree with what is not saved in it, and every snapshot; outside of a repository of all known."""
    config, tops, is_inside = _tops(repository, file)
    worktrees = {top: list(_worktrees(config, top)) for top in tops}
    snapshots = {top: shelf.all_of(top) for top in tops}
    if as_json:
        told = {
            "worktrees": [asdict(one) for top in tops for one in worktrees[top]],
            "snapshots": [_as_json(one) for top in tops for one in snapshots[top]],
        }
        click.echo(json.dumps(told, indent=2))
        return
    for top in tops:
        heading = () if is_inside else (f"REPOSITORY {_shown(str(top))}: --repo to work with it from here",)
        for line in (*heading, *_worktree_lines(worktrees[top]), "", *_snapshot_lines(snapshots[top])):
            click.echo(line)


@command.command()
@click.argument("name", metavar="REF|TASK|ID")
@repository_option
@config_option
@click.option("--to", "directory", metavar="DIR", type=click.Path(path_type=Path), help="Where the new worktree goes.")
@click.option("--commit", is_flag=True, help="Commit the changes, instead of leaving them uncommitted.")
@json_option
def restore(
    *, name: str, repository: str | None, file: Path | None, directory: Path | None, commit: bool, as_json: bool
) -> None:
    """Bring a snapshot back into a new worktree on a new branch.

    REF is what `workspaces list` shows; a task's or an execution's id means its newest snapshot. Nothing that exists is
    written over: if the directory or the branch is there already, the next free name is taken.
    """
    config, top = _opened(repository, file)
    snapshot = shelf.find(top, name)
    if directory is None:
        base = GitWorktree(top, config.worktree_base).make_base()
        directory = base / f"restored-{snapshot.task}-{snapshot.number}"
    restored = shelf.restore(top, snapshot, directory, commit=commit)
    if as_json:
        places = {"directory": str(restored.path), "branch": restored.branch, "is_committed": commit}
        click.echo(json.dumps({**_as_json(snapshot), **places}, indent=2))
    else:
        _tell(top, snapshot, restored, "committed" if commit else "uncommitted")


def _tell(top: Path, snapshot: Snapshot, restored: Restored, how: str) -> None:
    click.echo(f"Restored snapshot {snapshot.name} of task {snapshot.task}: {_counted(snapshot)}, {how}.")
    click.echo(f"  directory  {_shown(str(restored.path))}\n  branch     {restored.branch}")
    for line in shelf.message(top, snapshot).partition("Left out:\n")[2].splitlines():
        click.echo(f"  left out   {line.removeprefix('- ')}", err=True)
    click.echo(f"Look at it: git -C {shlex.quote(_shown(str(restored.path)))} status")


@command.command()
@click.argument("name", metavar="REF|TASK|ID")
@repository_option
@config_option
@json_option
def show(name: str, repository: str | None, file: Path | None, as_json: bool) -> None:
    """Show what a snapshot holds: where it comes from, and which files it changes."""
    _, top = _opened(repository, file)
    snapshot = shelf.find(top, name)
    if as_json:
        told = {"message": shelf.message(top, snapshot), "diff_stat": shelf.diff_stat(top, snapshot)}
        click.echo(json.dumps({**_as_json(snapshot), **told}, indent=2))
        return
    click.echo(f"{snapshot.ref}\n{snapshot.commit}, {_when(snapshot)}\n")
    for line in shelf.message(top, snapshot).splitlines():
        click.echo(_shown(line))
    click.echo()
    click.echo(shelf.diff_stat(top, snapshot) or "No file differs from the commit that it is based on.")


@command.command()
@click.option("--repo", "repository", metavar="DIR", help="Only those of this repository.  [default: of this machine]")
@click.option("--older-than", "days", type=click.FloatRange(0), metavar="DAYS", help="Not used for so long.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", "-y", "is_sure", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; with --dry-run or --yes.")
@config_option
def prune(
    *, repository: str | None, days: float | None, dry_run: bool, is_sure: bool, as_json: bool, file: Path | None
) -> int:
    """Remove the worktrees and clones that nobody needs any more.

    What is in use stays, and so does whatever holds work that is not saved: changes, commits that are on no branch, in
    a clone also what is not pushed. Branches and snapshots stay in any case. Without --older-than goes what was not
    used for keep_runs_days, or for 30 days where that is not set.

    Exit codes: 0 done, or nothing to do; 1 not confirmed, or something could not be removed; 2 a mistake in the call.
    """
    from components.cli import workspaces_prune

    asked = workspaces_prune.Asked(repository, days, dry_run=dry_run, is_sure=is_sure, as_json=as_json)
    return workspaces_prune.run(asked, file)


def _opened(repository: str | None, file: Path | None) -> tuple[Config, Path]:
    """Return the configuration and the top of the repository; mistakes of either end here."""
    config = load({"repository": repository}, os.environ, file=file).config
    return config, git.require_repository(config.repository)


def _tops(repository: str | None, file: Path | None) -> tuple[Config, list[Path], bool]:
    """Return the configuration, which repositories are meant, and whether that is the one that we are in, or named.

    Of who names none, and is in none, that is all that are known.
    """
    from components import projects
    from components.cli import opened

    try:
        config, top = _opened(repository, file)
    except NotARepository:
        config = load({"repository": repository}, os.environ, file=file).config
        tops = [] if repository else projects.all_there(config, opened.history(config).projects())
        if not tops:
            raise
        return config, tops, False
    return config, [top], True


def _worktrees(config: Config, top: Path) -> Iterator[Found]:
    common = git.git_directory(top)
    users = dict(workspace_use.journalled(config.home))
    for worktree, marker in worktree_entry.all_marked(common):
        user = users.get(worktree.path) or workspace_use.living_run(config.home, marker.task, marker.claim)
        unsaved = unsaved_work.all_of(worktree)
        state = "in use" if user else "kept" if unsaved else "removable"
        if not worktree.path.is_dir():
            unsaved = ["its directory was deleted", *unsaved]
        age = max(0.0, time.time() - (worktree.entry / "agent-runner.json").stat().st_mtime)
        branch = _branch(worktree) or marker.branch
        yield Found(
            str(worktree.path), marker.task, marker.claim, marker.attempt, branch, state, user, unsaved, round(age)
        )


def _branch(worktree: WorktreeEntry) -> str:
    """Return the branch a worktree is on now, from its HEAD; "" where that is no branch."""
    with contextlib.suppress(OSError):
        head = (worktree.entry / "HEAD").read_text(errors="replace").strip()
        return head.removeprefix("ref: refs/heads/") if head.startswith("ref: refs/heads/") else "no branch"
    return ""


def _worktree_lines(worktrees: list[Found]) -> Iterator[str]:
    if not worktrees:
        yield "There are no worktrees of the runner."
        return
    yield "WORKTREES"
    for one in worktrees:
        yield _shown(one.path)
        state = f"in use by {one.used_by}" if one.used_by else one.state
        yield from _folded(f"task {one.task}, {one.branch}, {_age(one.age)}: {state}", "    ")
        for what in one.unsaved:
            yield from _folded(what, "    - ")


def _snapshot_lines(snapshots: list[Snapshot]) -> Iterator[str]:
    if not snapshots:
        yield "There are no snapshots of unsaved work."
        return
    names = max(len("SNAPSHOT"), *(len(one.name) for one in snapshots))
    room = max(WIDTH - names - WHEN_WIDTH - 11, 20)
    yield f"{'SNAPSHOT':{names}}  {'WHEN':{WHEN_WIDTH}}  FILES  WHY"
    for one in snapshots:
        why = f"{one.why} ({one.left_out} left out)" if one.left_out else one.why
        why = textwrap.shorten(_shown(why), room, placeholder="...")
        yield f"{one.name:{names}}  {_when(one)}  {one.files:5}  {why}"
    yield ""
    yield "Look into one:   workspaces show SNAPSHOT"
    yield "Bring one back:  workspaces restore SNAPSHOT"


def _folded(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        _shown(text), WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent), break_on_hyphens=False
    )


def _as_json(snapshot: Snapshot) -> dict[str, object]:
    names = ("ref", "commit", "task", "claim", "number", "why", "files", "left_out")
    when = datetime.fromtimestamp(snapshot.time, UTC).isoformat()
    return {**{name: getattr(snapshot, name) for name in names}, "time": when}


def _counted(snapshot: Snapshot) -> str:
    return "1 file" if snapshot.files == 1 else f"{snapshot.files} files"


def _when(snapshot: Snapshot) -> str:
    return datetime.fromtimestamp(snapshot.time).astimezone().strftime("%Y-%m-%d %H:%M")


def _age(seconds: float) -> str:
    for size, name in SPANS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'s' if count > 1 else ''} old"
    return "new"


def _shown(text: str) -> str:
    return git_command.printable(text)
