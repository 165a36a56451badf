"""Any program as an agent (AGENT_COMMAND): the prompt on standard input, the exit code as the result."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from components.model import BY_EXIT_CODE, AgentResult, AgentRun, Command, ExitRecord, Progress, Usage

LAST_WORDS = 4000
ERROR_PAGE = re.compile(r"<(?:!doctype html|html|\?xml)\b", re.IGNORECASE)
"""What a proxy says in the place of a service; no agent ends its work with a page."""
NOT_FOUND = 127


class CommandExecutor:
    """Speaks to a program that knows nothing of us: exit code 0 means that it did the task."""

    name = "command"
    resumes_by = ""

    def __init__(self, argv: tuple[str, ...]) -> None:
        self._argv = argv

    def command(self, run: AgentRun) -> Command:
        """Return the program's argv; model, session and attempt reach it as environment variables."""
        return Command(
            argv=self._argv,
            stdin=run.prompt,
            env={"AGENT_RUNNER_MODEL": run.model, "AGENT_RUNNER_SESSION_ID": run.session_id},
        )

    def listener(self) -> LastWords:
        """Return somebody who keeps the last lines that it prints."""
        return LastWords()

    def usage(self, transcript: Iterable[bytes]) -> Usage:
        """Return nothing: a program that knows nothing of us tells no cost."""
        del transcript
        return Usage()


class LastWords:
    """Hears any program: what it printed last is what it said, and its exit code is whether it did the task."""

    def __init__(self) -> None:
        self._text = b""
        self._lines = 0

    def hear(self, line: bytes) -> None:
        """Keep the line, and forget what is too long ago."""
        self._text = (self._text + line[-LAST_WORDS:] + b"\n")[-LAST_WORDS:]
        self._lines += 1

    def hear_many(self, lines: bytes) -> None:
        """Take lines, each after a newline."""
        self._text = (self._text + lines[-LAST_WORDS - 1 :][1:] + b"\n")[-LAST_WORDS:]
        self._lines += lines.count(b"\n")

    def progress(self) -> Progress:
        """Return how much it has said; every line shows life."""
        return Progress(messages=self._lines, last_text=self._said())

    def result(self, exit_record: ExitRecord | None) -> AgentResult | None:
        """Return the exit code as a result, with the last lines it printed.

        None when nobody saw the exit code, for 127 (there the program could not be started at all), and for one that
        was made to end: how it takes that says nothing of the task.
        """
        if exit_record is None or exit_record.why is not None or exit_record.exit_code in (None, NOT_FOUND):
            return None
        has_failed = exit_record.exit_code != 0 or ERROR_PAGE.match(self._said()) is not None
        return AgentResult(is_error=has_failed, text=self._said(), subtype=BY_EXIT_CODE)

    def _said(self) -> str:
        return self._text.decode(errors="replace").strip()


def make(settings: Mapping[str, Any]) -> CommandExecutor:
    """Make the executor from `agent_command`."""
    return CommandExecutor(tuple(settings["agent_command"]))
