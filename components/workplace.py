"""Where a typed task is to be done: a repository of this machine, or a clone of one elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components import branch_names, clones, git, git_url, joining, projects
from components.clones import Wanted
from components.config import Config
from components.errors import ConfigError, NotARepository, NotFound, UnsafeName
from components.short_id import SHORT
from components.states import Complexity, WorkspaceKind
from components.typed_task import TypedTask


@dataclass(frozen=True, slots=True)
class Workplace:
    """The repository that a task names, and the kind of workspace in it.

    `clone_of` is the address that `repository` is, or will be, a clone of; "" for one that is there.
    """

    repository: Path
    project: str
    kind: WorkspaceKind
    clone_of: str = ""
    branch: str = ""

    @property
    def complexity(self) -> Complexity:
        """What the steps know of the kind: a major task has a worktree, a minor one the checkout."""
        return Complexity.MAJOR if self.kind is WorkspaceKind.WORKTREE else Complexity.MINOR


def chosen(config: Config, word: str, claim: str, *, kind: str = "", branch: str = "") -> Workplace:
    """Return where a task is done; nothing is cloned yet. `word` is a project, a path, or the address of a repository.

    Raises NotFound and NotARepository for what is not there, UnsafeUrl and UnsafeName for what may not reach git,
    ConfigError for a kind that is none or does not fit.
    """
    wanted_kind = _kind(kind)
    if branch and not branch_names.is_safe(branch):
        raise UnsafeName(f"branch {branch[:80]!r} is no name for a branch. Use letters, digits and . _ / - only.")
    if git_url.is_address(word) or word.startswith("-"):
        url = clones.admit(config, word)
        return _cloned(config, url.text, url.name, Wanted(url.text, wanted_kind, claim, branch))
    named = projects.find(config, word)
    if wanted_kind is WorkspaceKind.CLONE:
        return _cloned(
            config, f"file://{named.path}", named.name, Wanted(f"file://{named.path}", wanted_kind, claim, branch)
        )
    return Workplace(named.path, named.name, wanted_kind, branch=branch)


def require_there(typed: TypedTask) -> None:
    """Raise NotFound where a task is to go on, or to be done again, whose repository is none any more.

    A clone is made anew where it is gone.
    """
    if typed.clone_of:
        return
    try:
        git.require_repository(typed.repository)
    except NotARepository as error:
        way = "Bring it back to there, or type the task anew where it is now."
        why = str(error).replace("Name a git checkout with --repo.", way)
        raise NotFound(f"execution {typed.claim[:SHORT]}: {why}") from error


def prepare(config: Config, typed: TypedTask) -> None:
    """Have the clone ready that a typed task is done in, and in it the works that it builds upon, merged.

    A task that was begun finds all as it was. Raises as `clones.provide` and `joining.begin_at`.
    """
    journal = config.home / "locks" / f"agent-{typed.agent_id}.lock"
    if journal.exists() and typed.repository.is_dir():
        return
    if typed.clone_of:
        wanted = Wanted(typed.clone_of, _kind(typed.kind), typed.claim, typed.branch)
        clones.provide(config, wanted, typed.repository)
    if (typed.starts or typed.left) and typed.task.complexity is Complexity.MAJOR:
        joining.begin_at(
            config,
            typed.repository,
            typed.task,
            typed.starts,
            given=typed.given,
            left=typed.left,
            names=typed.names,
        )


def _cloned(config: Config, url: str, name: str, wanted: Wanted) -> Workplace:
    return Workplace(clones.place_of(config, wanted), name, wanted.kind, url, wanted.branch)


def _kind(word: str) -> WorkspaceKind:
    try:
        return WorkspaceKind(word or WorkspaceKind.WORKTREE)
    except ValueError:
        raise ConfigError(f"workspace {word[:40]!r}: write one of {', '.join(WorkspaceKind)}") from None
