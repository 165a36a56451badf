"""What is over for good is looked at once, and nothing that lives is ever taken for it."""

from __future__ import annotations

import os
from pathlib import Path

from components import bygone, durable, overview

MANY = bygone.LEAST * 2


def make_runs(home: Path, count: int, *marks: str) -> list[Path]:
    """Make run directories that have begun, and whose lock is free."""
    runs = [home / "runs" / f"{number}-{number:08x}-1" for number in range(count)]
    for run in runs:
        run.mkdir(parents=True)
        for name in ("alive", *marks):
            (run / name).touch()
    return runs


def alive(home: Path) -> list[str]:
    """Return the names of the runs that live."""
    return [run.path.name for run in overview.living_runs(home)]


def test_what_is_over_is_asked_of_once(tmp_path: Path) -> None:
    make_runs(tmp_path, MANY)
    asked: list[str] = []

    def is_over(path: str) -> bool:
        asked.append(path)
        return not path.endswith("-00000007-1")

    assert bygone.others(tmp_path, "runs", is_over) == ["7-00000007-1"]
    assert len(asked) == MANY
    assert bygone.others(tmp_path, "runs", is_over) == ["7-00000007-1"]
    assert asked[MANY:] == [str(tmp_path / "runs" / "7-00000007-1")]


def test_a_list_is_not_written_for_a_few(tmp_path: Path) -> None:
    make_runs(tmp_path, bygone.LEAST - 1)
    assert bygone.others(tmp_path, "runs", lambda _: True) == []
    assert not (tmp_path / bygone.DIRECTORY).exists()


def test_a_list_forgets_what_is_gone(tmp_path: Path) -> None:
    gone = make_runs(tmp_path, MANY)[0]
    bygone.others(tmp_path, "runs", lambda _: True)
    assert gone.name in bygone.names(tmp_path, "runs")
    (gone / "alive").unlink()
    gone.rmdir()
    for number in range(MANY, MANY * 2):
        (tmp_path / "runs" / f"{number}-{number:08x}-1").mkdir()
    bygone.others(tmp_path, "runs", lambda _: True)
    assert len(bygone.names(tmp_path, "runs")) == 2 * MANY - 1
    assert gone.name not in bygone.names(tmp_path, "runs")


def test_a_list_that_cannot_be_written_costs_looks_only(tmp_path: Path) -> None:
    make_runs(tmp_path, MANY, "pids")
    (tmp_path / bygone.DIRECTORY).write_text("in the way")
    assert [*alive(tmp_path), *alive(tmp_path)] == []


def test_a_name_of_two_lines_is_never_taken_for_two_names(tmp_path: Path) -> None:
    make_runs(tmp_path, MANY)
    (tmp_path / "runs" / "a\n1-00000001-2").mkdir()
    bygone.others(tmp_path, "runs", lambda _: True)
    assert "1-00000001-2" not in bygone.names(tmp_path, "runs")


def test_a_living_run_is_found_among_those_that_are_over(tmp_path: Path) -> None:
    run = make_runs(tmp_path, MANY, "pids", "exit")[5]
    lock = durable.try_lock(run / "alive")
    assert lock is not None
    try:
        (run / "exit").write_text('{"state": "PENDING"}')
        assert alive(tmp_path) == alive(tmp_path) == [run.name]
        assert len(bygone.names(tmp_path, "runs")) == MANY - 1
    finally:
        os.close(lock)
    assert alive(tmp_path) == []


def test_a_run_that_has_not_begun_is_not_over(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, MANY)
    assert alive(tmp_path) == []
    lock = durable.try_lock(runs[3] / "alive")
    assert lock is not None
    try:
        assert alive(tmp_path) == [runs[3].name]
    finally:
        os.close(lock)
