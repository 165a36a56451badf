"""How fast an agent's output is understood, and in how much memory.

Run: `.venv/bin/python -m benchmarks.stream_parsing`. MB/s are of one core's CPU time; memory is how much the process
has grown at its peak over all of it.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from components.executors.claude import ClaudeExecutor
from components.hearing import Hearing

MEGABYTES = 300
SESSION = {"session_id": "5ca1ab1e-0000-4000-8000-000000000000", "uuid": "0b5e55ed-0000-4000-8000-000000000000"}
USAGE = {"input_tokens": 1000, "cache_creation_input_tokens": 500, "cache_read_input_tokens": 0, "output_tokens": 1}


def line(**fields: object) -> bytes:
    """Return a message as the CLI writes it."""
    return json.dumps({**fields, **SESSION}, separators=(",", ":")).encode()


def answer(number: int, block: dict[str, Any]) -> bytes:
    """Return one block of an answer of the model."""
    body: dict[str, Any] = {
        "id": f"msg_{number:024}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
    }
    body |= {"content": [block], "stop_reason": None, "stop_sequence": None, "usage": USAGE}
    return line(type="assistant", message=body, parent_tool_use_id=None, request_id="req_1822450f2c53402f84cd")


def tool_result(number: int, text: str) -> bytes:
    """Return a tool's result, which the CLI tells twice: for the model, and by its parts."""
    block = {"tool_use_id": f"toolu_{number}", "type": "tool_result", "content": text, "is_error": False}
    told = {"stdout": text, "stderr": "", "interrupted": False}
    return line(type="user", message={"role": "user", "content": [block]}, tool_use_result=told)


def small_lines() -> Iterator[bytes]:
    """Yield turns of four messages, 0.3 to 0.9 kB each: a thought, a text, a tool call and its result."""
    for number in range(2000):
        yield answer(number, {"type": "thinking", "thinking": "Which file is it? " * 8, "signature": "x" * 120})
        yield answer(number, {"type": "text", "text": "Now I look at the next file. " * 8})
        call = {"type": "tool_use", "id": f"toolu_{number}", "name": "Bash", "input": {"command": "cat a.py"}}
        yield answer(number, call)
        yield tool_result(number, "def main() -> None:\n    pass\n" * 6)


def tiny_answers() -> Iterator[bytes]:
    """Yield answers of one short text each: far shorter than the CLI's, which are 0.5 kB and more."""
    for number in range(20_000):
        body: dict[str, Any] = {"id": f"msg_{number:020}", "role": "assistant", "model": "claude-sonnet-5-5"}
        body["content"] = [{"type": "text", "text": "Hello there."}]
        body["usage"] = {"input_tokens": 1000 + number, "output_tokens": 1}
        fields = {"type": "assistant", "message": body, "parent_tool_use_id": None, "session_id": "s-1"}
        yield json.dumps(fields, separators=(",", ":")).encode()


def answers_of_a_sub_agent() -> Iterator[bytes]:
    """Yield answers that an agent gave which ours has asked."""
    yield from (one.replace(b'"parent_tool_use_id":null', b'"parent_tool_use_id":"toolu_1"') for one in small_lines())


def answers_with_the_type_last() -> Iterator[bytes]:
    """Yield the same messages with their keys in another order."""
    for one in small_lines():
        yield json.dumps(dict(reversed(json.loads(one).items())), separators=(",", ":")).encode()


def pieces() -> Iterator[bytes]:
    """Yield what the CLI prints for every few letters of an answer when it is asked for partial messages."""
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a few letters"}}
    yield from (line(type="stream_event", event=delta, parent_tool_use_id=None) for _ in range(2000))


def large_lines() -> Iterator[bytes]:
    """Yield tool results of 10 MB and a call before each, so that their ends are looked for."""
    for number in range(3):
        yield answer(number, {"type": "tool_use", "id": f"toolu_{number}", "name": "Read", "input": {}})
        yield tool_result(number, 'x = "quoted"\n' * 330_000)


def noise() -> Iterator[bytes]:
    """Yield what is no message: bytes of all kinds, and texts that look like messages."""
    random = os.urandom(4_000_000).split(b"\n")
    yield from (*random, *([b'{"type":"result","is_error":fal', b"Warning: something", b'["result"]'] * 500))


def heard_from_a_file(name: str, lines: Iterable[bytes]) -> None:
    """Let a run's output be heard as a runner does, where it is more than one look hears, and print how fast it was."""
    block = b"".join(one + b"\n" for one in lines)
    times = max(1, MEGABYTES * 1_000_000 // len(block))
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "out")
        with out.open("wb") as file:
            for _ in range(times):
                file.write(block)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        hearing = Hearing(out, ClaudeExecutor("claude").listener())
        while hearing.look():
            pass
        seconds = time.process_time() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{name}: {times * len(block) / 1e6 / seconds:,.0f} MB/s, memory grown by {grown:.1f} MB")


def measure(name: str, lines: Iterable[bytes]) -> None:
    """Let a listener hear the lines again and again, and print how fast it did."""
    kept = list(lines)
    size = sum(map(len, kept)) + len(kept)
    listener = ClaudeExecutor("claude").listener()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    for heard in itertools.chain.from_iterable(itertools.repeat(kept, max(1, MEGABYTES * 1_000_000 // size))):
        listener.hear(heard)
    seconds = time.process_time() - started
    heard_megabytes = size * max(1, MEGABYTES * 1_000_000 // size) / 1e6
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{name}: {heard_megabytes / seconds:,.0f} MB/s, memory grown by {grown:.1f} MB")


def main() -> None:
    """Measure all kinds of output."""
    measure("small lines (0.3 to 0.9 kB)", small_lines())
    measure("tiny answers (0.26 kB), each with an id of its own", tiny_answers())
    measure("small lines of a sub-agent", answers_of_a_sub_agent())
    measure("small lines with their type last", answers_with_the_type_last())
    measure("pieces of messages (0.3 kB)", pieces())
    measure("tool results of 10 MB", large_lines())
    measure("binary noise", noise())
    heard_from_a_file("lines of 19 bytes that are no messages, from a file", [b"building 123456 ok"] * 50_000)
    heard_from_a_file("small lines (0.3 to 0.9 kB), from a file", small_lines())


if __name__ == "__main__":
    main()
