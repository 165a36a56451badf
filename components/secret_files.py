"""Finds files that hold a secret which the runner knows, before they are committed for an agent, or pushed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from components import git, git_command, starting_point
from components.private_index import PrivateIndex
from components.redact import Redactor

SHORTEST_SECRET = 12
"""A shorter one may be an ordinary word: what is not committed for it would be missed."""
MOST_OF_A_LINE = 1 << 20
MESSAGE = "the message of a commit"
LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}


def knowing(secrets: Sequence[str]) -> Redactor:
    """Return what knows these secrets, those left out that may be ordinary words."""
    return Redactor([secret for secret in secrets if len(secret) >= SHORTEST_SECRET])


def uncommitted(top: Path, known: Redactor) -> list[str]:
    """Return the files that are not committed and hold a secret. Raises GitFailed."""
    entries = (entry for entry in starting_point.uncommitted(top) if not entry.path.endswith("/"))
    return [entry.path for entry in entries if _holds(top / entry.path, known)]


def without(top: Path, head: str, tree: str, paths: Sequence[str]) -> str:
    """Return a tree in which these files are as in `head`. Raises GitFailed."""
    if not paths:
        return tree
    with tempfile.TemporaryDirectory(prefix="agent-runner-") as scratch:
        index = PrivateIndex(top, {}, Path(scratch, "index"))
        index.read(tree)
        git_command.run(top, "reset", "--quiet", head, "--", *paths, env=index.env | LITERAL)
        return index.tree()


def committed(top: Path, head: str, remote: str, known: Redactor) -> list[str]:
    """Return the files into which commits put a secret that neither the trunk nor a remote has. Raises GitFailed."""
    _, trunk = git.trunk(top)
    seen = (*([trunk] if trunk else ()), f"--remotes={remote}")
    words = ("log", "--patch", "--text", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--cc")
    with tempfile.TemporaryDirectory(prefix="agent-runner-") as scratch:
        patch = Path(scratch, "patch")
        git_command.run(top, *words, "--no-show-signature", f"--output={patch}", head, "--not", *seen, "--")
        return list(dict.fromkeys(_with_secrets(patch, known)))


def _with_secrets(patch: Path, known: Redactor) -> Iterator[str]:
    name = MESSAGE
    with patch.open("rb") as lines:
        while line := lines.readline(MOST_OF_A_LINE):
            if line.startswith(b"commit "):
                name = MESSAGE
            elif line.startswith((b"diff --git ", b"diff --cc ")):
                name = os.fsdecode(line).rstrip("\n").removeprefix("diff --cc ").rpartition(" b/")[2].strip('"')
            elif not line.startswith(b"-") and known.knows(line.decode(errors="replace")):
                yield name


def _holds(file: Path, known: Redactor) -> bool:
    """Does a file hold a secret? One that cannot be read holds none that anybody could commit."""
    try:
        if file.is_symlink() or not file.is_file():
            return False
        with file.open("rb") as lines:
            while line := lines.readline(MOST_OF_A_LINE):
                if known.knows(line.decode(errors="replace")):
                    return True
    except OSError:
        pass
    return False
