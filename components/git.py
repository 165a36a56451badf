"""Git's answers about a repository, as functions: hardened by `git_command`, read without changing anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components import branch_names
from components.errors import GitFailed, NotARepository, UnsafeName
from components.git_command import answer, ask
from components.process import OUTPUT_LIMIT

OPERATIONS = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "sequencer": "sequence of picks",
}
UNTRACKED, IGNORED = "??", "!!"
ORIGIN_HEAD = "refs/remotes/origin/HEAD"
USUAL_TRUNKS = ("main", "master")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of `git status`: its two-letter code, and the path from the top (a directory ends in a slash)."""

    code: str
    path: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit by its full id, with the first line of its message."""

    id: str
    subject: str


@dataclass(frozen=True, slots=True)
class DiffStat:
    """The size of a change: files, and lines in and out (a binary file counts no lines)."""

    files: int = 0
    insertions: int = 0
    deletions: int = 0


def require_repository(path: Path) -> Path:
    """Return the top directory of the checkout that `path` is in. Raises NotARepository with what to do."""
    if not path.is_dir():
        what = " is a file, not a directory" if path.exists() else ": no such directory"
        raise NotARepository(f"repository {str(path)!r}{what}. Name a git checkout with --repo.")
    where = ask(path, "rev-parse", "--is-inside-work-tree", accepted=(0, 128), upwards=True)
    if b"dubious ownership" in where.stderr:
        raise NotARepository(
            f"repository {str(path)!r} belongs to another user. Run as its owner, or: "
            f"git config --global --add safe.directory {path.resolve()}"
        )
    if where.exit_code:
        raise NotARepository(
            f"{str(path)!r} is not in a git repository. "
            'Name one, or make one of it: git init, git add FILES, git commit -m "First commit"'
        )
    if where.stdout.strip() != b"true":
        raise NotARepository(
            f"repository {str(path)!r} is bare or a git directory: there are no files to work on. "
            f"Name a checkout of it: git clone {path} CHECKOUT"
        )
    top = Path(os.fsdecode(ask(path, "rev-parse", "--show-toplevel", upwards=True).stdout).removesuffix("\n")).resolve()
    if ask(top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", accepted=(0, 1, 128)).exit_code:
        raise NotARepository(
            f"repository {str(top)!r} has no commit yet. "
            f'Make the first one: git add . && git commit --allow-empty -m "First commit"'
        )
    return top


def git_directory(repository: Path) -> Path:
    """Return the git directory that all worktrees of a repository share."""
    usual = repository / ".git"
    if (usual / "HEAD").is_file() and not (usual / "commondir").exists():
        return usual.resolve()  # what git would say, which is asked for very often
    return (repository / answer(repository, "rev-parse", "--git-common-dir")).resolve()


def head_commit(path: Path) -> str:
    """Return the full id of the commit that is checked out."""
    return answer(path, "rev-parse", "--verify", "HEAD^{commit}")


def current_branch(path: Path) -> str:
    """Return the branch that is checked out, "" for a detached HEAD."""
    return answer(path, "symbolic-ref", "--quiet", "HEAD", accepted=(0, 1)).removeprefix("refs/heads/")


def default_branch(repository: Path) -> str:
    """Return the branch that work is merged into: what `origin` says, else main, else master, else the current one."""
    return trunk(repository)[0]


def trunk(repository: Path) -> tuple[str, str]:
    """Return that branch with the commit at its tip, "" where it has none; the local branch counts for more."""
    layout = "--format=%(objectname) %(refname) %(symref)"
    asked = (ORIGIN_HEAD, *(f"refs/heads/{name}" for name in USUAL_TRUNKS))
    rows = [row.split(" ") for row in answer(repository, "for-each-ref", layout, *asked).splitlines()]
    commits = {ref: commit for commit, ref, _ in rows}
    told = next((to.removeprefix("refs/remotes/origin/") for _, ref, to in rows if ref == ORIGIN_HEAD), "")
    here = (name for name in USUAL_TRUNKS if f"refs/heads/{name}" in commits)
    name = told or next(here, "") or current_branch(repository)
    if not branch_names.is_safe(name):
        return name, ""
    return name, commits.get(f"refs/heads/{name}") or branches(repository).get(name, "")


def branch_exists(repository: Path, name: str) -> bool:
    """Is there a local branch of this name? A name that is not safe never reaches git."""
    if not branch_names.is_safe(name):
        return False
    return ask(repository, "show-ref", "--verify", "--quiet", f"refs/heads/{name}", accepted=(0, 1)).exit_code == 0


def is_valid_branch(name: str) -> bool:
    """Is this text fit to be a branch: safe by our rules, then by git's own?"""
    if not branch_names.is_safe(name):
        return False
    return ask(Path("/"), "check-ref-format", "--branch", name, accepted=(0, 1, 128)).exit_code == 0


