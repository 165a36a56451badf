"""Git's part of handing work on: the commit of what was left, the push."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from components import git, git_command, git_history
from components.errors import GitFailed
from components.model import Task, Workspace
from components.private_index import CONFIGURED
from components.redact import plain, shorten
from components.shelf import IDENTITY

TITLE_LETTERS = 60
SAID_LETTERS = 400
TRAILER = "Agent-Runner-Task"


def commit_tree(workspace: Workspace, head: str, tree: str, task: Task, claim: str) -> str:
    """Put a tree on the workspace's branch as one commit upon `head`, and return it; files are not touched.

    The task's title goes into the message, and with that to everybody: without secrets, please.
    Repeating it after a crash changes nothing. Raises GitFailed where the branch has moved on since.
    """
    top, ref = workspace.path, f"refs/heads/{workspace.branch}"
    with git_command.locked(git.git_directory(workspace.repository)) as lock:
        tip = git.head_commit(top)
        if tip != head and git_history.tree_of(top, tip) != tree:
            raise GitFailed(f"branch {workspace.branch} has moved since the work on it was examined. Look at it.")
        if tip == head:
            words = ("commit-tree", "-p", head, "-m", _message(task, claim), tree)
            made = git_command.run(top, *words, env={**CONFIGURED, **author_of(top)}).stdout.decode().strip()
            reason = f"commit: WIP of task {task.id}"
            git_command.run(top, "update-ref", "-m", reason, ref, made, head, env=CONFIGURED, lock=lock)
            tip = made
        git_command.run(top, "reset", "--quiet", lock=lock)
    return tip


def push(
    workspace: Workspace,
    remote: str,
    commit: str,
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = git_command.TIME_LIMIT,
) -> str:
    """Bring a commit to the branch's name at a remote, never by force, unless it is there.

    Returns the commit that was there before, "" for none. `env` is `git_credential.environment`. Raises GitFailed.
    """
    top, ref = workspace.repository, f"refs/heads/{workspace.branch}"
    looked = git_command.run(top, "ls-remote", "--", remote, ref, env=env, timeout=timeout)
    there = looked.stdout.decode(errors="replace").partition("\t")[0]
    if there != commit:
        words = ("push", "--quiet", "--no-verify", "--no-follow-tags", "--", remote, f"{commit}:{ref}")
        pushed = git_command.run(top, *words, env=env, timeout=timeout, accepted=range(256))
        if pushed.exit_code:
            raise GitFailed(_refusal(pushed.stderr.decode(errors="replace"), remote))
    return there


def _refusal(said: str, remote: str) -> str:
    """Return why a push was refused: what the server says, and what git says of the branch, else git's last words."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line.removeprefix("remote:").strip() for line in lines if line.startswith(("remote:", "! "))]
    words = "; ".join(filter(None, telling or lines[-2:]))
    return f"{remote} did not take it: {shorten(git_command.printable(words), SAID_LETTERS)}"


def _message(task: Task, claim: str) -> str:
    title = shorten(" ".join(plain(task.title).split()), TITLE_LETTERS) or f"task {task.id}"
    return (
        f"WIP: {title}\n\nLeft uncommitted by the agent and committed by its runner.\n\n"
        f"{TRAILER}: {task.id}\nAgent-Runner-Claim: {claim}"
    )


def author_of(top: Path) -> Mapping[str, str]:
    """Return what tells git of an author of ours, where it is configured with none."""
    known = all(
        git_command.answer(top, "config", "--get", name, accepted=(0, 1)) for name in ("user.name", "user.email")
    )
    return {} if known else IDENTITY
