"""Versions of the Claude CLI beside those that were tested."""

from __future__ import annotations

import pytest

from components.claude_version import TESTED_FROM, TESTED_TO, doubt


@pytest.mark.parametrize(
    "version", [TESTED_FROM, TESTED_TO, "2.1.300", "v2.1.300", "2.1.329-beta.1", "2.1.330+build.5"]
)
def test_of_a_tested_version_nothing_is_said(version: str) -> None:
    assert doubt(version) == ("", "")


@pytest.mark.parametrize("version", ["2.1.196", "2.0.999", "1.9.400", "0", "2.1.197-beta", "2.1"])
def test_an_older_version_is_to_be_updated(version: str) -> None:
    difference, remedy = doubt(version)

    assert difference == f"older than {TESTED_FROM}, the oldest tested"
    assert remedy == "claude update"


@pytest.mark.parametrize("version", ["2.1.331", "2.2.0-beta.1", "3", "10.0.0", "999999999.0.0"])
def test_a_newer_version_may_be_gone_back_from(version: str) -> None:
    difference, remedy = doubt(version)

    assert difference == f"newer than {TESTED_TO}, the newest tested"
    assert TESTED_TO in remedy


@pytest.mark.parametrize("version", ["", "next", "2.1.330.4", "\x00", "9" * 100_000, "two.one", "-1"])
def test_a_version_of_another_kind_is_survived(version: str) -> None:
    difference, remedy = doubt(version)

    assert "cannot be compared" in difference
    assert remedy
