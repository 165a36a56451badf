"""Handing finished work on: the commit of what was left, the push, the pull request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from components import (
    beginning,
    clones,
    demand,
    faults,
    git,
    git_delivery,
    git_history,
    handoff,
    main_checkout,
    proof,
    pull_request,
    receipt,
    safekeeping,
    secret_files,
    starting_point,
    unproven,
)
from components.errors import ConfigError, GitFailed, UnsafeName
from components.model import Held, Verdict, Workspace
from components.pull_request import NoPullRequest, Request
from components.redact import Redactor, listed, plain, secret_values, shorten
from components.run_directory import RunDirectory
from components.states import Reason
from components.tools import Tools

TITLE_LETTERS = 200
NOT_SURE = frozenset({Reason.LOST_CLAIM, Reason.WORKSPACE_FAILED, Reason.UNSAFE_TASK})
"""Ends at which the workspace is somebody else's to look at, or there is none."""


def publish(held: Held, tools: Tools) -> None:
    """Commit what the agent left, push its branch and open a pull request; each only once, each after a look.

    Only for work that succeeded; of other work it is noted what stands. Trouble is a warning in the receipt and
    changes no verdict.
    """
    run, verdict = tools.run_of(held), held.verdict or Verdict(Reason.KILLED)
    if held.workspace is None or not run.path.is_dir():
        return
    if demand.is_for_qa(held, tools):
        with contextlib.suppress(GitFailed, UnsafeName, OSError):
            proof.warn(held, run, tools)
        return
    if verdict.reason is Reason.SUCCEEDED:
        _Publication(held, held.workspace, run, tools).hand_on()
        if not held.workspace.is_worktree:
            with _told(run, tools, "that the work is done could not be noted"):
                unproven.forget(held.task, held.workspace)
    elif verdict.reason not in NOT_SURE:
        with contextlib.suppress(GitFailed, UnsafeName, OSError):
            if "evidence" not in receipt.read(run):
                proof.look(held, run, tools)
    if verdict.reason not in NOT_SURE:
        with _told(run, tools, "what is not committed could not be noted"):
            safekeeping.hand_on(held, held.workspace, is_done=verdict.reason is Reason.SUCCEEDED)
    with _told(run, tools, "where the work began could not be noted"):
        handoff.note_beginning(held.task, held.workspace, is_done=verdict.reason is Reason.SUCCEEDED)


@contextlib.contextmanager
def _told(run: RunDirectory, tools: Tools, what: str) -> Iterator[None]:
    """Make a warning of whatever goes wrong within."""
    try:
        yield
    except (GitFailed, UnsafeName, ConfigError, NoPullRequest, OSError) as error:
        words = f"{what}: {tools.redact(plain(str(error)))}"
        tools.ui.warning(words)
        receipt.warn(run, words)


