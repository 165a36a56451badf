"""The runner's home: its directory, the journals in it, and what waits there for a person."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from components import overview, typed_task, unstarted
from components.checks import Check, Finding, Installation, ok, problem, warning
from components.log_line import duration
from components.overview import Agent
from components.pm_wire import one_line
from components.short_id import SHORT
from components.unstarted import INTERRUPTED

MEGABYTE = 1 << 20
LEAST_MEGABYTES, FEW_MEGABYTES = 100, 1024
LEAST_INODES, FEW_INODES = 1_000, 10_000
OLD_SECONDS = 24 * 3600.0
TITLE_LETTERS = 60


def directory(installation: Installation) -> Iterator[Finding]:
    """Is the home ours, and ours alone?"""
    home = installation.config.home
    if not home.exists():
        yield _absent(home)
        return
    if not home.is_dir():
        yield problem(f"{home} is not a directory", "move it away, or name another home by HEADLESS_PM_HOME")
        return
    found = [*_access(home, installation.user_id)]
    yield from found or [ok(f"{home}, private and writable")]


def _absent(home: Path) -> Finding:
    parent = next(place for place in home.parents if place.exists())
    if os.access(parent, os.W_OK | os.X_OK):
        return ok(f"{home} is not there yet; the first run makes it")
    return problem(f"{home} is not there, and cannot be made in {parent}", "name another home by HEADLESS_PM_HOME")


def _access(home: Path, user_id: int) -> Iterator[Finding]:
    seen, quoted = home.stat(), shlex.quote(str(home))
    mode = stat.S_IMODE(seen.st_mode)
    if seen.st_uid != user_id:
        yield problem(
            f"{home} belongs to {_user(seen.st_uid)}, and this is {_user(user_id)}",
            f"run as {_user(seen.st_uid)}, or: chown -R {user_id} {quoted}",
        )
    if mode & 0o022:
        yield problem(f"{home} can be changed by others (mode {mode:04o})", f"chmod 700 {quoted}")
    elif mode & 0o077:
        yield warning(f"{home} can be looked into by others (mode {mode:04o})", f"chmod 700 {quoted}")
    for place in (home, home / "locks", home / "runs"):
        if place.exists() and not os.access(place, os.R_OK | os.W_OK | os.X_OK):
            yield problem(f"{place} cannot be written", f"chmod u+rwx {shlex.quote(str(place))}, or mount it writable")


def _user(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"user id {user_id}"


def space(installation: Installation) -> Iterator[Finding]:
    """Is there room, here and where the work is done?"""
    for name, path in (("home", installation.config.home), ("repository", installation.config.repository)):
        place = next(place for place in (path, *path.parents) if place.exists())
        yield _room(name, place, os.statvfs(place))


def _room(name: str, place: Path, seen: os.statvfs_result) -> Finding:
    megabytes, inodes = seen.f_bavail * seen.f_frsize // MEGABYTE, seen.f_favail
    has_inodes = seen.f_files > 0  # some file systems, such as btrfs, have no fixed number of them
    told = f"{megabytes} MB free for the {name} at {place}" + (f", {inodes} inodes" if has_inodes else "")
    remedy = f"free disk space on the file system of {place}"
    if megabytes < LEAST_MEGABYTES or (has_inodes and inodes < LEAST_INODES):
        return problem(told, remedy)
    if megabytes < FEW_MEGABYTES or (has_inodes and inodes < FEW_INODES):
        return warning(told, remedy)
    return ok(told)


def journals(installation: Installation) -> Iterator[Finding]:
    """Can every journal be used, and is somebody at work on it?"""
    agents = [
        agent
        for agent in overview.look(installation.config.home, with_strays=False).agents
        if agent.held or agent.trouble
    ]
    if not agents:
        yield ok("no task is in hand")
    for agent in agents:
        yield _judged(agent, installation.config.agent_id)


def _judged(agent: Agent, own: str) -> Finding:
    if agent.held is None:
        return problem(
            f"{agent.journal} cannot be used: {agent.trouble}",
            f"start the runner of agent {agent.agent_id}: it sets the file aside, and finds its task again",
        )
    told = f"agent {agent.agent_id}, task {agent.held.task.id}, {agent.held.phase}"
    quoted = shlex.quote(str(agent.journal))
    if agent.is_elsewhere:
        judge = problem if agent.agent_id == own else warning
        return judge(
            f"{told}: of another host, {agent.held.host}",
            f"start that agent there; if that host is gone for good: mv {quoted} {quoted}.away",
        )
    seconds = _age(agent.held.updated_at)
    if agent.runner is None:
        works = " (its agent works on)" if agent.run and agent.run.is_alive else ""
        return warning(
            f"{told}: no runner, last step {duration(int(seconds))} ago{works}",
            _how_to_go_on(agent.agent_id, agent.held.claim),
        )
    if seconds > OLD_SECONDS:
        return warning(f"{told}: no step forward for {duration(int(seconds))}", f"look at process {agent.runner}")
    return ok(f"{told}, runner {agent.runner}")


def _how_to_go_on(agent_id: str, claim: str) -> str:
    """Return what has an interrupted execution go on: a command, or the start of its daemon."""
    if agent_id == typed_task.agent_of(claim):
        return f"agent-runner restart {claim[:SHORT]} --resume"
    return f"start the runner of agent {agent_id} again (--agent-id {agent_id}): it goes on with the task"


def typed_tasks(installation: Installation) -> Iterator[Finding]:
    """Has every typed task that is not over a journal, or somebody who is about to start it?"""
    home = installation.config.home
    in_hand = {agent.held.claim for agent in overview.look(home, with_strays=False).agents if agent.held}
    left = [one.typed for one in unstarted.find(home) if one.stage == INTERRUPTED and one.typed.claim not in in_hand]
    if not left:
        yield ok("no typed task waits for somebody to start it")
    for typed in left:
        yield warning(
            f"execution {typed.claim[:SHORT]}, {one_line(typed.task.title, TITLE_LETTERS)}: nobody starts it",
            _how_to_go_on(typed.agent_id, typed.claim),
        )


def _age(then: str) -> float:
    """Return the seconds of wall time since a journal was written."""
    try:
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(then).astimezone(UTC)).total_seconds())
    except ValueError:
        return 0.0


def dead_letters(installation: Installation) -> Iterator[Finding]:
    """Are there reports that the server refused?"""
    letters = overview.look(installation.config.home, with_strays=False).letters
    if not letters:
        yield ok("no report was refused")
    for letter in letters:
        wanted = " or ".join(letter.content.wanted)
        yield warning(
            f"task {letter.content.task_id}: the server refused {wanted}: {letter.content.said}",
            f"move it there by hand, then: rm {shlex.quote(str(letter.path))}",
        )


def set_aside(installation: Installation) -> Iterator[Finding]:
    """Are there state files that could not be used?"""
    seen = overview.look(installation.config.home, with_strays=False)
    journals_of_agents = {agent.journal for agent in seen.agents}
    bad = [one for one in seen.unreadable if one.path not in journals_of_agents]
    if not bad and not seen.set_aside:
        yield ok("no file was set aside")
    for path in seen.set_aside:
        yield warning(f"{path} could not be used and was set aside", "look at it, then remove it")
    for one in bad:
        yield warning(f"{one.path}: {one.why}", "look at it, then remove it")


def strays(installation: Installation) -> Iterator[Finding]:
    """Are there agents at work that no journal names?"""
    runs = overview.look(installation.config.home).strays
    if not runs:
        yield ok("no agent is at work without a journal")
    for run in runs:
        remedy = f"start the runner of agent {run.held.agent_id}" if run.held else f"look at {run.path}"
        yield warning(f"{run.path.name} is alive, and no journal names it", remedy)


CHECKS = (
    Check("home", directory),
    Check("space", space),
    Check("journals", journals),
    Check("typed tasks", typed_tasks),
    Check("dead letters", dead_letters),
    Check("set aside", set_aside),
    Check("stray agents", strays),
)
