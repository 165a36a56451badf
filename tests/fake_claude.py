"""The fake Claude CLI of `fakes/claude` for tests: a play is Python source, each life of it is in a ledger."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.runner import Runner

PROGRAM = Path(__file__).parent / "fakes" / "claude"
KEY = "sk-ant-made-up-for-this-test"
COMMENT = re.compile(r"\[agent-runner \w+/(\d+)\] (\w+): ")


class FakeClaude:
    """A play for the agents of one runner."""

    def __init__(self, runner: Runner, play: str) -> None:
        directory = runner.directory
        self.play_file = directory / "play.py"
        self.play_file.write_text(textwrap.dedent(play))
        self.ledger_file = directory / "claude-ledger"
        self.program = directory / "claude"
        if not self.program.exists():
            self.be(f'exec {sys.executable} {PROGRAM} "$@"')
        for name in ("AGENT_COMMAND", "HEADLESS_PM_EVIDENCE"):
            runner.env.pop(name, None)
        runner.env.update(
            HEADLESS_PM_CLAUDE_PATH=str(self.program),
            HEADLESS_PM_ENVIRONMENT="FAKE_CLAUDE,FAKE_CLAUDE_LEDGER,FAKE_CLAUDE_VERSION",
            FAKE_CLAUDE=str(self.play_file),
            FAKE_CLAUDE_LEDGER=str(self.ledger_file),
            CLAUDE_CONFIG_DIR=str(directory / "claude-config"),
            ANTHROPIC_API_KEY=KEY,
        )

    def be(self, script: str) -> None:
        """Be this shell script instead, which has to answer `--version` as well."""
        self.program.write_text(f"#!/bin/sh\n{script}\n")
        self.program.chmod(0o755)

    def ledger(self, event: str = "start") -> list[dict[str, Any]]:
        """Return the lines of one event, the oldest first: event, at (seconds since 1970), pid, argv, prompt."""
        if not self.ledger_file.exists():
            return []
        lines = [json.loads(line) for line in self.ledger_file.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    def is_whole(self) -> bool:
        """Whether no play was broken by a mistake of its own, which would look like an agent that failed."""
        return not self.ledger("broken")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task ended, as it can be seen from outside.

    `reason` is that of the last comment at the server, `reasons` are those of the attempts' receipts in order; `said`
    is what the runner printed.
    """

    status: str
    reason: str
    reasons: tuple[str, ...]
    notes: str
    said: str
    exit_code: int
    receipts: tuple[dict[str, Any], ...]


def see_through(one: Runner, task: dict[str, Any], *arguments: str, role: str = "backend_dev", **env: str) -> Ending:
    """Have a runner do one task that is the server's next, and return how it ended."""
    ran = one.run("--single-task", *arguments, role=role, **env)
    return ending(one, task, ran.stdout + ran.stderr, ran.returncode)


def ending(one: Runner, task: dict[str, Any], said: str, exit_code: int = 0) -> Ending:
    """Return how a task has ended, where the runner said this."""
    now = one.pm.api.look(task["id"])
    notes = now["notes"] or ""
    comments = COMMENT.findall(notes)
    runs = [run.path for run in one.runs() if run.name.startswith(f"{task['id']}-")]
    receipts = tuple(
        json.loads((path / "result.json").read_bytes()) for path in runs if (path / "result.json").exists()
    )
    return Ending(
        status=now["status"],
        reason=comments[-1][1] if comments else "",
        reasons=tuple(receipt["verdict"]["reason"] for receipt in receipts),
        notes=notes,
        said=said,
        exit_code=exit_code,
        receipts=receipts,
    )
