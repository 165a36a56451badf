"""The clones of repositories that are named by an address: where they are, how they come about.

Below `workspace_base_dir`: `<name>-<digest>/` is the clone that all worktrees of an address share, and
`<name>-<digest>-<claim>/` the clone of one execution. A clone is made beside its place and moved there when it is
whole, so that what bears its name can be worked in, whatever died on the way.
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import tenacity

from components import clone_entry, clone_mark, durable, git, git_command, git_credential, git_history, git_remote
from components.clone_mark import Mark
from components.config import Config
from components.errors import ConfigError, GitFailed, RemoteUnavailable, UnsafeUrl
from components.git_remote import Remote
from components.git_url import Admission, RemoteUrl
from components.short_id import SHORT
from components.states import WorkspaceKind

logger = logging.getLogger(__name__)

TRIES = 3
HALF_MADE = ".cloning-"
CHECKOUT_LOCK = "agent-runner-checkout.lock"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A clone that an execution needs. `branch` "" is the remote's own default; it is checked out in a clone of one's
    own, and the beginning of the work in a shared one.
    """

    url: str
    kind: WorkspaceKind
    claim: str
    branch: str = ""


def base_of(config: Config) -> Path:
    """Return the directory that clones are made in."""
    return config.workspace_base_dir or config.home / "workspaces"


def admit(config: Config, text: str) -> RemoteUrl:
    """Return an address that may be cloned. Raises UnsafeUrl with what to do."""
    roots = [Path(root).expanduser() for root in (*config.repository_roots, *config.projects.values())]
    return Admission(config.repository_hosts, config.repository_plain_hosts, roots).admit(text)


def remote_of(config: Config, text: str) -> Remote:
    """Return a remote with the token that is configured for its host. Raises UnsafeUrl and ConfigError."""
    url = admit(config, text)
    return Remote(url, git_credential.token_for(url, config.git_tokens), config.clone_timeout)


def access(config: Config, repository: Path, address: str) -> dict[str, str]:
    """Return what git's environment has besides to reach a configured remote: its token, {} where there is none.

    Raises GitFailed where the repository's own configuration could lead the token elsewhere, and ConfigError.
    """
    try:
        remote = remote_of(config, address)
    except UnsafeUrl:
        return {}  # a remote that a person has configured: git reaches it as it does for that person
    if remote.token is None:
        return {}
    git_remote.refuse_rerouting(repository)
    return remote.env


def place_of(config: Config, wanted: Wanted) -> Path:
    """Return where the clone of an execution is, or will be. Raises UnsafeUrl."""
    url = admit(config, wanted.url)
    if wanted.kind is WorkspaceKind.IN_PLACE:
        raise UnsafeUrl(f"repository {url}: only a repository of this machine is worked on in place; write `clone`")
    own = f"-{wanted.claim[:SHORT]}" if wanted.kind is WorkspaceKind.CLONE else ""
    return base_of(config) / f"{url.slug}{own}"


def provide(config: Config, wanted: Wanted, path: Path) -> None:
    """Have a clone ready at its place (`place_of`): made where there is none, a shared one brought up to date.

    It may be killed at any instant and called again. A remote that is away is asked again for a while.
    Raises GitFailed by its kinds, UnsafeUrl, ConfigError.
    """
    remote = remote_of(config, wanted.url)
    asking = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(RemoteUnavailable),
        stop=tenacity.stop_after_attempt(TRIES),
        wait=tenacity.wait_random_exponential(1, 10),
        reraise=True,
    )
    try:
        durable.make_directory(path.parent)
        with clone_entry.locked(path):
            clone_entry.put_back(path)
            if not os.path.lexists(path):
                asking(_make, config, remote, wanted, path)
            elif wanted.kind is WorkspaceKind.WORKTREE:
                _require_ours(path, remote.url)
                asking(_renew, config, remote, wanted, path)
    except OSError as error:
        raise GitFailed(f"no clone of {remote.url} in {path.parent}: {error}. Correct it and try again.") from error


def _make(config: Config, remote: Remote, wanted: Wanted, path: Path) -> None:
    half = path.with_name(HALF_MADE + path.name)
    if half.exists():
        shutil.rmtree(half)
    branch = wanted.branch if wanted.kind is WorkspaceKind.CLONE else ""
    git_remote.clone(remote, half, branch=branch, depth=config.clone_depth, most_bytes=config.clone_limit)
    clone_mark.put(half, Mark(str(remote.url), wanted.claim if wanted.kind is WorkspaceKind.CLONE else ""))
    durable.sync_filesystem(half)
    half.rename(path)
    durable.sync_directory(path.parent)


def _renew(config: Config, remote: Remote, wanted: Wanted, path: Path) -> None:
    """Fetch, and let the checkout follow its branch: worktrees begin at its HEAD."""
    known = git_remote.fetch(path, remote, depth=config.clone_depth, most_bytes=config.clone_limit)
    if wanted.branch and wanted.branch not in known:
        logger.info("%s has no branch %s: the work begins at HEAD", remote.url, wanted.branch)
    branch = git.current_branch(path)
    tip = known.get(branch, "")
    common = git.git_directory(path)
    turn = durable.try_lock(common / CHECKOUT_LOCK)
    if turn is None:
        return
    try:
        if not tip or git.status(path) or not git_history.is_ancestor(path, "HEAD", tip):
            logger.warning("the checkout %s stays as it is: it has changes, or its branch is another's", path)
            return
        with git_command.locked(common) as lock:
            git_command.run(path, "merge", "--ff-only", "--quiet", tip, lock=lock)
    finally:
        os.close(turn)


def _require_ours(path: Path, url: RemoteUrl) -> None:
    mark = clone_mark.of(path)
    if mark is None or mark.url != str(url):
        raise ConfigError(f"workspace_base_dir: {path} is there, and is no clone of {url} by us. Move it away.")
