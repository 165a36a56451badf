"""What the scripted model plays: turns of text, tool calls, faults, chosen by the prompt.

A file of scripts (YAML or JSON) is a list; the first whose `when` is found in the prompt is played:

    - name: greeting
      when: "say hello"                  # a regular expression; without it the script fits any prompt
      turns:
        - text: I will write it.         # a turn has text, tool calls or both
          sleep: 0.5                     # seconds before the answer
          tools:
            - Write: {file_path: "{cwd}/hello.txt", content: "hi\\n"}
            - Bash: cat hello.txt        # text instead of a mapping is Bash's command
        - Bash: git add hello.txt        # a tool's name as the key is one tool call
        - fault: {name: 529, times: 1}   # see `Fault`; after `times` requests the rest of the turn is played
          text: There it is.
        - Done.                          # text alone

`{cwd}`, `{session}` and `{model}` are replaced in texts and inputs. A prompt may carry its script within itself,
between `<<SCRIPT` and `SCRIPT>>`: either the list of turns or a mapping with `turns`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.errors import ConfigError

INLINE = re.compile(r"<<SCRIPT\b(.*?)SCRIPT>>", re.DOTALL)
HTTP_FAULTS = frozenset({"400", "401", "403", "404", "413", "429", "500", "502", "529"})
STREAM_FAULTS = frozenset({"slow", "cut", "malformed"})
FAULTS = HTTP_FAULTS | STREAM_FAULTS | {"credit", "hang"}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong at the Messages API instead of (or while) answering.

    `name` is an HTTP status, `credit` (400, balance too low), `hang` (no answer for `seconds`, then the connection is
    closed), `slow` (`seconds` between two pieces of the stream), `cut` (closed in the middle of the stream) or
    `malformed` (events that are no JSON). The last three only touch streamed answers, as the real API's do.
    `times` is how many requests of the turn meet it; None is all. `retry_after` is the header's value in seconds;
    `headers` are further ones of an answer that is an error, such as `anthropic-ratelimit-unified-reset`.
    """

    name: str
    times: int | None = None
    seconds: float = 3600.0
    retry_after: float | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model asks for; the names are those of the Claude CLI: Bash, Read, Write, Edit."""

    name: str
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the model. `sleep` is seconds before it; token counts of None are made up from the sizes."""

    text: str = ""
    tools: tuple[ToolCall, ...] = ()
    sleep: float = 0.0
    fault: Fault | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """The turns of one conversation, for prompts in which `when` is found."""

    turns: tuple[Turn, ...]
    when: str = ""
    name: str = ""


NO_SCRIPT = Turn(text="I am a scripted model, and no script fits this prompt. I did nothing.")
NO_TURN = Turn(text="The script has no further turn. I did nothing more.")
TURN_KEYS = {"text": str, "sleep": (int, float), "input_tokens": int, "output_tokens": int}


@dataclass(frozen=True, slots=True)
class Repertoire:
    """All scripts of one model."""

    scripts: Sequence[Script] = field(default=())

    def choose(self, prompt: str) -> Script | None:
        """Return the script inside the prompt, or else the first whose `when` is found in it.

        Raises ConfigError when the script inside the prompt cannot be read.
        """
        inline = INLINE.search(prompt)
        if inline:
            return parse_script(_yaml(textwrap.dedent(inline.group(1))), "inline")
        return next((script for script in self.scripts if re.search(script.when, prompt, re.IGNORECASE)), None)

    def turn(self, prompt: str, number: int) -> tuple[str, Turn]:
        """Return the script's name with the turn of that number, counted from 0."""
        script = self.choose(prompt)
        if script is None:
            return "", NO_SCRIPT
        return script.name, script.turns[number] if number < len(script.turns) else NO_TURN


def load_scripts(path: Path) -> tuple[Script, ...]:
    """Read a file of scripts. Raises ConfigError, naming the file and the place, when it has a mistake."""
    try:
        return parse_scripts(_yaml(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(
            f"The file of scripts {path} cannot be read: {error.strerror}; name one that exists"
        ) from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_scripts(data: object) -> tuple[Script, ...]:
    """Turn the list of a file of scripts into values. Raises ConfigError."""
    if not isinstance(data, list):
        raise ConfigError(f"Scripts must be a list of mappings with `when` and `turns`, not {type(data).__name__}")
    return tuple(parse_script(one, f"script {number}") for number, one in enumerate(data, 1))


def parse_script(data: object, name: str) -> Script:
    """Turn one script, or a bare list of turns, into a value. Raises ConfigError."""
    if isinstance(data, list):
        data = {"turns": data}
    if not isinstance(data, dict) or not isinstance(data.get("turns"), list):
        raise ConfigError(f"{name} must be a list of turns or a mapping with `turns`")
    _refuse_unknown(data, {"turns", "when", "name"}, name)
    when = str(data.get("when", ""))
    try:
        re.compile(when)
    except re.error as error:
        raise ConfigError(f"{name}: `when` is {when!r}, which is no regular expression: {error}") from error
    turns = (parse_turn(turn, f"{name}, turn {number}") for number, turn in enumerate(data["turns"]))
    return Script(turns=tuple(turns), when=when, name=str(data.get("name", name)))


def parse_turn(data: object, place: str) -> Turn:
    """Turn one item of `turns` into a value. Raises ConfigError."""
    if isinstance(data, str):
        return Turn(text=data)
    if not isinstance(data, dict):
        raise ConfigError(f"{place} must be text or a mapping, not {type(data).__name__}")
    plain = {key: data[key] for key in TURN_KEYS if key in data}
    for key, value in plain.items():
        if not isinstance(value, TURN_KEYS[key]):  # type: ignore[arg-type]
            raise ConfigError(f"{place}: `{key}` is {value!r}, which has the wrong type")
    named = [{key: data[key]} for key in data if key[:1].isupper()]
    _refuse_unknown(data, {*TURN_KEYS, "tools", "fault", *(key for call in named for key in call)}, place)
    calls = [*data.get("tools", ()), *named]
    return Turn(
        tools=tuple(_parse_call(call, place) for call in calls), fault=_parse_fault(data.get("fault"), place), **plain
    )


def _parse_call(data: object, place: str) -> ToolCall:
    if not isinstance(data, dict) or len(data) != 1:
        raise ConfigError(f"{place}: a tool call is one mapping such as {{Bash: 'ls'}}, not {data!r}")
    (name, given), *_ = data.items()
    if isinstance(given, str) and name == "Bash":
        given = {"command": given, "description": given.splitlines()[0][:60] if given else ""}
    if not isinstance(given, dict):
        raise ConfigError(f"{place}: the input of {name} is {given!r}; write a mapping")
    return ToolCall(str(name), given)


def _parse_fault(data: object, place: str) -> Fault | None:
    if data is None:
        return None
    given = data if isinstance(data, dict) else {"name": data}
    _refuse_unknown(given, {"name", "times", "seconds", "retry_after", "headers"}, f"{place}, fault")
    name = str(given.get("name"))
    if name not in FAULTS:
        raise ConfigError(f"{place}: the fault is {name!r}; choose one of {', '.join(sorted(FAULTS))}")
    return Fault(**{**given, "name": name})


def _refuse_unknown(data: Mapping[Any, Any], known: set[str], place: str) -> None:
    unknown = sorted(str(key) for key in data if key not in known)
    if unknown:
        raise ConfigError(f"{place}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")


def _yaml(text: str) -> object:
    """Read YAML, of which JSON is a part."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"The script is neither YAML nor JSON: {' '.join(str(error).split())}") from error
