"""Which versions of the Claude CLI this runner was tested with."""

from __future__ import annotations

import re

TESTED_FROM = "2.1.197"
TESTED_TO = "2.1.330"
"""The oldest and the newest version that the contract tests were run with; what lies between is taken to be fine."""

NUMBERS = re.compile(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?![\d.])(-?)")
UPDATE = "claude update"
PIN = f"if it misbehaves: npm install -g @anthropic-ai/claude-code@{TESTED_TO}, and name it by HEADLESS_PM_CLAUDE_PATH"


def doubt(version: str) -> tuple[str, str]:
    """Return how a version differs from those tested, and what to do about it; two empty texts for a tested one."""
    numbers = _numbers(version)
    if numbers is None:
        return f"of a version that cannot be compared with {TESTED_TO}, the newest tested", PIN
    if numbers < (_numbers(TESTED_FROM) or ()):
        return f"older than {TESTED_FROM}, the oldest tested", UPDATE
    if numbers > (_numbers(TESTED_TO) or ()):
        return f"newer than {TESTED_TO}, the newest tested", PIN
    return "", ""


def _numbers(version: str) -> tuple[int, ...] | None:
    """Return a version as numbers that compare; one before a release (2.2.0-beta) is less than the release."""
    found = NUMBERS.match(version.strip())
    if found is None:
        return None
    return (*(int(part or 0) for part in found.groups()[:3]), 0 if found[4] else 1)
