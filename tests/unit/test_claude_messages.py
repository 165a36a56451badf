"""A line of the Claude CLI means what Python's `json` makes of it, whatever is done to the line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components import claude_messages
from components.claude_stream import ClaudeListener

SAMPLES = Path(__file__).parent.parent / "samples" / "claude"
USAGE = {"input_tokens": 1000, "cache_creation_input_tokens": 500, "output_tokens": 3}
PIECES = [bytes([byte]) for byte in b'"\\{}[],: \n\0\xff\xc30-e1nx\t'] + [
    *(
        b"null",
        b"[]",
        b"{}",
        b"NaN",
        b"Infinity",
        b"1e400",
        b"\\ud800",
        b"\\u0069",
        b'"id":"msg_9",',
        b'"type":"user",',
    ),
    *(b'"x":01,', b'"x":1e3,', b'"x":"\\x",', b'"x":"\xff",', b'"x":"\\ud800",', b'"message":null,', b'"usage":{},'),
]


def answer(number: int, block: dict[str, object], **around: object) -> bytes:
    body = {"id": f"msg_{number}", "role": "assistant", "model": "claude-sonnet-5-5", "content": [block]}
    fields = {"type": "assistant", "message": {**body, "usage": USAGE}, "parent_tool_use_id": None, **around}
    return json.dumps(fields, separators=(",", ":")).encode()


ANSWERS = [
    answer(1, {"type": "thinking", "thinking": "Which?", "signature": "x"}),
    answer(1, {"type": "text", "text": 'I say "so" \u00e9\ud800\n'}, session_id="s-1"),
    answer(2, {"type": "tool_use", "id": "toolu_2", "name": "Edit", "input": {"edits": [{"old": "a"}]}}),
    answer(3, {"type": "text", "text": "Mine."}, parent_tool_use_id="toolu_2"),
    *(line for path in sorted(SAMPLES.glob("*.jsonl")) for line in path.read_bytes().splitlines()),
]


def by_json(line: bytes) -> dict[str, object]:
    try:
        message = json.loads(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a line that the CLI might print, after something was done to it."""
    line = draw(st.sampled_from(ANSWERS))
    for _ in range(draw(st.integers(0, 3))):
        at, end = sorted((draw(st.integers(0, len(line))), draw(st.integers(0, len(line)))))
        line = line[:at] + draw(st.sampled_from(PIECES)) + line[draw(st.sampled_from([at, at + 1, end])) :]
    return line


@settings(max_examples=300, deadline=None)
@given(mutated())
@example(b'{"a":NaN,"b":-Infinity}')
@example(b'{"a":"\\ud83d"}')
@example(b'{"a":"\xff"}')
@example(b'{"a":1,"a":2}')
@example(b'\xef\xbb\xbf{"a":1}')
def test_a_line_means_what_json_makes_of_it(line: bytes) -> None:
    assert repr(claude_messages.parse(line)) == repr(by_json(line))  # NaN is not itself


@pytest.mark.parametrize("number", ["9007199254740993", "123456789012345678901234567890", "1e400", "-1", "true", '"7"'])
def test_a_number_of_tokens_that_cannot_be_counts_as_none(number: str) -> None:
    message = claude_messages.parse(b'{"tokens":%s}' % number.encode())

    assert claude_messages.count(message["tokens"]) == 0


@pytest.mark.parametrize("depth", [900, 1_100, 100_000])
def test_a_line_that_is_nested_without_end_is_no_message_or_the_one_it_is(depth: int) -> None:
    line = b'{"a":' + b"[" * depth + b"]" * depth + b"}"

    assert claude_messages.parse(line) in ({}, by_json(line))


def test_the_order_of_keys_changes_nothing() -> None:
    def heard(lines: list[bytes]) -> object:
        listener = ClaudeListener()
        for line in lines:
            listener.hear(line)
        return listener.progress()

    turned = [json.dumps(dict(reversed(by_json(line).items())), separators=(",", ":")).encode() for line in ANSWERS[:4]]

    assert heard(turned) == heard(ANSWERS[:4])


def test_a_thought_after_a_text_leaves_the_text_the_last() -> None:
    listener = ClaudeListener()
    for line in (ANSWERS[1], ANSWERS[0], ANSWERS[3]):
        listener.hear(line)

    assert listener.progress().last_text.startswith('I say "so"')
