"""What git does with a repository elsewhere: clone, fetch, push, with a token and within limits."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components import branch_names, durable, git, git_command, git_credential, git_delivery
from components.errors import (
    GitFailed,
    GitTimedOut,
    PushRejected,
    RemoteMissing,
    RemoteRefused,
    RemoteUnavailable,
    RepositoryTooLarge,
    UnsafeName,
)
from components.git_credential import Token
from components.git_url import RemoteUrl
from components.model import Workspace
from components.redact import Redactor
from components.unsaved_files import readable

LOOK_SECONDS = 2.0
SPARE_BYTES = 256 << 20
"""What a clone leaves free on the disk."""
KINDS = (
    (("Authentication failed", "could not read Username", "could not read Password", "error: 403"), RemoteRefused),
    (("Permission denied (", "Host key verification failed"), RemoteRefused),
    (("not found", "does not appear to be a git repository", "does not exist", "error: 404"), RemoteMissing),
    (("failed to push some refs", "pre-receive hook declined", "did not take it"), PushRejected),
    (
        ("unable to access", "Could not read from remote", "early EOF", "hung up", "unable to look up"),
        RemoteUnavailable,
    ),
)
REMEDIES = {
    RemoteRefused: "Give a token that may do this: git_tokens maps the host to a file with it.",
    RemoteMissing: "Correct the address or the branch; a private repository also looks so without a token.",
    PushRejected: "Fetch, merge what is there, and push again.",
    RemoteUnavailable: "Look whether the server is there, and try again.",
}
TRUSTED = ("remote.", ".url"), ("remote.", ".fetch"), ("remote.", ".tagopt")
SENDING = ("remote.", "url.", "credential.", "http.", "https.", "ssh.", "protocol.", "core.sshcommand", "core.git")


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository elsewhere, and who asks. `timeout` in seconds holds for each command that speaks to it."""

    url: RemoteUrl
    token: Token | None = None
    timeout: float = 600.0

    @property
    def env(self) -> dict[str, str]:
        """What git's environment has besides."""
        return git_credential.environment(self.url, self.token)


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone that was made: its directory, the branch that is checked out ("" for none), its commit."""

    path: Path
    branch: str
    commit: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """A branch that was brought to a remote; `before` is the commit that was there, "" for none."""

    branch: str
    commit: str
    before: str


def clone(
    remote: Remote,
    directory: Path,
    *,
    branch: str = "",
    depth: int | None = None,
    single_branch: bool = False,
    most_bytes: int | None = None,
) -> Clone:
    """Clone into a directory that is not there yet, and return what was made; on a failure nothing is left of it.

    Files are checked out in a second command, which knows no token. `most_bytes` bounds what lies on the disk.
    A kill may leave the half-made directory. Raises GitFailed by its kinds, and UnsafeName for a branch.
    """
    _check_branch(branch)
    if os.path.lexists(directory):
        raise GitFailed(f"{directory} is there already. Name a directory that is not.")
    words = ["clone", "--quiet", "--no-checkout", "--no-recurse-submodules", "--origin", "origin", "--template="]
    words += ["--branch", branch] if branch else []
    words += ["--depth", str(depth)] if depth else []
    words.append("--single-branch" if single_branch else "--no-single-branch")
    words += ["--no-local", "--", str(remote.url), str(directory)]
    durable.make_directory(directory.parent)
    gauge = _Gauge(directory, most_bytes)
    try:
        with _typed(remote, gauge):
            git_command.run(
                directory.parent, *words, env=remote.env, timeout=remote.timeout, is_too_much=gauge.is_too_much
            )
            head = git_command.answer(directory, "rev-parse", "--verify", "--quiet", "HEAD", accepted=(0, 1, 128))
            if not head:
                raise RemoteMissing(f"{remote.url} has no commit, or HEAD leads nowhere. Push a first commit to it.")
            git_command.run(directory, "reset", "--hard", "--quiet", is_too_much=gauge.is_too_much)
            gauge.require_room()
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return Clone(directory, git.current_branch(directory), head)


def fetch(
    directory: Path,
    remote: Remote,
    *,
    branch: str = "",
    depth: int | None = None,
    most_bytes: int | None = None,
) -> dict[str, str]:
    """Bring the remote-tracking branches of `origin` up to date; return branch -> commit. Nothing local is changed.

    Raises GitFailed by its kinds.
    """
    _check_branch(branch)
    refuse_rerouting(directory)
    common = git.git_directory(directory)
    gauge = _Gauge(common, most_bytes)
    words = ["fetch", "--quiet", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance"]
    words += ["--depth", str(depth)] if depth else []
    name = branch or "*"
    words += [*(() if branch else ("--prune",)), "--", str(remote.url)]
    words.append(f"+refs/heads/{name}:refs/remotes/origin/{name}")
    with git_command.locked(common) as lock, _typed(remote, gauge):
        git_command.run(
            directory, *words, env=remote.env, lock=lock, timeout=remote.timeout, is_too_much=gauge.is_too_much
        )
    listed = git_command.answer(directory, "for-each-ref", "--format=%(objectname) %(refname)", "refs/remotes/origin")
    rows = [row.partition(" refs/remotes/origin/")[::2] for row in listed.splitlines()]
    return {name: commit for commit, name in rows if name != "HEAD"}


def push(directory: Path, remote: Remote, branch: str, *, commit: str = "") -> Pushed:
    """Bring a branch (or another commit under its name) to the remote, never by force. Raises GitFailed by its kinds.

    Repeating it changes nothing.
    """
    _check_branch(branch or " ")
    refuse_rerouting(directory)
    tip = commit or git.branches(directory).get(branch, "")
    if not branch_names.COMMIT.fullmatch(tip):
        raise GitFailed(f"there is no branch {branch} in {directory}, or {tip[:50]!r} is no whole commit id.")
    with _typed(remote, None):
        workspace = Workspace(directory, directory, branch)
        before = git_delivery.push(workspace, str(remote.url), tip, env=remote.env, timeout=remote.timeout)
    return Pushed(branch, tip, before)


def _check_branch(branch: str) -> None:
    if branch and not branch_names.is_safe(branch):
        raise UnsafeName(f"branch {branch[:80]!r} may not reach git. Use letters, digits and . _ / - only.")


def refuse_rerouting(directory: Path) -> None:
    """See that the repository's own configuration, which an agent may have written, does not lead a token elsewhere."""
    listed = git_command.answer(directory, "config", "--list", "--show-scope", "--name-only", "-z")
    fields = listed.split("\0")
    for scope, name in zip(fields[::2], fields[1::2], strict=False):
        low = name.lower()
        if scope not in ("local", "worktree") or not low.startswith(SENDING):
            continue
        is_plain = any(low.startswith(begin) and low.endswith(end) for begin, end in TRUSTED) and "://" not in low
        if not is_plain:
            raise GitFailed(
                f"the configuration of {directory} changes how remotes are reached ({git_command.printable(name)})."
                f" See that it is right, and push or fetch by hand, or remove it: git config --unset-all {low}"
            )