def branches(repository: Path) -> dict[str, str]:
    """Return branch -> commit: the local ones, and those of remotes (without the remote's name) that are not local."""
    local: dict[str, str] = {}
    remote: dict[str, str] = {}
    refs = answer(repository, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/remotes")
    for commit, _, ref in (row.partition(" ") for row in refs.splitlines()):
        if ref.startswith("refs/heads/"):
            local[ref.removeprefix("refs/heads/")] = commit
        elif ref.count("/") >= 3:
            _, _, source, name = ref.split("/", 3)
            if source == "origin" or name not in remote:
                remote[name] = commit
    return remote | local


def checked_out(repository: Path) -> set[str]:
    """Return the branches that some worktree of the repository is on."""
    lines = answer(repository, "worktree", "list", "--porcelain").splitlines()
    sign = "branch refs/heads/"
    return {line.removeprefix(sign) for line in lines if line.startswith(sign)}


def status(path: Path, *, ignored: bool = False, env: Mapping[str, str] | None = None) -> list[Entry]:
    """Return what differs from HEAD in a checkout: staged, changed, untracked and, if asked for, ignored.

    Whole untracked or ignored directories are one entry. Raises GitFailed rather than return a part of the list.
    """
    words = ["status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal", "--ignore-submodules=none"]
    if ignored:
        words.append("--ignored=matching")
    listed = ask(path, *words, env=env).stdout
    if len(listed) >= OUTPUT_LIMIT:
        raise GitFailed(f"git status in {path} lists over a megabyte of changes. Look at it by hand.")
    return [Entry(entry[:2], entry[3:]) for entry in os.fsdecode(listed).split("\0") if entry]


def operation_in_progress(path: Path) -> str:
    """Return the operation that git would let a person continue or abort ("merge", "rebase", ...), or ""."""
    return operation_in(Path(answer(path, "rev-parse", "--absolute-git-dir")))


def operation_in(directory: Path) -> str:
    """The same for the git directory of one worktree."""
    return next((name for file, name in OPERATIONS.items() if (directory / file).exists()), "")


def commits_between(path: Path, base: str, head: str = "HEAD") -> list[Commit]:
    """Return the commits of `head` that `base` does not have, newest first, at most 1000."""
    span = f"{_revision(base)}..{_revision(head)}"
    listed = ask(path, "log", "--no-show-signature", "--max-count=1000", "-z", "--format=%H %s", span, "--").stdout
    return [Commit(*entry.split(" ", 1)) for entry in listed.decode(errors="replace").split("\0") if entry]


def diff_stat(path: Path, base: str, head: str | None = "HEAD") -> DiffStat:
    """Return the size of the change from `base` to `head`, or with None to the files as they are (but untracked)."""
    ends = [_revision(base)] + ([] if head is None else [_revision(head)])
    listed = ask(path, "diff", "--numstat", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", *ends, "--").stdout
    rows = [row.split("\t")[:2] for row in listed.decode(errors="replace").split("\0") if row.count("\t") >= 2]
    counts = [(int(added) if added.isdigit() else 0, int(gone) if gone.isdigit() else 0) for added, gone in rows]
    return DiffStat(len(rows), sum(added for added, _ in counts), sum(gone for _, gone in counts))


def _revision(text: str) -> str:
    """Return a revision that git cannot take for an option: HEAD, a commit id, or a safe branch as a full ref."""
    if text == "HEAD" or branch_names.COMMIT.fullmatch(text):
        return text
    if branch_names.is_safe(text):
        return f"refs/heads/{text}"
    raise UnsafeName(f"revision {text[:80]!r} is neither HEAD, nor a full commit id, nor a branch name.")
