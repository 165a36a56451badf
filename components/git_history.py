"""What a piece of work consists of: questions to git about the way from one commit or tree to another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from components import branch_names, git, git_command
from components.errors import GitFailed
from components.git import Commit

INDENTED = ("py", "pyi", "pyx", "yaml", "yml", "mk", "mak", "coffee", "sass", "haml", "pug", "slim", "nim", "fs", "hs")
"""Endings of files in which the blanks at the beginning of a line have a meaning."""
BY_INDENTATION = (*(f":(glob,icase)**/*.{ending}" for ending in INDENTED), ":(glob,icase)**/*makefile*")
WITHOUT_BLANKS = ("-w", "--ignore-blank-lines")
WITHOUT_TRAILING_BLANKS = ("--ignore-space-at-eol", "--ignore-blank-lines")
MERGE_TREE = (2, 38)
"""The git that can merge without a checkout (`git merge-tree --write-tree`)."""


def is_ancestor(path: Path, base: str, head: str) -> bool:
    """Is the history of `head` built upon `base`? A commit that is gone is no ancestor."""
    return git_command.run(path, "merge-base", "--is-ancestor", base, head, accepted=(0, 1, 128)).exit_code == 0


def merge_base(path: Path, one: str, other: str) -> str:
    """Return the commit at which two histories parted, "" where they have none in common."""
    return git_command.answer(path, "merge-base", one, other, accepted=(0, 1, 128)).partition("\n")[0]


def tree_of(path: Path, commit: str) -> str:
    """Return the id of a commit's tree."""
    return git_command.answer(path, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")


def commits_of(path: Path, base: str, head: str, without: Sequence[str] = ()) -> list[tuple[Commit, int]]:
    """Return the commits of `head` that neither `base` nor `without` have, newest first, each with its time.

    At most 1000, without merges; the time is the committer's, in seconds since 1970.
    """
    words = ("log", "--no-show-signature", "--no-merges", "--max-count=1000", "-z", "--format=%H %ct %s")
    listed = git_command.run(path, *words, head, "--not", base, *without, "--").stdout.decode(errors="replace")
    rows = [entry.split(" ", 2) for entry in listed.split("\0") if entry]
    return [(Commit(row[0], row[2]), int(row[1])) for row in rows]


def write_patch(path: Path, base: str, tree: str, file: Path) -> None:
    """Write the change from one commit or tree to another into a file, whatever its size: what `git diff` prints."""
    words = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--full-index")
    git_command.run(path, *words, f"--output={file}", base, tree, "--")


def has_content(path: Path, base: str, tree: str, scratch: Path) -> bool:
    """Does the change from `base` to `tree` alter more than white space?

    In files whose indentation has a meaning, that counts as well. `scratch` is a directory for what git writes.
    """
    words = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    elsewhere = ("--", ".", *(pattern.replace("glob,", "exclude,glob,", 1) for pattern in BY_INDENTATION))
    looks = ((WITHOUT_BLANKS, elsewhere), (WITHOUT_TRAILING_BLANKS, ("--", *BY_INDENTATION)))
    for number, (options, paths) in enumerate(looks):
        file = scratch / f"content-{number}"
        git_command.run(path, *words, *options, f"--output={file}", base, tree, *paths)
        if file.stat().st_size:
            return True
    return False


def file_at(path: Path, commit: str, name: str) -> bytes | None:
    """Return a file as a commit has it (its first MB), None where it has none."""
    shown = git_command.run(path, "cat-file", "blob", f"{commit}:{name}", accepted=(0, 128))
    return None if shown.exit_code else shown.stdout


def merged_tree(path: Path, base: str, other: str) -> str:
    """Return the tree that merging two commits makes, "" where they conflict or git is too old to tell."""
    merged = _merge_tree(path, base, other)
    return merged[0] if merged is not None and len(merged) == 1 else ""


def conflicts(path: Path, base: str, other: str) -> list[str] | None:
    """Return the files in which two commits conflict; None where git is too old to tell. Nothing is changed by it."""
    merged = _merge_tree(path, base, other)
    return None if merged is None else merged[1:]


def _merge_tree(path: Path, base: str, other: str) -> list[str] | None:
    if _version() < MERGE_TREE:
        return None
    words = ("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", base, other)
    merged = git_command.run(path, *words, accepted=(0, 1))
    return list(dict.fromkeys(name for name in merged.stdout.decode(errors="replace").split("\0") if name))


def _version() -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)", git_command.answer(Path("/"), "--version"))
    return tuple(map(int, found.groups())) if found else (0, 0)


def trunk(repository: Path) -> str:
    """Return the commit at the tip of the branch that work is merged into, "" where it cannot be told."""
    name = git.default_branch(repository)
    return git.branches(repository).get(name, "") if branch_names.is_safe(name) else ""


def started_from(repository: Path, base: str) -> str:
    """Return where work that begins at `base` left the trunk: the newest commit that no agent on the way has made."""
    try:
        tip = trunk(repository)
        return (merge_base(repository, base, tip) if tip else "") or base
    except GitFailed:
        return base