class _Gauge:
    """Whether a directory has grown too large, or the disk is nearly full; asked often, it looks now and then."""

    def __init__(self, directory: Path, most_bytes: int | None) -> None:
        self.most = most_bytes
        self.told = ""
        self._directory = directory
        self._next = 0.0

    def is_too_much(self) -> bool:
        if not self.told and time.monotonic() >= self._next:
            began = time.monotonic()
            self._look()
            # A look at a large directory takes a while: it is never more than a tenth of the time.
            self._next = time.monotonic() + max(
                LOOK_SECONDS if self.most is None else 0.2, 10 * (time.monotonic() - began)
            )
        return bool(self.told)

    def require_room(self) -> None:
        """Look a last time: a fast git is at its end before anybody has asked. Raises RepositoryTooLarge."""
        self._look()
        if self.told:
            raise RepositoryTooLarge(self.told)

    def _look(self) -> None:
        parent = next(path for path in (self._directory, *self._directory.parents) if path.exists())
        if shutil.disk_usage(parent).free < SPARE_BYTES:
            self.told = f"the disk of {parent} has less than {readable(SPARE_BYTES)} left"
        elif self.most is not None and (size := size_of(self._directory)) > self.most:
            self.told = f"it takes {readable(size)} and more, and {readable(self.most)} are allowed"


def size_of(directory: Path) -> int:
    """Return how much the files below a directory take on the disk, in bytes; links are not followed."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH118 - very many
    return total


@contextlib.contextmanager
def _typed(remote: Remote, gauge: _Gauge | None) -> Iterator[None]:
    """Make of git's failures what they mean, in words without the token."""
    redact = Redactor([remote.token.secret] if remote.token else [])
    try:
        yield
    except (GitTimedOut, GitFailed) as error:
        text = redact(str(error))
        if gauge is not None and gauge.told:
            raise RepositoryTooLarge(f"{remote.url}: {gauge.told}. Raise clone_limit, or clone it shallow.") from None
        if isinstance(error, GitTimedOut):
            raise GitTimedOut(f"{remote.url}: {text} Raise clone_timeout, or clone it shallow.") from None
        kind = next((kind for signs, kind in KINDS if any(sign in text for sign in signs)), None)
        if kind is None or isinstance(error, RemoteMissing):
            raise type(error)(text) from None
        raise kind(f"{text.removesuffix('Run it there by hand to see more.')}{REMEDIES[kind]}") from None
