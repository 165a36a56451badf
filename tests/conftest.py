"""What all tests share: a clean environment, and nothing left running."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

pytest.register_assert_rewrite("tests.chaos.judge")

# Where the tests themselves were started in the background, what they start would have Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
# On a busy machine it tells only that the machine is busy.
hypothesis.settings.register_profile("ours", suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("ours")

OURS = ("HEADLESS_PM_", "API_KEY", "AGENT_COMMAND", "AGENT_RUNNER_", "ANTHROPIC_", "CLAUDE_")


def pytest_xdist_auto_num_workers() -> int:
    """Use three workers a core: much of the time a test waits for processes, disks and deadlines."""
    return 3 * (os.cpu_count() or 1)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the developer's reaches a test; every test has a home of its own."""
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    home = tmp_path / "user-home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    person = "[user]\n\tname = A Tester\n\temail = tester@example.invalid\n"
    (home / ".gitconfig").write_text(f"{person}[maintenance]\n\tauto = false\n")  # a process more for every commit
