"""What a request to the Messages API tells of its conversation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DIRECTORY = re.compile(r"^\W*(?:primary )?working directory: (.+?)\s*$", re.IGNORECASE | re.MULTILINE)
REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
# The CLI puts these into a history that a signal cut; they are no answers of the model.
FILLER = "No response requested."
INTERRUPTED = re.compile(r"\A(\[Tool call interrupted|Exit code 137\b|\[Request interrupted)")


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request, as far as a script cares.

    `turn` is the number of answers the history has, so that it survives a resumed session. An answer whose tool calls
    were cut off by the agent's end is not counted: its turn is played again, as a careful model would look again.
    """

    model: str
    session: str
    stream: bool
    turn: int
    directory: str
    prompts: tuple[str, ...]
    tool_results: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """All that the user said so far."""
        return "\n".join(self.prompts)


def parse_conversation(body: Mapping[str, Any], session: str) -> Conversation:
    """Read the body of a request. Raises KeyError or TypeError for one that is none."""
    messages: list[dict[str, Any]] = list(body["messages"])
    users = [message for message in messages if message["role"] == "user"]
    return Conversation(
        model=str(body["model"]),
        session=session,
        stream=bool(body.get("stream")),
        turn=_turns_taken(messages),
        directory=_directory(body, messages),
        prompts=tuple(text for message in users for text in _prompts(message)),
        tool_results=tuple(_tool_results(users[-1])) if users else (),
    )


def _turns_taken(messages: list[dict[str, Any]]) -> int:
    taken, repeatable = 0, False
    for message in messages:
        if message["role"] == "assistant":
            repeatable = list(_texts(message)) != [FILLER]
            taken += repeatable
        elif repeatable and any(INTERRUPTED.match(result) for result in _tool_results(message)):
            taken, repeatable = taken - 1, False
    return taken


def _directory(body: Mapping[str, Any], messages: list[dict[str, Any]]) -> str:
    """Return where the agent works: the last word of the CLI on it, never of the prompt."""
    spoken = [*_texts({"content": body.get("system", "")})]
    for message in messages:
        texts = list(_texts(message))
        if message["role"] == "system":
            spoken += texts
        elif message["role"] == "user":
            spoken += [found.group() for text in texts for found in REMINDER.finditer(text)]
    found_all = [found.group(1) for text in spoken for found in DIRECTORY.finditer(text)]
    return found_all[-1] if found_all else ""


def _prompts(message: Mapping[str, Any]) -> Iterator[str]:
    for text in _texts(message):
        said = REMINDER.sub("", text).strip()
        if said:
            yield said


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    content = message["content"]
    if isinstance(content, str):
        yield content
        return
    for block in content:
        if block.get("type") == "text":
            yield block["text"]


def _tool_results(message: Mapping[str, Any]) -> Iterator[str]:
    content = message["content"]
    for block in () if isinstance(content, str) else content:
        if block.get("type") == "tool_result":
            yield "\n".join(_texts({"content": block.get("content", "")}))
