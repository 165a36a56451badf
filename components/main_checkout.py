"""The turn of a task in a main checkout, which serves one at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from components import durable, git, home_branch
from components.errors import Draining, GitFailed
from components.model import Held, Workspace
from components.signals import Intent
from components.tools import Tools

CHECKOUT_LOCK = "agent-runner-checkout.lock"
CHECKOUT_SECONDS = 1.0


@contextlib.contextmanager
def exclusive(workspace: Workspace, held: Held, tools: Tools) -> Iterator[tuple[int, ...]]:
    """Hold the lock of a main checkout, waiting for it; yields descriptors that what is started there may inherit.

    The checkout is on the task's branch then. A worktree has no lock. Raises Draining when the operator wants to leave
    or stop before the turn comes, GitFailed where the checkout cannot be put on the branch.
    """
    if workspace.is_worktree:
        yield ()
        return
    path = git.git_directory(workspace.repository) / CHECKOUT_LOCK
    fd = durable.try_lock(path)
    if fd is None:
        tools.ui.info(f"Task {held.task.id} waits: another agent works in the checkout {workspace.path}")
    while fd is None:
        tools.signals.wait(min(CHECKOUT_SECONDS, tools.pulse.due_in()))
        tools.pulse.beat()
        if tools.signals.intent in (Intent.LEAVE, Intent.STOP):
            raise Draining(f"task {held.task.id} waits for its turn; the next start goes on with it")
        fd = durable.try_lock(path)
    try:
        home_branch.enter(workspace, held.claim, held.task.id, fd)
        yield (fd,)
    finally:
        os.close(fd)


def hand_back(workspace: Workspace, held: Held, tools: Tools) -> None:
    """Put a main checkout back on its own branch; where somebody works there now, that is for them to do."""
    fd = durable.try_lock(git.git_directory(workspace.repository) / CHECKOUT_LOCK)
    if fd is None:
        return
    try:
        if why := home_branch.leave(workspace.repository, held.claim, fd):
            tools.ui.warning(why)
    except GitFailed as error:
        tools.ui.warning(f"The checkout is not back on its own branch: {error}")
    finally:
        os.close(fd)
