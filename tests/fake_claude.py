"""The fake Claude CLI of `fakes/claude` for tests: a play is Python source, each life of it is in a ledger."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from tests.runner import Runner

PROGRAM = Path(__file__).parent / "fakes" / "claude"


class FakeClaude:
    """A play for the agents of one runner."""

    def __init__(self, runner: Runner, play: str) -> None:
        directory = runner.directory
        self.play_file = directory / "play.py"
        self.play_file.write_text(textwrap.dedent(play))
        self.ledger_file = directory / "claude-ledger"
        program = directory / "claude"
        if not program.exists():
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAM} "$@"\n')
            program.chmod(0o755)
        runner.env.pop("AGENT_COMMAND", None)
        runner.env.update(
            HEADLESS_PM_CLAUDE_PATH=str(program),
            HEADLESS_PM_ENVIRONMENT="FAKE_CLAUDE,FAKE_CLAUDE_LEDGER,FAKE_CLAUDE_VERSION",
            FAKE_CLAUDE=str(self.play_file),
            FAKE_CLAUDE_LEDGER=str(self.ledger_file),
            CLAUDE_CONFIG_DIR=str(directory / "claude-config"),
            ANTHROPIC_API_KEY="sk-ant-made-up-for-this-test",
        )

    def ledger(self, event: str = "start") -> list[dict[str, Any]]:
        """Return the lines of one event, the oldest first: event, at (seconds since 1970), pid, argv, prompt."""
        if not self.ledger_file.exists():
            return []
        lines = [json.loads(line) for line in self.ledger_file.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]
