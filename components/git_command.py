"""One git command, hardened against what a repository or a task's text may hold.

The administrator's and the user's configuration are read (they carry `safe.directory`, filters, proxies); what could
start a program for us is switched off by `-c`, which wins over every file. The environment is an allow-list: no
GIT_DIR of a caller redirects us, and no secret of ours reaches a filter that an agent may have configured.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from components import durable, process
from components.errors import GitFailed, GitTimedOut
from components.model import Captured

logger = logging.getLogger(__name__)

TIME_LIMIT = 300.0
"""Seconds for one git command: the checkout of a very large repository on a slow disk."""

ASKED_AGAIN = 2
MOST_NAMED = 3
"""Lines below git's own word that are told with it."""

HARDENED = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.ignoreStat=false"),
    *("-c", "core.askPass="),
    *("-c", "protocol.ext.allow=never"),
    *("-c", "gc.auto=0"),  # in the background it would go on holding the repository's lock
    *("-c", "maintenance.auto=false"),
    *("-c", "core.fsync=all"),  # a power cut would leave empty refs, which git dies of
)
INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "SSL_CERT_FILE"),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
)
FIXED = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
REMEDIES = (
    ("dubious ownership", "Run as the owner of the repository, or: git config --global --add safe.directory {where}"),
    ("No space left on device", "Free disk space."),
    ("File exists", "If no git is running there, remove the lock file it names."),
    ("Permission denied", "Make {where} writable for this user."),
    ("Read-only file system", "Make {where} writable for this user."),
)


class GitKilled(GitFailed):
    """A signal ended git."""


def run(
    directory: Path,
    *words: str,
    accepted: Collection[int] = (0,),
    env: Mapping[str, str] | None = None,
    lock: int | None = None,
    upwards: bool = False,
    timeout: float = TIME_LIMIT,
    is_too_much: Callable[[], bool] | None = None,
) -> Captured:
    """Run git in the top directory of a checkout and return what it printed (the first MB).

    `lock` is the descriptor of `locked`: git inherits it, so the lock outlives us for as long as git works.
    `upwards` lets git look for a repository above the directory. Without it a worktree that has lost its `.git` is an
    error, and not taken for the repository around it.
    `timeout` is in seconds; `is_too_much` is asked twice a second, and True ends git as well.
    Raises GitFailed for an exit code that is not accepted; GitKilled, which is one, where a signal ended git.
    """
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | FIXED | dict(env or {})
    if not upwards:
        environment["GIT_CEILING_DIRECTORIES"] = str(directory.parent)
    argv = ("git", *HARDENED, "-C", str(directory), *words)
    pass_fds = () if lock is None else (lock,)
    try:
        captured = process.capture(argv, timeout=timeout, env=environment, pass_fds=pass_fds, is_too_much=is_too_much)
    except FileNotFoundError as error:
        raise GitFailed("git is not installed. Install it, for example: apt-get install git") from error
    if captured.timed_out:
        raise GitTimedOut(f"git {words[0]} in {directory} took over {timeout:g} s, or printed without end: ended.")
    if captured.exit_code not in accepted:
        kind = GitKilled if (captured.exit_code or 0) < 0 else GitFailed
        raise kind(_failure(directory, words, captured))
    return captured


def _failure(directory: Path, words: tuple[str, ...], captured: Captured) -> str:
    lines = [line.strip() for line in captured.stderr.decode(errors="replace").splitlines() if line.strip()]
    at = next((at for at in reversed(range(len(lines))) if lines[at].startswith(("fatal:", "error:"))), len(lines) - 1)
    said = lines[at] if lines else ""
    if said.endswith(":"):  # what it is about is on the lines below
        said = " ".join((said, *lines[at + 1 : at + 1 + MOST_NAMED]))
    remedy = next((text for sign, text in REMEDIES if sign in said), "Run it there by hand to see more.")
    said = printable(said) or f"it ended with {captured.exit_code} and said nothing"
    return f"git {printable(' '.join(words[:2]))} failed in {directory}: {said}. {remedy.format(where=directory)}"


def printable(text: str) -> str:
    """Return text with control characters and undecodable bytes spelt out, for people and logs."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def ask(
    directory: Path,
    *words: str,
    accepted: Collection[int] = (0,),
    env: Mapping[str, str] | None = None,
    upwards: bool = False,
) -> Captured:
    """Run a command that changes nothing, as `run` does; one that a signal ended is run again, twice at most."""
    for _ in range(ASKED_AGAIN):
        try:
            return run(directory, *words, accepted=accepted, env=env, upwards=upwards)
        except GitKilled as error:
            logger.debug("%s", error)
    return run(directory, *words, accepted=accepted, env=env, upwards=upwards)


def answer(directory: Path, *words: str, accepted: Collection[int] = (0,)) -> str:
    """Return the one line that git prints to a question, or "" for an accepted exit code without one."""
    return os.fsdecode(ask(directory, *words, accepted=accepted).stdout).removesuffix("\n")


@contextmanager
def locked(common: Path) -> Iterator[int]:
    """Hold the lock of a repository (its git directory) around everything that writes refs or worktrees.

    It excludes other runners, not people. Yields a descriptor for `run`. Raises GitFailed when it cannot be taken.
    """
    with durable.locked(_lock_file(common)) as lock:
        yield lock


def _lock_file(common: Path) -> Path:
    if not os.access(common, os.W_OK):
        raise GitFailed(f"the git directory {common} is not writable. Make it writable for this user.")
    return common / "agent-runner.lock"
