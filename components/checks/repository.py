"""The repository that agents work in, the git that works on it, and the hooks beside it."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from components import branch_names, discovery, git, git_command, hook_file
from components.checks import Check, Finding, Installation, ok, problem, problem_of, warning
from components.errors import GitFailed, RunnerError
from components.hook_payload import Moment

OLDEST_GIT = (2, 38)
"""Older ones may do; nobody tried. The tests run with 2.39."""
VERSION = re.compile(rb"git version (\d+)\.(\d+)")
LOCK_SECONDS = 60.0
"""An index that has been locked longer is a git's that was killed: no command of ours holds it so long."""
IDENTITY = {"user.name": "NAME", "user.email": "EMAIL"}


def git_program(_: Installation) -> Iterator[Finding]:
    """Is there a git, and is it new enough?"""
    said = git_command.run(Path("/"), "version").stdout
    told, match = said.decode(errors="replace").strip(), VERSION.match(said)
    if match is None or (int(match[1]), int(match[2])) < OLDEST_GIT:
        yield warning(f"{told}: nobody tried it", f"install git {OLDEST_GIT[0]}.{OLDEST_GIT[1]} or newer")
    else:
        yield ok(told)


def identity(installation: Installation) -> Iterator[Finding]:
    """Can agents commit? Git wants to know in whose name."""
    try:
        top = git.require_repository(installation.config.repository)
    except RunnerError:
        return  # the check of the repository tells
    found = {key: _identity(top, key, installation) for key in IDENTITY}
    for key, value in found.items():
        if not value:
            yield warning(
                f"{key} is not set for {top}: an agent's commits are refused, or bear a made-up name",
                f"git -C {shlex.quote(str(top))} config {key} ...",
            )
    if all(found.values()):
        yield ok(f"{found['user.name']} <{found['user.email']}>")


def _identity(top: Path, key: str, installation: Installation) -> str:
    """Return what git takes: the variables come before the configuration, and reach the agent too."""
    kinds = ("AUTHOR", "COMMITTER")
    given = [installation.environ.get(f"GIT_{kind}_{IDENTITY[key]}", "") for kind in kinds]
    return given[0] if all(given) else git_command.answer(top, "config", key, accepted=(0, 1))


def repository(installation: Installation) -> Iterator[Finding]:
    """Is it one, with a commit, and in a state to work in?"""
    try:
        top = git.require_repository(installation.config.repository)
    except RunnerError as error:
        yield problem_of(error)
        return
    yield ok(f"{top}, on {git.current_branch(top) or 'no branch'}")
    operation = git.operation_in_progress(top)
    if operation:
        yield warning(
            f"a {operation} is in progress in {top}: minor tasks would be done in the middle of it",
            f"finish it there, or abort it; how is told by: git -C {shlex.quote(str(top))} status",
        )
    yield from _index_lock(Path(git_command.answer(top, "rev-parse", "--absolute-git-dir")) / "index.lock")


def _index_lock(path: Path) -> Iterator[Finding]:
    try:
        seconds = time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return
    if seconds > LOCK_SECONDS:
        yield problem(
            f"{path} is {seconds:.0f} s old: git refuses to commit",
            f"if no git runs there, it was killed: rm {shlex.quote(str(path))}",
        )


def worktrees(installation: Installation) -> Iterator[Finding]:
    """Does `git worktree` work? An entry that a crash has torn makes it fail for all of them."""
    try:
        top = git.require_repository(installation.config.repository)
    except RunnerError:
        return
    common = git.git_directory(top)
    torn = [*_torn(common)]
    yield from (_poisoned(entry) for entry in torn)
    try:
        branches = git.checked_out(top)
    except GitFailed as error:
        if not torn:
            yield problem_of(error)
        return
    if not torn:
        yield ok(f"git worktree works; branches checked out: {len(branches)}")
    if not os.access(common, os.W_OK):
        yield problem(f"{common} cannot be written", "make it writable for this user")


def _torn(common: Path) -> Iterator[Path]:
    for file in sorted((common / "worktrees").glob("*/commondir")):
        if not file.read_bytes().strip():
            yield file.parent


def _poisoned(entry: Path) -> Finding:
    seen = f"the worktree entry {entry} has an empty commondir: git worktree fails"
    repair = f"printf '../..\\n' > {shlex.quote(str(entry / 'commondir'))}"
    if branch_names.is_worktree_name(entry.name):
        return problem(seen, f"the runner repairs it at its next major task; or now: {repair}")
    return problem(seen, repair)


def hooks(installation: Installation) -> Iterator[Finding]:
    """Will the hooks be run, or refused?"""
    place = installation.config.hooks_directory or discovery.default_hooks_directory()
    names = []
    with hook_file.opened(place) as directory:
        if directory is None:
            yield warning(f"{place} is not there: no hooks are run", "make it, or name another one by --hooks-dir")
            return
        for found in (found for moment in Moment for found in hook_file.find(directory, moment)):
            if found.refusal:
                seen, _, remedy = found.refusal.partition("; ")
                yield problem(f"{found.name} in {place} will not be run: {seen}", remedy.removeprefix("run: "))
            else:
                names.append(found.name)
    yield ok(f"{place}: {', '.join(names) or 'there are none'}")


CHECKS = (
    Check("git", git_program),
    Check("repository", repository),
    Check("git identity", identity),
    Check("worktrees", worktrees),
    Check("hooks", hooks),
)
