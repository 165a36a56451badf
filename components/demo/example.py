"""The example repository: a small library of which three areas fail their tests, with a task for each."""

from __future__ import annotations

import re
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import durable, git, git_command, process
from components.errors import GitFailed, RunnerError

HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts.yaml"
TEMPLATE = "-tpl"
"""The end of names that are unfinished by design: no linter, type checker or test runner of ours shall read them."""
MAIN = "main"
TEST_SECONDS = 60.0
RAN = re.compile(r"^Ran (\d+) tests? in", re.MULTILINE)
FAILED = re.compile(r"^FAILED \((.*)\)", re.MULTILINE)
# Locally, so that the user's own signing, hooks and identity play no part.
SETTINGS = {
    "user.name": "Demo",
    "user.email": "demo@localhost",
    "commit.gpgSign": "false",
    "core.hooksPath": ".git/hooks",
    "core.autocrlf": "false",
}


@dataclass(frozen=True, slots=True)
class Assignment:
    """A task as it is filed, with the test module that judges it. `branch` is "" for one done in the main checkout."""

    title: str
    description: str
    difficulty: str
    complexity: str
    branch: str
    tests: str

    @property
    def result_branch(self) -> str:
        """Where its commits are to be."""
        return self.branch or MAIN


@dataclass(frozen=True, slots=True)
class Tested:
    """What a test module said: how many of its tests passed."""

    passed: int
    total: int

    @property
    def is_good(self) -> bool:
        return 0 < self.total == self.passed

    def __str__(self) -> str:
        return f"{self.passed} of {self.total}"


def assignments() -> list[Assignment]:
    """Return the three tasks, easiest first."""
    import yaml

    return [Assignment(**task) for task in yaml.safe_load((HERE / "tasks.yaml").read_text(encoding="utf-8"))]


def make_repository(path: Path) -> str:
    """Make the repository with its one commit, and return the commit's id."""
    for source in sorted((HERE / "repository").rglob("*")):
        if source.is_file() and source.suffix != ".pyc":
            target = path / source.relative_to(HERE / "repository")
            target = target.with_name(target.name.removesuffix(TEMPLATE))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    git_command.run(path, "init", "--quiet", "--template=", f"--initial-branch={MAIN}")
    for name, value in SETTINGS.items():
        git_command.run(path, "config", "--local", name, value)
    git_command.run(path, "add", "--all")
    git_command.run(path, "commit", "--quiet", "--message", "Begin tinybank")
    return git.head_commit(path)


def run_tests(directory: Path, module: str, environ: Mapping[str, str]) -> Tested:
    """Run one test module with this Python; one that does not even start counts as one failed test."""
    argv = [sys.executable, "-B", "-m", "unittest", module]
    done = process.capture(argv, timeout=TEST_SECONDS, cwd=directory, env=_without_python(environ))
    said = done.stderr.decode(errors="replace")
    ran = RAN.search(said)
    total = int(ran.group(1)) if ran else 1
    failed = FAILED.search(said)
    bad = sum(map(int, re.findall(r"(?:failures|errors)=(\d+)", failed.group(1)))) if failed else 0
    passed = total - bad
    return Tested(passed if done.exit_code == 0 or bad else 0, total)


def run_tests_of(repository: Path, branch: str, module: str, environ: Mapping[str, str]) -> Tested:
    """Run a test module on what is committed on a branch, in a copy that nobody else sees."""
    with tempfile.TemporaryDirectory(prefix="agent-runner-demo-") as name:
        export(repository, branch, Path(name) / "copy")
        return run_tests(Path(name) / "copy", module, environ)


def export(repository: Path, branch: str, target: Path) -> None:
    """Write out the files of a branch. Raises GitFailed when there is no such branch."""
    durable.make_directory(target)
    archive = target.with_suffix(".tar")
    git_command.run(repository, "archive", "--format=tar", f"--output={archive}", f"refs/heads/{branch}")
    try:
        with tarfile.open(archive) as files:
            files.extractall(target, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise RunnerError(f"branch {branch} of {repository} cannot be written out to {target}: {error}") from error


def commits_of(repository: Path, assignment: Assignment, first: str) -> list[git.Commit]:
    """Return the commits that a task added, newest first; none where its branch was never made."""
    base = MAIN if assignment.branch else first
    try:
        return git.commits_between(repository, base, assignment.result_branch)
    except GitFailed:
        return []


def _without_python(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the environment without what would make Python look elsewhere than in the repository."""
    return {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
