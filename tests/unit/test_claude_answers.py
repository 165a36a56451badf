"""Answers that are read at one stroke mean what `json` makes of them, whatever is done to the lines."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components import claude_answers
from components.claude_stream import ClaudeListener

SAMPLES = Path(__file__).parent.parent / "samples" / "claude"
HOUR = {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 90}
USAGE = {"input_tokens": 1000, "cache_creation_input_tokens": 500, "cache_creation": HOUR, "output_tokens": 3}
END = b'{"type":"result","is_error":false,"result":"Done.","num_turns":1,"total_cost_usd":0.1,"session_id":"s-1"}'
MEMBERS = [
    *(b'"id":"msg_1",', b'"id":null,', b'"model":"<synthetic>",', b'"error":"rate_limit",', b'"type":"user",'),
    *(
        b'"subtype":"status",',
        b'"content":[],',
        b'"content":[{"type":"text","text":"y"}],',
        b'"usage":{},',
        b'"Extra":1,',
    ),
    *(
        b'"parent_tool_use_id":"toolu_9",',
        b'"type":"tool_use",',
        b'"text":"x",',
        b'"output_tokens":1,',
        b'"name":"Bash",',
    ),
    *(
        b'"cache_creation":{},',
        b'"message":{},',
        b'"\\u0069d":"msg_2",',
        b'"usage":{"input_tokens":9},',
        b'"x":-1,',
        b",",
    ),
    *(
        b'"x":01,',
        b'"x":1e3,',
        b'"x":"\\x",',
        b'"x":"\t",',
        b'"x":"\xff",',
        b'"x":"\\ud800",',
        b"\n",
        b"x",
        b'"',
        b" ",
        b'"x":[],',
    ),
    *(b'"content":null,', b'"usage":null,', b'"message":null,', b'"type":null,'),
    *(b'"input_tokens":9007199254740993,', b'"input_tokens":true,', b'"signature":"x",', b'"message":{"id":"msg_7"},'),
]
BYTES = [bytes([byte]) for byte in b'"\\{}[],: \n\0\xff\xc30-e1nx\t'] + [b"null", b"[]", b"{}", b"NaN", b"\\ud800"]


def written(**fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def answer(number: int, block: dict[str, object], **around: object) -> bytes:
    body = {"id": f"msg_{number}", "role": "assistant", "model": "claude-sonnet-5-5", "content": [block]}
    return written(**{"type": "assistant", "message": {**body, "usage": USAGE}, "parent_tool_use_id": None, **around})


ANSWERS = [
    answer(1, {"type": "thinking", "thinking": "Which?", "signature": "x"}),
    answer(1, {"type": "text", "text": 'I say "so" \u00e9\ud800\n'}, session_id="s-1"),
    answer(1, {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}),
    answer(2, {"type": "tool_use", "id": "toolu_2", "name": "Edit", "input": {"edits": [{"old": "a"}]}}),
    answer(3, {"type": "text", "text": "Mine."}, parent_tool_use_id="toolu_2"),
    answer(3, {"type": "text", "text": "x" * 700}, error="rate_limit"),
    answer(4, {"type": "text", "text": "x" * 700}),
    *(line for path in sorted(SAMPLES.glob("*.jsonl")) for line in path.read_bytes().splitlines()),
]


OURS = 7


class SlowListener(ClaudeListener):
    """Has `json` read everything."""

    def hear(self, line: bytes) -> None:
        self._hear_other(line)


def heard(listener: ClaudeListener, lines: Sequence[bytes]) -> list[object]:
    """Return all that a listener tells of some lines and keeps of them, asked after each and at their end."""
    told: list[object] = []
    for line in lines:
        listener.hear(line)
        told += [listener.progress(), kept(listener)]
    told.append(listener.result(None))
    listener.hear(END)
    return [*told, listener.progress(), listener.result(None)]


def kept(listener: ClaudeListener) -> dict[str, object]:
    return {name: value for name, value in vars(listener).items() if name not in ("_readers", "_results", "_unread")}


def differ(*lines: bytes) -> bool:
    return heard(ClaudeListener(), lines) != heard(SlowListener(), lines)


def test_a_member_more_at_any_place_means_what_json_makes_of_it() -> None:
    wrong = [
        line[:at] + member + line[at:]
        for line in ANSWERS[:OURS]
        for at in (0, *(place + 1 for place, byte in enumerate(line) if byte in b",{["), len(line) - 1, len(line))
        for member in MEMBERS
        if differ(ANSWERS[2], line[:at] + member + line[at:])
    ]

    assert wrong == []


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a line that the CLI might print, after something was done to it."""
    line = draw(st.sampled_from(ANSWERS))
    for _ in range(draw(st.integers(0, 3))):
        at, end = sorted((draw(st.integers(0, len(line))), draw(st.integers(0, len(line)))))
        line = line[:at] + draw(st.sampled_from(BYTES + MEMBERS)) + line[draw(st.sampled_from([at, at + 1, end])) :]
    return line


@settings(max_examples=150, deadline=None)
@given(st.lists(mutated(), min_size=1, max_size=6))
@example(ANSWERS)
def test_an_answer_read_at_one_stroke_means_what_json_makes_of_it(lines: list[bytes]) -> None:
    assert not differ(*lines)


KEYS = st.sampled_from(["id", "model", "role", "content", "usage", "error", "type", "input_tokens", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=100, deadline=None)
@given(st.permutations(list(json.loads(ANSWERS[1])["message"].items())), KEYS, VALUES, st.booleans())
def test_the_order_of_keys_and_strange_values_change_nothing(
    members: list[tuple[str, object]], key: str, value: object, spaced: bool
) -> None:
    body = {**dict(members), key: value}
    line = json.dumps(
        {"type": "assistant", "message": body}, separators=(", ", ": ") if spaced else (",", ":")
    ).encode()

    assert not differ(line, ANSWERS[2])


@pytest.mark.parametrize("number", [0, 1, 2, 4])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_usual_answers_are_read_at_one_stroke(number: int, separators: tuple[str, str]) -> None:
    line = json.dumps(json.loads(ANSWERS[number]), separators=separators).encode()

    assert claude_answers.read(line) is not None


@pytest.mark.parametrize(
    "piece", [b'"' + b"\\n" * 8000, b'{"a":' * 3000, b'"a":1,' * 2700, b" " * 16000, b"\\" * 16000]
)
def test_a_line_that_is_made_to_be_slow_is_not(piece: bytes) -> None:
    """A grammar that tries its ways again would need time that grows with the square of the line, or worse."""
    line = ANSWERS[1].replace(b'"role"', piece + b'"role"')[: claude_answers.LONGEST_BYTES]
    started = time.process_time()

    claude_answers.read(line)

    assert time.process_time() - started < 0.1


def test_a_thought_after_a_text_leaves_the_text_the_last() -> None:
    listener = ClaudeListener()
    for line in (ANSWERS[1], ANSWERS[0], ANSWERS[4]):
        listener.hear(line)

    assert listener.progress().last_text.startswith('I say "so"')
