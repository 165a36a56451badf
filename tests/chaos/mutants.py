"""Plants known bugs in a copy of the checkout, one at a time, and tells which of them the suite catches.

    python -m tests.chaos.mutants [NAME...]

The bugs are those of mutants.toml, each with the tests that must fail of it. Those tests are run once without any
bug first: a test that fails anyway catches nothing. Exit code 0 when all were caught, 1 when one was missed or could
not be planted, 2 when the tests fail without a bug.
"""

from __future__ import annotations

import contextlib
import enum
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.descendants import end_all

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("mutants.toml")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".worktrees", ".*_cache", ".hypothesis", "__pycache__", "dist")
SECONDS = 600.0
TAIL = 3000


class Outcome(enum.StrEnum):
    """What became of a planted bug."""

    CAUGHT = "caught"
    MISSED = "MISSED"
    BROKEN = "BROKEN"
    """The tests could not be run at all: nothing was proven."""


OUTCOMES = {0: Outcome.MISSED, 1: Outcome.CAUGHT}
"""By pytest's exit codes; every other one is that of a run which tested nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """A text of a file that is replaced by another one; it occurs once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: the changes that plant it, and the tests that must fail of it (`only` chooses among them, as -k does)."""

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]
    only: str = ""


def table() -> list[Mutant]:
    """Return all bugs that can be planted."""
    rows = tomllib.loads(TABLE.read_text())["mutant"]
    return [
        Mutant(
            row["name"], tuple(Change(**change) for change in row["change"]), tuple(row["tests"]), row.get("only", "")
        )
        for row in rows
    ]


class Copy:
    """A copy of the checkout, as it is now, in which the tests can be run."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.root = place / "checkout"
        shutil.copytree(ROOT, self.root, ignore=LEFT_OUT, symlinks=True)
        self._touched = time.time()
        imported = self._python("-c", "import components; print(components.__file__)", cwd=place).stdout.strip()
        if not Path(imported).is_relative_to(self.root):
            raise SystemExit(f"the tests would be run with {imported}, not with the copy")

    @contextlib.contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """Plant a bug for a while. Raises ValueError where the code does not have the old text just once."""
        before = {change.file: (self.root / change.file).read_text() for change in mutant.changes}
        try:
            for change in mutant.changes:
                self._write(change.file, replaced((self.root / change.file).read_text(), change))
            yield
        finally:
            for file, text in before.items():
                self._write(file, text)

    def test(self, mutants: Iterable[Mutant]) -> tuple[int, str]:
        """Run the tests that some bugs name; return pytest's exit code, the worst there is, and what it said."""
        runs = dict.fromkeys((mutant.tests, mutant.only) for mutant in mutants)
        try:
            for tests, only in runs:
                ended = self._pytest(*tests, *(("-k", only) if only else ()))
                if ended.returncode:
                    return ended.returncode, ended.stdout
            return 0, "all tests passed"
        finally:
            end_all(self.place)

    def _pytest(self, *words: str) -> subprocess.CompletedProcess[str]:
        fixed = ("-x", "-p", "no:cacheprovider", "--basetemp", str(self.place / "tmp"))
        return self._python("-m", "pytest", *fixed, *words, cwd=self.root)

    def _python(self, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(self.root)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def _write(self, file: str, text: str) -> None:
        """Write a file with a time of its own, by which Python knows that its byte code is another one."""
        self._touched += 2
        (self.root / file).write_text(text)
        os.utime(self.root / file, (self._touched, self._touched))


def replaced(text: str, change: Change) -> str:
    """Return a text with the change made. Raises ValueError unless the old text occurs in it just once."""
    found = text.count(change.old)
    if found != 1:
        raise ValueError(f"{change.file} has {found} times {change.old!r}: correct mutants.toml")
    return text.replace(change.old, change.new)


def outcome_of(mutant: Mutant, copy: Copy) -> tuple[Outcome, str]:
    """Plant a bug, run its tests, and return what became of it with what the tests said."""
    try:
        with copy.planted(mutant):
            code, said = copy.test([mutant])
    except (ValueError, subprocess.TimeoutExpired) as error:
        return Outcome.BROKEN, str(error)
    return OUTCOMES.get(code, Outcome.BROKEN), said


def main(names: Sequence[str]) -> int:
    """Plant the bugs of these names, or all."""
    known = {mutant.name: mutant for mutant in table()}
    if unknown := set(names) - set(known):
        print(f"there is no {', '.join(sorted(unknown))}; there are:", *known, sep="\n  ")
        return 1
    chosen = [known[name] for name in names or known]
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        copy = Copy(Path(place))
        began = time.monotonic()
        code, said = copy.test(chosen)
        if code:
            print(said[-TAIL:], "The tests fail without a bug.", sep="\n")
            return 2
        print(f"{'passed':7} {time.monotonic() - began:6.1f} s  without a bug", flush=True)
        outcomes = [told(mutant, copy) for mutant in chosen]
    caught = outcomes.count(Outcome.CAUGHT)
    print(f"{caught} of {len(outcomes)} planted bugs were caught")
    return int(caught < len(outcomes))


def told(mutant: Mutant, copy: Copy) -> Outcome:
    """Plant a bug and print a line about it, with the words of the test that failed, or all that was said."""
    began = time.monotonic()
    outcome, said = outcome_of(mutant, copy)
    print(f"{outcome:7} {time.monotonic() - began:6.1f} s  {mutant.name}")
    if outcome is Outcome.CAUGHT:
        said = next((line[2:].strip() for line in said.splitlines() if line.startswith("E ")), said)
    print(textwrap.indent(said[-TAIL:], " " * 19), flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
