"""What agents print is told so that a person can read it; the samples are real output of two versions of a CLI."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.claude_words import ClaudeWords
from components.codex_words import CodexWords
from components.log_view import Kind, Line, LogView, rows
from components.redact import Redactor
from components.task_card import cells

SAMPLES = Path(__file__).parent.parent / "samples" / "claude"
VERSIONS = ("197", "329")
TOKEN = "sk-ant-" + "a1b2c3d4" * 4


def view(*secrets: str, is_verbose: bool = False) -> LogView:
    return LogView([ClaudeWords(), CodexWords()], Redactor(secrets), is_verbose=is_verbose)


def read(*lines: bytes, of: LogView | None = None) -> list[Line]:
    reader = of or view()
    return [line for raw in lines for line in reader.lines(raw)]


def message(**fields: object) -> bytes:
    return json.dumps({"session_id": "s", **fields}).encode()


def assistant(*blocks: dict[str, object], **fields: object) -> bytes:
    return message(type="assistant", message={"role": "assistant", "content": list(blocks)}, **fields)


def use(name: str, call: str = "t1", **arguments: object) -> dict[str, object]:
    return {"type": "tool_use", "id": call, "name": name, "input": arguments}


def outcome(content: object, call: str = "t1", **fields: object) -> bytes:
    block = {"type": "tool_result", "tool_use_id": call, "content": content, **fields}
    return message(type="user", message={"role": "user", "content": [block]})


def shown(lines: list[Line], width: int | None = None) -> list[str]:
    return [row for line in lines for row in rows(line, width)]


def sample(name: str, *, is_verbose: bool = False) -> list[str]:
    lines = (SAMPLES / f"{name}.jsonl").read_bytes().removesuffix(b"\n").split(b"\n")
    return shown(read(*lines, of=view(is_verbose=is_verbose)), 80)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_with_a_denied_and_a_failed_tool_is_told_line_by_line(version: str) -> None:
    first, *rest = sample(f"{version}-denied")

    assert first.startswith("-- session ")
    assert first.endswith(f"mode dontAsk, version 2.1.{version}")
    assert rest[:-2] == [
        "agent: I'll write it.",
        "  > Write hello.txt",
        "    ! Permission to use Write has been denied because Claude Code is running...",
        "  > Bash cat hello.txt",
        "    ! Exit code 1",
        "      cat: hello.txt: No such file or directory",
        "agent: All done.",
    ]
    assert rest[-2].startswith("== done: 3 turns, $0.0")
    assert rest[-1] == "!! not permitted: Write"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_model_thinks_is_told_only_to_those_who_want_to_know(version: str) -> None:
    assert not [row for row in sample(f"{version}-denied") if "hmm" in row]
    assert "thinks: hmm" in sample(f"{version}-denied", is_verbose=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_service_that_is_overloaded_is_told_with_its_retries(version: str) -> None:
    told = " ".join(" ".join(sample(f"{version}-fault-529")[1:]).split())

    assert "!! retry 1 of 1 in 0." in told
    assert "s: overloaded (HTTP 529)" in told
    assert told.count("API Error: 529 Overloaded") == 1
    assert "== failed (HTTP 529); 1 turn, $0.0000, 2." in told


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("max-turns", "== failed (error_max_turns): Reached maximum number of turns (1); 2 turns"),
        ("bad-resume", "== failed (error_during_execution): No conversation found with session ID:"),
        ("happy-json", "agent: All done."),
        ("happy-text", "All done."),
    ],
)
def test_every_end_says_what_it_was(version: str, case: str, words: str) -> None:
    told = sample(f"{version}-{case}")

    assert any(row.startswith(words) for row in told)
    assert max(map(cells, told)) <= 80


def test_a_tools_use_is_one_line_with_the_argument_that_matters() -> None:
    blocks = [
        use("Grep", pattern="def main", path="/repo/src", output_mode="content"),
        use("Task", description="Look for leaks", subagent_type="Explore", prompt="A long text\nof many lines"),
        use("mcp__github__create_issue", title="It leaks"),
        use("TodoWrite", todos=[{"content": "a", "status": "completed"}, {"content": "b", "status": "pending"}]),
        use("Odd", numbers=[1, 2]),
        use("Nothing"),
    ]

    told = shown(read(message(type="system", subtype="init", cwd="/repo/"), assistant(*blocks)))

    assert told[1:] == [
        "  > Grep def main in src",
        "  > Task Look for leaks",
        "  > github.create_issue It leaks",
        "  > TodoWrite 1 of 2 done; next: b",
        '  > Odd {"numbers": [1, 2]}',
        "  > Nothing",
    ]


def test_a_long_result_is_its_first_and_last_line() -> None:
    told = shown(read(outcome("collected 40 items\n" + ".\n" * 40 + "\n38 passed, 2 failed\n\n")))

    assert told == ["    collected 40 items", "    ... 40 more lines", "    38 passed, 2 failed"]


def test_of_a_file_that_was_read_the_number_of_lines_is_told() -> None:
    assert shown(read(assistant(use("Read", file_path="/a")), outcome("1\ta\n2\tb\n")))[1:] == ["    2 lines"]


def test_results_that_are_no_text_are_told_by_their_kind() -> None:
    parts = [{"type": "image", "source": {"data": "x" * 1000}}, {"type": "text", "text": "a picture"}]

    assert shown(read(outcome(parts))) == ["    [image]", "    a picture"]
    assert shown(read(outcome(""), outcome(None), outcome(17))) == ["    (no output)"] * 3


def test_what_a_subagent_does_is_indented_below_its_call() -> None:
    told = shown(
        read(
            assistant(use("Task", "outer", description="Look")),
            assistant(
                {"type": "text", "text": "I look"}, use("Bash", "inner", command="ls"), parent_tool_use_id="outer"
            ),
            message(
                type="user",
                parent_tool_use_id="outer",
                message={"content": [{"type": "tool_result", "tool_use_id": "inner", "content": "a.py"}]},
            ),
            outcome("It is well", "outer"),
        )
    )

    assert told == ["  > Task Look", "    subagent: I look", "      > Bash ls", "        a.py", "    It is well"]


def test_a_limit_of_the_account_is_told_with_its_end() -> None:
    info = {"status": "rejected", "resetsAt": 1_771_390_800, "rateLimitType": "five_hour"}
    near = {"status": "allowed_warning", "resetsAt": 1_771_390_800_000}

    told = shown(
        read(
            message(type="rate_limit_event", rate_limit_info=info),
            message(type="rate_limit_event", rate_limit_info=near),
            message(type="rate_limit_event", rate_limit_info={"status": "allowed"}),
        )
    )

    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(1_771_390_800))
    assert told == [
        f"!! rate limit: the limit is reached (five hour), until {when}",
        f"!! rate limit: the limit is near, until {when}",
    ]


def test_messages_that_say_nothing_to_a_person_are_left_out() -> None:
    assert not read(
        message(type="system", subtype="thinking_tokens", estimated_tokens=1),
        message(type="tool_progress", elapsed_time_seconds=30),
        message(type="stream_event", event={}),
        message(type="of a later version"),
    )


def test_what_the_agent_says_keeps_its_lines_and_is_folded_on_a_terminal() -> None:
    said = "I did this:\n\n    indented code\n- " + "word " * 30

    lines = read(assistant({"type": "text", "text": said}))

    assert shown(lines)[:3] == ["agent: I did this:", "", "           indented code"]
    assert len(shown(lines)) == 4
    folded = shown(lines, 40)
    assert max(map(len, folded)) <= 40
    assert folded[4].startswith("       word")


def test_characters_of_two_columns_are_folded_too() -> None:
    folded = shown(read(assistant({"type": "text", "text": "谷仓的屋顶" * 30})), 40)

    assert max(map(cells, folded)) <= 40
    assert "".join(row.removeprefix("agent: ").strip() for row in folded) == "谷仓的屋顶" * 30


def test_plain_text_is_shown_as_it_is() -> None:
    assert shown(
        read(b"working", b"  indented", b"", b'{"level": "info"}', b"{not json", b"[1]", b"10%\r50%\r100%\r")
    ) == [*("working", "  indented", "", '{"level": "info"}', "{not json", "[1]", "100%")]


def test_a_torn_message_is_said_to_be_one() -> None:
    torn = assistant({"type": "text", "text": "I was about to"})[:-9]

    assert shown(read(message(type="system", subtype="status"), torn)) == [
        f"-- a message that is torn or cannot be read ({len(torn)} bytes)"
    ]


def test_nothing_that_a_terminal_acts_upon_gets_through() -> None:
    evil = "\x1b]0;title\x07\x1b[2J\x9b31mred\x1b[0m\u202egnirts"

    told = shown(
        read(
            evil.encode(),
            assistant({"type": "text", "text": evil}, use("Bash", command=evil)),
            outcome(evil, is_error=True),
        )
    )

    assert told == ["redgnirts", "agent: redgnirts", "  > Bash redgnirts", "    ! redgnirts"]


def test_secrets_are_taken_out_wherever_they_are() -> None:
    hunter = "hunter2hunter2"
    said = f"{TOKEN} and {hunter}"
    lines = [said.encode(), assistant({"type": "text", "text": said}, use("Bash", command=said)), outcome(said)]

    told = " ".join(shown(read(*lines, of=view(hunter))))

    assert told.count("[secret] and [secret]") == 4
    assert TOKEN not in told
    assert hunter not in told


def test_a_secret_at_the_place_where_a_text_is_cut_does_not_get_through() -> None:
    for before in (1_990, 19_990, 65_530):
        told = "".join(shown(read(assistant({"type": "text", "text": "x" * before + " " + TOKEN}))))
        told += "".join(shown(read(outcome("x" * before + " " + TOKEN + "\n" * 9 + "end"))))
        assert "sk-ant" not in told


def test_a_private_key_that_comes_line_by_line_is_left_out() -> None:
    key = [b"-----BEGIN RSA PRIVATE KEY-----", *[b"c2VjcmV0" * 8] * 5, b"-----END RSA PRIVATE KEY-----"]

    told = shown(read(b"before", *key, b"after"))

    assert told == ["before", "[secret]", "after"]
    assert shown(read(key[0], *[b"line"] * 300))[-1] == "line"


def test_codex_events_are_told_like_those_of_others() -> None:
    events: list[dict[str, object]] = [
        {"type": "thread.started", "thread_id": "0199a213-81c0-7800-8aa1-bbab2a035a53"},
        {"type": "turn.started"},
        {"type": "item.completed", "item": {"id": "i0", "type": "reasoning", "text": "**Looking**"}},
        {"type": "item.started", "item": {"id": "i1", "type": "command_execution", "command": "bash -lc ls"}},
        {
            "type": "item.completed",
            "item": {
                "id": "i1",
                "type": "command_execution",
                "command": "bash -lc ls",
                "aggregated_output": "docs\nsrc\n",
                "exit_code": 0,
                "status": "completed",
            },
        },
        {
            "type": "item.completed",
            "item": {
                "id": "i2",
                "type": "command_execution",
                "command": "false",
                "aggregated_output": "oh",
                "exit_code": 1,
                "status": "failed",
            },
        },
        {"type": "item.completed", "item": {"id": "i3", "type": "agent_message", "text": "It is done."}},
        {
            "type": "item.completed",
            "item": {"id": "i4", "type": "file_change", "changes": [{"path": "a.py", "kind": "update"}]},
        },
        {"type": "item.completed", "item": {"type": "todo_list", "items": [{"text": "a", "completed": True}]}},
        {"type": "error", "message": "Reconnecting... 1/5"},
        {"type": "turn.completed", "usage": {"input_tokens": 24763, "output_tokens": 122}},
        {"type": "turn.failed", "error": {"message": "stream disconnected"}},
    ]

    assert shown(read(*(json.dumps(event).encode() for event in events))) == [
        "-- session 0199a213-81c0",
        "  > shell bash -lc ls",
        "    docs",
        "    src",
        "  > shell false",
        "    ! exit code 1",
        "      oh",
        "agent: It is done.",
        "  > update a.py",
        "-- plan: 1 of 1 done",
        "!! Reconnecting... 1/5",
        "== turn done: 24,763 tokens in, 122 out",
        "== turn failed: stream disconnected",
    ]


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("message", "content", "item", "usage", "subtype", "errors", "result", "rate_limit_info", "session_id", "cwd")
TYPES = ("system", "assistant", "user", "result", "rate_limit_event", "item.started", "item.completed", "error", "x")


@given(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(KEYS), ODD | st.sampled_from(["init", "api_retry"])))
def test_no_message_however_odd_raises(kind: str, fields: dict[str, object]) -> None:
    raw = json.dumps({**fields, "type": kind}).encode()

    for line in read(raw, raw[:-1]):
        assert "\n" not in line.text
        assert max(map(cells, rows(line, 60))) <= 60


@given(st.binary(max_size=200))
def test_no_bytes_however_odd_raise(raw: bytes) -> None:
    for row in shown(read(raw, b'{"' + raw), 60):
        assert "\x1b" not in row


@pytest.mark.parametrize(
    "raw", [b'{"a":' * 100_000, b'{"type":"result","num_turns":' + b"9" * 5000 + b"}", b'{"type":1e999}']
)
def test_json_that_breaks_parsers_is_only_text(raw: bytes) -> None:
    assert read(raw)


def test_a_line_of_ten_megabytes_is_read_in_memory_of_its_size() -> None:
    raw = outcome("a line of some length, as programs print them\n" * 220_000)
    assert len(raw) > 10_000_000
    tracemalloc.start()

    lines = read(raw)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [line.kind for line in lines] == [Kind.RESULT] * 3
    assert lines[1].text == "... 219,999 more lines"
    assert peak < 5 * len(raw)
