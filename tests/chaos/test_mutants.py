"""The planted bugs: each can still be planted, each names tests that exist, and a catch is a catch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import mutants
from tests.chaos.mutants import ROOT, Change, Copy, Mutant, Outcome, outcome_of, replaced

MUTANTS = mutants.table()
CHEAP = "unknown end taken for success"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_every_bug_can_be_planted_in_the_code_as_it_is(mutant: Mutant) -> None:
    texts = {change.file: (ROOT / change.file).read_text() for change in mutant.changes}

    for change in mutant.changes:
        texts[change.file] = replaced(texts[change.file], change)

    for file, text in texts.items():
        compile(text, file, "exec")


def test_every_bug_names_tests_that_exist() -> None:
    named = sorted({test for mutant in MUTANTS for test in mutant.tests})

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", *named],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_names_differ() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_planted_bug_is_caught_one_that_is_none_is_missed_and_tests_that_cannot_run_prove_nothing(
    tmp_path: Path,
) -> None:
    copy = Copy(tmp_path)
    bug = next(mutant for mutant in MUTANTS if mutant.name == CHEAP)
    harmless = Change(bug.changes[0].file, "What is unknown is never a success.", "What is unknown is no success.")
    broken = Change(bug.changes[0].file, bug.changes[0].old, "    if record is\n")
    absent = Change(bug.changes[0].file, "no such text", "")

    outcomes = [outcome_of(Mutant("", (change,), bug.tests), copy)[0] for change in (harmless, broken, absent)]

    assert outcomes == [Outcome.MISSED, Outcome.BROKEN, Outcome.BROKEN]
    assert copy.test([bug])[0] == 0, "the copy is as it was"
    assert outcome_of(bug, copy)[0] is Outcome.CAUGHT


def test_the_program_tells_what_was_caught_and_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutants.main([CHEAP]) == 0
    assert "1 of 1 planted bugs were caught" in capsys.readouterr().out

    assert mutants.main(["no such bug"]) == 1
    assert CHEAP in capsys.readouterr().out
