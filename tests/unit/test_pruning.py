"""What may go is found by names, ages and receipts, however much there is."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from components import pruning, remains
from components.pruning import Rule

DAY = 86_400.0


def left(home: Path, number: int, *, reason: str = "succeeded", days: float = 40, out: bytes = b"said\n") -> Path:
    """Leave the run of an execution that ended so many days ago."""
    run = home / "runs" / f"{number}-{number:08x}-1"
    run.mkdir(parents=True)
    (run / "result.json").write_text(json.dumps({"verdict": {"reason": reason, "detail": ""}}))
    (run / "out").write_bytes(out)
    (run / "alive").touch()
    at = time.time() - days * DAY
    os.utime(run, (at, at))
    return run


def test_a_plan_without_a_history_looks_at_each_receipt_once(tmp_path: Path) -> None:
    """Regression: each receipt was found by listing all runs, so that a few thousand successes took minutes."""
    for number in range(2000):
        left(tmp_path, number)
    before = time.process_time()

    planned = pruning.plan(tmp_path, Rule(30.0), None)

    assert len(planned.going) == 2000
    assert time.process_time() - before < 1.5


def test_of_many_the_sizes_are_estimated_and_a_large_one_is_not_missed(tmp_path: Path) -> None:
    many = remains.MEASURED + 1
    for number in range(many):
        left(tmp_path, number, out=b"x" * (8 << 20 if number == many // 3 else 5000), days=40 + number / 1000)

    planned = pruning.plan(tmp_path, Rule(30.0), None)

    exact = sum(remains.measured(one).size for one in planned.going)
    assert not planned.is_exact
    assert planned.size == pytest.approx(exact, rel=0.1)
    assert exact > 8 << 20


def test_of_few_the_sizes_are_measured(tmp_path: Path) -> None:
    left(tmp_path, 1, out=b"x" * 100_000)

    planned = pruning.plan(tmp_path, Rule(30.0), None)

    assert planned.is_exact
    assert planned.size >= 100_000


def test_what_is_deleted_is_told_as_it_was_measured(tmp_path: Path) -> None:
    for number in range(remains.MEASURED + 1):
        left(tmp_path, number)
    planned = pruning.plan(tmp_path, Rule(30.0), None)
    exact = sum(remains.measured(one).size for one in planned.going)

    gone = pruning.carry_out(tmp_path, planned)

    assert sum(one.size for one in gone) == exact
    assert not any((tmp_path / "runs").iterdir())


def test_what_only_its_protection_keeps_is_counted(tmp_path: Path) -> None:
    left(tmp_path, 1, reason="agent_failed")
    left(tmp_path, 2, reason="agent_failed", days=1)
    left(tmp_path, 3)

    planned = pruning.plan(tmp_path, Rule(30.0), None)

    assert [one.short_id for one in planned.going] == ["00000003"]
    assert (planned.staying, planned.protected) == (2, 1)
