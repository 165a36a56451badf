"""An index of our own over somebody's files: what is staged in it changes neither their index nor their files."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from components import git_command
from components.errors import GitFailed

logger = logging.getLogger(__name__)

CHUNK_PATHS = 500
CHUNK_LETTERS = 60_000
"""What one command line may name: half of the 128 kB of Linux's MAX_ARG_STRLEN, times two bytes for a letter."""

MOST_FAILURES = 200
"""Files looked for one by one because git cannot take them; beyond that the cause is not the file."""

SETTINGS = {
    "core.fsync": "objects,pack-metadata,reference",  # what a snapshot holds must survive a power cut
    "core.fsyncMethod": "batch",
    "core.splitIndex": "false",  # it would put a file beside the index that is not ours
    "core.safecrlf": "false",  # a file with mixed line ends is saved, as a commit would save it
    "i18n.commitEncoding": "UTF-8",
}
CONFIGURED = {
    "GIT_CONFIG_COUNT": str(len(SETTINGS)),
    **{f"GIT_CONFIG_KEY_{number}": name for number, name in enumerate(SETTINGS)},
    **{f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(SETTINGS.values())},
}


class PrivateIndex:
    """One index file in a private place. Only objects are written to the repository, and nothing leads to them yet.

    `env` leads git to the repository and to the files; `directory` is the top of the files.
    """

    def __init__(self, directory: Path, env: Mapping[str, str], file: Path) -> None:
        self.env = {**env, **CONFIGURED, "GIT_INDEX_FILE": str(file)}
        self._directory = directory
        self._file = file
        self._failures = 0

    def read(self, tree: str) -> None:
        """Begin with a tree, or with nothing for ""."""
        self._run("read-tree", tree or "--empty")

    def stage(self, paths: Sequence[str]) -> list[str]:
        """Take in files as they are now, by git's own rules for their content; return those that cannot be read.

        A file that vanished meanwhile counts as deleted. A file that is written at this moment is read again.
        """
        return [path for chunk in _chunks(paths) for path in self._update(("--add", "--remove", "--replace"), chunk)]

    def remove(self, paths: Sequence[str]) -> None:
        """Take files out, whether they were in or not."""
        for chunk in _chunks(paths):
            self._update(("--force-remove",), chunk)

    def deleted(self) -> list[str]:
        """Return the files of this index that are not on the disk."""
        return self._listed("diff-files", "--diff-filter=D")

    def differing(self, tree: str) -> int:
        """Return how many files differ from a tree."""
        return len(self._listed("diff-index", "-r", "--cached", tree))

    def tree(self) -> str:
        """Write what is staged as a tree and return its id. Raises GitFailed while there are conflicts in it."""
        return self._run("write-tree").decode().strip()

    def _update(self, words: Sequence[str], paths: Sequence[str]) -> list[str]:
        """Update the index with all paths or, where git refuses, with all but those it is refused for."""
        try:
            self._run("update-index", *words, "--", *paths)
        except GitFailed as error:
            with contextlib.suppress(FileNotFoundError):
                self._file.with_name(self._file.name + ".lock").unlink()  # left by a git that was killed
            if len(paths) > 1 and self._failures < MOST_FAILURES:
                half = len(paths) // 2
                return self._update(words, paths[:half]) + self._update(words, paths[half:])
            logger.debug("not taken in: %s", error)
            self._failures += 1
            return list(paths)
        return []

    def _listed(self, command: str, *words: str) -> list[str]:
        """Return the paths that a comparison names; they go through a file, for there may be very many."""
        names = self._file.with_name("names")
        self._run(command, "--name-only", "-z", "--no-renames", f"--output={names}", *words)
        return [name.decode(errors="surrogateescape") for name in names.read_bytes().split(b"\0") if name]

    def _run(self, *words: str) -> bytes:
        return git_command.run(self._directory, *words, env=self.env).stdout


def _chunks(paths: Sequence[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    letters = 0
    for path in paths:
        if chunk and (len(chunk) >= CHUNK_PATHS or letters + len(path) > CHUNK_LETTERS):
            yield chunk
            chunk, letters = [], 0
        chunk.append(path)
        letters += len(path) + 1
    if chunk:
        yield chunk