class _Publication:
    """The handing on of one task's work, part by part; each part is in the receipt once it is done."""

    def __init__(self, held: Held, workspace: Workspace, run: RunDirectory, tools: Tools) -> None:
        self._held = held
        self._workspace = workspace
        self._run = run
        self._tools = tools
        self._before = starting_point.read(run.path)

    def hand_on(self) -> None:
        """Do all parts; one that cannot be done leaves the next ones that can."""
        with self._told("what the agent left is not committed"), self._turn():
            self._commit_leftovers()
        if not self._workspace.is_worktree or not self._workspace.path.is_dir():
            return
        with self._told("conflicts could not be looked for"):
            self._find_conflicts()
        with self._told("the branch was not pushed"):
            self._push()
        with self._told("no pull request was opened"):
            self._request()

    def _told(self, what: str) -> contextlib.AbstractContextManager[None]:
        return _told(self._run, self._tools, what)

    def _turn(self) -> contextlib.AbstractContextManager[tuple[int, ...]]:
        return main_checkout.exclusive(self._workspace, self._held, self._tools)

    def _evidence(self) -> dict[str, Any]:
        found = receipt.read(self._run).get("evidence")
        return found if isinstance(found, dict) else {}

    def _published(self) -> dict[str, Any]:
        found = receipt.read(self._run).get("published")
        return found if isinstance(found, dict) else {}

    def _note(self, **parts: Any) -> None:
        receipt.add(self._run, published={**self._published(), **parts})

    def _commit_leftovers(self) -> None:
        found = self._evidence()
        if not found.get("leftovers") or self._published().get("wip"):
            return
        if why := self._why_not_commit(found):
            raise GitFailed(f"{why}; it is left as it is")
        top, head = self._workspace.path, found["head"]
        secret = secret_files.uncommitted(top, self._secrets())
        tree = secret_files.without(top, head, found["tree"], secret)
        if tree != git_history.tree_of(top, head):
            task = replace(self._held.task, title=self._tools.redact(plain(self._held.task.title)))
            made = git_delivery.commit_tree(self._workspace, head, tree, task, self._held.claim)
            faults.reach("publish.committed")
            self._note(wip=made)
        if secret:
            words = f"not committed, for a secret that the runner knows is in it: {self._listed(secret)}"
            self._tools.ui.warning(words)
            receipt.warn(self._run, words)

    def _secrets(self) -> Redactor:
        tools = self._tools
        return secret_files.knowing([tools.config.api_key, *secret_values(tools.environment)])

    def _listed(self, names: Sequence[str]) -> str:
        return listed([self._tools.redact(plain(name)) for name in names])

    def _why_not_commit(self, found: dict[str, Any]) -> str:
        if found["trouble"]:
            return "; ".join(found["trouble"])
        if not self._workspace.branch:
            return "no branch is checked out"
        if git.current_branch(self._workspace.path) != self._workspace.branch:
            return f"branch {self._workspace.branch} is not checked out any more"
        if self._workspace.is_worktree:
            return ""
        if self._before is None or self._before.dirty is None:
            return "it is not known what was in the checkout before"
        was_clean = beginning.was_clean(self._held, self._workspace, self._tools)
        return "" if was_clean else "the checkout was not clean before the agent came"

    def _find_conflicts(self) -> None:
        repository = self._workspace.repository
        head = git.head_commit(self._workspace.path)
        base, tip = git.trunk(repository)
        if tip and base != self._workspace.branch:
            found = git_history.conflicts(repository, tip, head)
            names = None if found is None else [self._tools.redact(plain(name)) for name in found]
            self._note(commit=head, base=base, conflicts=names)

    def _push(self) -> None:
        config, workspace = self._tools.config, self._workspace
        head = git.head_commit(workspace.path)
        address = starting_point.address(workspace.repository, config.push_remote)
        if config.push != "auto" or not address or head == workspace.base_commit or not workspace.branch:
            return
        if git.current_branch(workspace.path) != workspace.branch:
            raise GitFailed(f"branch {workspace.branch} is not checked out in {workspace.path} any more")
        now = starting_point.now(workspace, config.push_remote)
        if self._before is None or now.sending != self._before.sending:
            raise GitFailed(
                f"where {config.push_remote!r} leads, or how it is reached, is not what it was before the agent came;"
                f" see `git config --list` in {workspace.repository}, then push by hand"
            )
        if secret := secret_files.committed(workspace.path, head, config.push_remote, self._secrets()):
            raise GitFailed(
                f"its commits hold a secret that the runner knows, in {self._listed(secret)}: take it out of the"
                f" history of {workspace.branch} before you push it, or change the secret"
            )
        git_delivery.push(workspace, config.push_remote, head, env=clones.access(config, workspace.repository, address))
        faults.reach("publish.pushed")
        self._note(commit=head, remote=config.push_remote, branch=workspace.branch)
        self._tools.ui.success(f"Branch {workspace.branch} is pushed to {config.push_remote}")

    def _request(self) -> None:
        done = self._published()
        if not done.get("remote") or done.get("pull_request"):
            return
        repository, remote = self._workspace.repository, done["remote"]
        addresses = starting_point.addresses(repository, remote)
        address = next((one for one in addresses if pull_request.can_open(one, self._tools)), None)
        base = git.default_branch(repository)
        if address is None or not base or base == self._workspace.branch:
            return
        is_retry = bool(done.get("pull_request_asked"))
        self._note(pull_request_asked=True)
        opened = pull_request.opened(self._words(base, remote, is_retry), address, Path(repository), self._tools)
        faults.reach("publish.requested")
        self._note(pull_request=opened)
        self._tools.ui.success(f"Pull request of task {self._held.task.id}: {opened}")

    def _words(self, base: str, remote: str, is_retry: bool) -> Request:
        task, redact = self._held.task, self._tools.redact
        title = " ".join(redact(plain(task.title)).split()) or f"Task {task.id}"
        body = redact(receipt.paragraph(receipt.read(self._run)))
        return Request(
            branch=self._workspace.branch,
            base=base,
            title=shorten(title, TITLE_LETTERS),
            body=f"Task {task.id}, done by agent {self._held.agent_id}.\n\n{body}\n",
            remote=remote,
            task=task.id,
            is_retry=is_retry,
        )
