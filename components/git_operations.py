"""What people do with git in a checkout, as functions: make a branch, stage, commit, look at a change.

What needs no function of its own stands in `git` (`current_branch`, `status`, `diff_stat`) and in `git_remote`.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from components import branch_names, git, git_command, git_delivery, git_history, starting_point
from components.errors import GitFailed, NothingToCommit, UnsafeName
from components.git import Commit, DiffStat
from components.private_index import PrivateIndex

PATCH_BYTES = 1 << 20
FORBIDDEN_IN_NAMES = re.compile(r"[\x00-\x1f\x7f<>]")


@dataclass(frozen=True, slots=True)
class Author:
    """Who is named as the author and committer of a commit."""

    name: str
    email: str

    def env(self) -> dict[str, str]:
        """Return what tells git. Raises GitFailed for what may not stand in a commit."""
        for what, text in (("name", self.name), ("email", self.email)):
            if not text.strip() or FORBIDDEN_IN_NAMES.search(text):
                raise GitFailed(f"author's {what} {text[:60]!r}: write one line without < and >.")
        who = {"NAME": self.name, "EMAIL": self.email}
        return {f"GIT_{part}_{name}": text for part in ("AUTHOR", "COMMITTER") for name, text in who.items()}


@dataclass(frozen=True, slots=True)
class Diff:
    """A change: what `git diff` prints (its first MB; `is_cut` says that there is more), and its size."""

    text: str
    stat: DiffStat
    is_cut: bool = False


def create_branch(directory: Path, name: str, *, start: str = "HEAD", switch: bool = True) -> str:
    """Make a branch at HEAD, at a whole commit id, or at another branch, and return its commit.

    With `switch` the checkout goes over to it; changed files go along, or it is refused. Raises UnsafeName for a name
    that may not reach git, GitFailed for one that is taken.
    """
    if not git.is_valid_branch(name):
        raise UnsafeName(f"branch {name[:80]!r} is no name for a branch. Use letters, digits and . _ / - only.")
    if start != "HEAD" and not branch_names.COMMIT.fullmatch(start):
        start = git.branches(directory).get(start, "") if branch_names.is_safe(start) else ""
        if not start:
            raise GitFailed(f"there is no branch to start {name} at. Name one that is there, or a whole commit id.")
    commit = git_command.answer(directory, "rev-parse", "--verify", f"{start}^{{commit}}")
    with git_command.locked(git.git_directory(directory)) as lock:
        if branch_names.is_taken(name, _local(directory)):
            raise GitFailed(f"branch {name} cannot be made in {directory}: it, or one it would lie in, is there.")
        words = ("checkout", "--quiet", "--no-track", "-b") if switch else ("branch", "--no-track")
        git_command.run(directory, *words, name, commit, lock=lock)
    return commit


def stage_all(directory: Path) -> int:
    """Stage every change, new and deleted files too, but what git ignores; return how many files are staged."""
    git_command.run(directory, "add", "--all", "--", ".")
    return len([entry for entry in git.status(directory) if entry.code[0] not in " ?!"])


def commit(directory: Path, message: str, *, author: Author | None = None) -> Commit:
    """Commit what is staged and return it. Hooks of the repository are not run, nothing is signed.

    Without an author git's configuration names one, else we do. The message goes by a file. Raises NothingToCommit.
    """
    if not message.strip() or "\0" in message:
        raise GitFailed("the commit's message is empty, or has a NUL character. Write what was done.")
    staged = git_command.run(directory, "diff", "--cached", "--quiet", "--no-ext-diff", accepted=(0, 1))
    if not staged.exit_code and not git.operation_in_progress(directory):
        raise NothingToCommit(f"nothing is staged in {directory}. Change something, and stage it.")
    env = author.env() if author else git_delivery.author_of(directory)
    with tempfile.NamedTemporaryFile(prefix="agent-runner-", suffix=".txt") as file:
        file.write(message.encode(errors="replace"))
        file.flush()
        words = ("commit", "--quiet", "--no-verify", "--no-gpg-sign", "--cleanup=whitespace", "-F", file.name)
        git_command.run(directory, *words, env=env)
    made = git_command.run(directory, "log", "-1", "--no-show-signature", "--format=%H %s").stdout
    return Commit(*made.decode(errors="replace").strip().split(" ", 1))


def diff(directory: Path, base: str = "HEAD", head: str | None = None) -> Diff:
    """Return the change from a commit or branch to another, or with None to the files as they are, new ones too.

    Neither the index nor the files are touched. Raises GitFailed, and UnsafeName for what is no revision.
    """
    with tempfile.TemporaryDirectory(prefix="agent-runner-") as scratch:
        start = _commit_of(directory, base)
        end = _tree_as_it_is(directory, Path(scratch)) if head is None else _commit_of(directory, head)
        patch = Path(scratch) / "patch"
        git_history.write_patch(directory, start, end, patch)
        with patch.open("rb") as file:
            text = file.read(PATCH_BYTES + 1)
    return Diff(
        text[:PATCH_BYTES].decode(errors="replace"), git.diff_stat(directory, start, end), len(text) > PATCH_BYTES
    )


def _tree_as_it_is(directory: Path, scratch: Path) -> str:
    index = PrivateIndex(directory, {}, scratch / "index")
    index.read("HEAD")
    paths = [entry.path for entry in starting_point.uncommitted(directory) if not entry.path.endswith("/")]
    if failed := index.stage(paths):
        raise GitFailed(f"git cannot take in {', '.join(map(git_command.printable, failed[:5]))}. Look at these files.")
    return index.tree()


def _commit_of(directory: Path, revision: str) -> str:
    if revision != "HEAD" and not branch_names.COMMIT.fullmatch(revision):
        if not branch_names.is_safe(revision):
            raise UnsafeName(f"revision {revision[:80]!r} is neither HEAD, nor a whole commit id, nor a branch.")
        revision = git.branches(directory).get(revision, "")
        if not revision:
            raise GitFailed(f"there is no such branch in {directory}. `git branch --all` shows those that are.")
    return git_command.answer(directory, "rev-parse", "--verify", f"{revision}^{{commit}}")


def _local(directory: Path) -> set[str]:
    listed = git_command.answer(directory, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads")
    return set(listed.splitlines())
