"""Any program as an agent (AGENT_COMMAND): the prompt on standard input, the exit code as the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from components.model import AgentResult, AgentRun, Command, ExitRecord

LAST_WORDS = 4000
NOT_FOUND = 127


class CommandExecutor:
    """Speaks to a program that knows nothing of us: exit code 0 means that it did the task."""

    name = "command"

    def __init__(self, argv: tuple[str, ...]) -> None:
        self._argv = argv

    def command(self, run: AgentRun) -> Command:
        """Return the program's argv; model, session and attempt reach it as environment variables."""
        return Command(
            argv=self._argv,
            stdin=run.prompt,
            env={"AGENT_RUNNER_MODEL": run.model, "AGENT_RUNNER_SESSION_ID": run.session_id},
        )

    def result(self, lines: Iterable[bytes], exit_record: ExitRecord | None) -> AgentResult | None:
        """Return the exit code as a result, with the last lines it printed.

        None when nobody saw the exit code, and for 127: there the program could not be started at all.
        """
        if exit_record is None or exit_record.exit_code in (None, NOT_FOUND):
            return None
        text = b""
        for line in lines:
            text = (text + line + b"\n")[-LAST_WORDS:]
        return AgentResult(is_error=exit_record.exit_code != 0, text=text.decode(errors="replace").strip())


def make(settings: Mapping[str, Any]) -> CommandExecutor:
    """Make the executor from `agent_command`."""
    return CommandExecutor(tuple(settings["agent_command"]))
