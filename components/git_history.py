"""What a piece of work consists of: questions to git about the way from one commit or tree to another."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from components import git, git_command
from components.errors import GitFailed
from components.git import Commit

BLANKS = ("--ignore-space-at-eol", "--ignore-blank-lines")
MOST_REFS = 2000
NOBODY = {f"GIT_{who}_{what}": "nobody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
"""Who makes a commit that no ref ever leads to."""
MERGE_TREE = (2, 38)
"""The git that can merge without a checkout (`git merge-tree --write-tree`)."""


def is_ancestor(path: Path, base: str, head: str) -> bool:
    """Is the history of `head` built upon `base`? A commit that is gone is no ancestor."""
    return git_command.run(path, "merge-base", "--is-ancestor", base, head, accepted=(0, 1, 128)).exit_code == 0


def merge_base(path: Path, one: str, other: str) -> str:
    """Return the commit at which two histories parted, "" where they have none in common."""
    return git_command.answer(path, "merge-base", one, other, accepted=(0, 1, 128)).partition("\n")[0]


def tip(repository: Path, branch: str) -> str:
    """Return the commit that a local branch is at, "" where there is no such branch."""
    words = ("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
    return git_command.answer(repository, *words, accepted=(0, 1))


def tree_of(path: Path, commit: str) -> str:
    """Return the id of a commit's tree."""
    return git_command.answer(path, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")


@dataclass(frozen=True, slots=True)
class Made:
    """A commit, with when it was made (seconds since 1970), its parents, and who by (`Name <mail>`).

    That is its committer: whoever picks a patch of another's is not its author, and one may name any author.
    """

    commit: Commit
    at: int
    parents: tuple[str, ...]
    by: str


def commits_of(path: Path, base: str, head: str, without: Iterable[str] = ()) -> list[Made]:
    """Return the commits of `head` that neither `base` nor `without` have, newest first.

    At most 1000, without merges.
    """
    layout = "--format=%H%x1f%ct%x1f%P%x1f%cn <%ce>%x1f%s"
    words = ("log", "--no-show-signature", "--no-mailmap", "--no-merges", "--max-count=1000", "-z", layout)
    listed = git_command.run(path, *words, head, "--not", base, *without, "--").stdout.decode(errors="replace")
    rows = [entry.split("\x1f", 4) for entry in listed.split("\0") if entry.count("\x1f") >= 4]
    return [Made(Commit(row[0], row[4]), int(row[1]), tuple(row[2].split()), row[3]) for row in rows]


def parents_of(path: Path, base: str, head: str, without: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return the commits of `head` that neither `base` nor `without` have (the newest 5000), with their parents."""
    words = ("rev-list", "--parents", "--max-count=5000", head, "--not", base, *without, "--")
    rows = (line.split() for line in git_command.run(path, *words).stdout.decode().splitlines())
    return {row[0]: tuple(row[1:]) for row in rows}


def refs(repository: Path) -> tuple[str, dict[str, str]]:
    """Return the trunk's name, and ref -> commit of the branches, remotes' branches and tags: it, and what it has not.

    The 2000 newest. Raises GitFailed.
    """
    name, tip = git.trunk(repository)
    words = ("for-each-ref", "--format=%(objectname) %(refname)", "--sort=-committerdate", f"--count={MOST_REFS}")
    beside = (f"--no-merged={tip}", "refs/tags") if tip else ()  # without it a tag might be of no commit at all
    listed = git_command.run(repository, *words, *beside, "refs/heads", "refs/remotes").stdout
    found = {ref: commit for commit, _, ref in (row.partition(" ") for row in os.fsdecode(listed).splitlines())}
    return name, found | ({f"refs/heads/{name}": tip} if tip else {})


def is_pushed(repository: Path, ref: str) -> bool:
    """Is what a remote's branch is known to be at what was pushed to it from here?"""
    words = ("log", "--walk-reflogs", "--max-count=1", "--format=%gs", ref, "--")
    return git_command.answer(repository, *words, accepted=(0, 128)) == "update by push"


def write_patch(path: Path, base: str, tree: str, file: Path) -> None:
    """Write the change from one commit or tree to another into a file, whatever its size: what `git diff` prints."""
    words = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--full-index")
    git_command.run(path, *words, f"--output={file}", base, tree, "--")


def changed_paths(path: Path, base: str, tree: str) -> list[str]:
    """Return the files that differ from one commit or tree to another."""
    listed = git_command.run(path, "diff", "--name-only", "-z", "--no-renames", base, tree, "--").stdout
    return [name for name in os.fsdecode(listed).split("\0") if name]


def has_content(path: Path, base: str, tree: str, scratch: Path, without: Sequence[str] = ()) -> bool:
    """Does the change from `base` to `tree` alter more than blank lines, and blanks at the ends of lines?

    `base` is "" for nothing at all. Other ends of lines (CRLF, LF) count. `scratch` is a directory for what git
    writes, `without` are paths that are not looked at.
    """
    file = scratch / "content"
    words = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", f"--output={file}")
    ends = (base or _empty_tree(path), tree, "--", ".", *(f":(exclude,literal,top){name}" for name in without))
    git_command.run(path, *words, *BLANKS, *ends)
    if file.stat().st_size:
        return True
    git_command.run(path, *words, "--unified=0", *ends)
    return _alters_line_ends(file)


def _alters_line_ends(patch: Path) -> bool:
    """Does the patch of some file take out more lines that end in CRLF than it puts in, or fewer?"""
    more = 0
    with patch.open("rb") as lines:
        while line := lines.readline(1 << 16):
            if line.startswith(b"diff --git "):
                if more:
                    return True
                more = 0
            elif line.endswith(b"\r\n") and line[1:].strip():
                more += {b"+": 1, b"-": -1}.get(line[:1], 0)
    return more != 0


def _empty_tree(path: Path) -> str:
    return git_command.answer(path, "hash-object", "-t", "tree", os.devnull)


def commits_on(path: Path, head: str, name: str) -> list[str]:
    """Return the commits of `head` that a file comes from, newest first, at most 1000."""
    words = ("log", "--no-show-signature", "--topo-order", "--max-count=1000", "--format=%H", head, "--", name)
    return git_command.run(path, *words).stdout.decode().split()


def file_at(path: Path, commit: str, name: str) -> bytes | None:
    """Return a file as a commit has it (its first MB), None where it has none."""
    shown = git_command.run(path, "cat-file", "blob", f"{commit}:{name}", accepted=(0, 128))
    return None if shown.exit_code else shown.stdout


def merged_tree(path: Path, base: str, other: str) -> str:
    """Return the tree that merging two commits makes, "" where they conflict or git is too old to tell."""
    merged = _merge_tree(path, base, other)
    return merged[0] if merged is not None and len(merged) == 1 else ""


def merged(path: Path, base: str, others: Sequence[str]) -> str:
    """Return a commit that has all of some histories in it, "" where they conflict or git is too old to tell."""
    for other in others:
        if is_ancestor(path, base, other):
            base = other
        elif not (tree := merged_tree(path, base, other)):
            return ""
        else:
            words = ("commit-tree", "-p", base, "-p", other, "-m", "What others made", tree)
            base = git_command.run(path, *words, env=NOBODY).stdout.decode().strip()
    return base


def conflicts(path: Path, base: str, other: str) -> list[str] | None:
    """Return the files in which two commits conflict; None where git is too old to tell. Nothing is changed by it."""
    merged = _merge_tree(path, base, other)
    return None if merged is None else merged[1:]


def _merge_tree(path: Path, base: str, other: str) -> list[str] | None:
    if _version() < MERGE_TREE:
        return None
    words = ("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", base, other)
    merged = git_command.run(path, *words, accepted=(0, 1, 128))
    if merged.exit_code not in (0, 1):  # histories that have nothing in common
        return None
    return list(dict.fromkeys(name for name in merged.stdout.decode(errors="replace").split("\0") if name))


@functools.cache
def _version() -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)", git_command.answer(Path("/"), "--version"))
    return tuple(map(int, found.groups())) if found else (0, 0)


def started_from(repository: Path, base: str) -> str:
    """Return where work that begins at `base` left the trunk: the newest commit that no agent on the way has made."""
    try:
        _, tip = git.trunk(repository)
        return (merge_base(repository, base, tip) if tip else "") or base
    except GitFailed:
        return base
