"""Which files outside of its directory a Claude CLI wrote by its tools; what its shell commands write is not told."""

from __future__ import annotations

import os.path

from components.claude_messages import Message, mapping, mappings, name, text

PATHS = {"Write": "file_path", "Edit": "file_path", "MultiEdit": "file_path", "NotebookEdit": "notebook_path"}
"""The tools that write files, and which part of what they are given names the file."""
MOST = 100
"""How many files, and calls without a result, are remembered: the first ones."""


class ClaudeWrites:
    """Takes calls and their results in order; a call that was refused, or that has no result, wrote nothing."""

    def __init__(self) -> None:
        self.is_waiting = False
        self._directory = ""
        self._begun: dict[str, str] = {}
        self._written: dict[str, None] = {}

    @property
    def files(self) -> tuple[str, ...]:
        """The absolute paths of what was written outside."""
        return tuple(self._written)

    def begin(self, directory: str) -> None:
        """Take the directory that the CLI works in; until it is told nothing is known to be outside of it."""
        self._directory = directory

    def call(self, call: str, tool: str, given: object) -> None:
        """Take a call of one of the tools of PATHS."""
        path = text(mapping(given).get(PATHS[tool]))
        if not path or not self._directory or len(self._begun) >= MOST:
            return
        path = os.path.normpath(os.path.join(self._directory, path))  # noqa: PTH118 - the file system is not looked at
        if not path.startswith(self._directory.rstrip("/") + "/"):
            self._begun[call] = path
            self.is_waiting = True

    def finish(self, message: Message) -> None:
        """Take the results that a message holds."""
        for block in mappings(mapping(message.get("message")).get("content")):
            path = self._begun.pop(name(block.get("tool_use_id")), "")
            if path and block.get("is_error") is not True and len(self._written) < MOST:
                self._written[path] = None
        self.is_waiting = bool(self._begun)
