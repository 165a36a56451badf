"""Scripts are read strictly; the turn to play follows from the history alone."""

from __future__ import annotations

from typing import Any

import pytest

from components.demo.conversation import Conversation, parse_conversation
from components.demo.messages_api import events, message
from components.demo.script import NO_SCRIPT, NO_TURN, Fault, Repertoire, ToolCall, Turn, parse_scripts, parse_turn
from components.errors import ConfigError

PROMPT = {"role": "user", "content": "Do it."}
ANSWER = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {}}]}
FILLER = {"role": "assistant", "content": [{"type": "text", "text": "No response requested."}]}
SYSTEM = {"role": "system", "content": "# Environment\n - Primary working directory: /home/dev/repo\n"}


def result(text: str) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": content}]}


def asked(*messages: dict[str, Any], **body: Any) -> Conversation:
    return parse_conversation({"model": "claude-sonnet-5-5", "messages": list(messages), **body}, "a-session")


@pytest.mark.parametrize(
    ("history", "turn"),
    [
        ([PROMPT], 0),
        ([PROMPT, SYSTEM], 0),
        ([PROMPT, SYSTEM, ANSWER, result("fine")], 1),
        ([PROMPT, ANSWER, result("fine"), ANSWER, result("fine"), PROMPT], 2),
        ([PROMPT, ANSWER, result("fine"), FILLER, PROMPT], 1),
        ([PROMPT, ANSWER, result("[Tool call interrupted: the session ended]"), PROMPT], 0),
        ([PROMPT, ANSWER, result("Exit code 137"), FILLER, PROMPT], 0),
        ([PROMPT, ANSWER, result("[Tool call interrupted: x]"), ANSWER, result("[Tool call interrupted: x]")], 0),
        ([PROMPT, ANSWER, result("Exit code 1"), SYSTEM], 1),
    ],
)
def test_the_turn_is_the_number_of_answers_that_came_through(history: list[dict[str, Any]], turn: int) -> None:
    assert asked(*history).turn == turn


@pytest.mark.parametrize(
    "conversation",
    [
        asked(PROMPT, SYSTEM),
        asked(PROMPT, system=[{"type": "text", "text": "<env>\nWorking directory: /home/dev/repo\n</env>"}]),
        asked(
            {
                "role": "user",
                "content": "<system-reminder>\nWorking directory: /home/dev/repo\n</system-reminder>Do it.",
            }
        ),
        asked({"role": "user", "content": "Working directory: /etc"}, SYSTEM),
    ],
    ids=["system message", "system block", "reminder", "not the prompt"],
)
def test_the_working_directory_is_the_clis_word_not_the_prompts(conversation: Conversation) -> None:
    assert conversation.directory == "/home/dev/repo"


def test_reminders_and_tool_results_are_no_prompt() -> None:
    reminder = {"role": "user", "content": [{"type": "text", "text": "<system-reminder>apples</system-reminder>"}]}
    repertoire = Repertoire(parse_scripts([{"when": "apples", "turns": ["Fruit."]}]))

    conversation = asked(reminder, PROMPT, ANSWER, result("apples"))

    assert conversation.prompt == "Do it."
    assert repertoire.turn(conversation.prompt, 0) == ("", NO_SCRIPT)


def test_a_script_has_an_end() -> None:
    repertoire = Repertoire(parse_scripts([{"name": "short", "turns": ["Only."]}]))

    assert repertoire.turn("anything", 0) == ("short", Turn("Only."))
    assert repertoire.turn("anything", 1) == ("short", NO_TURN)


@pytest.mark.parametrize(
    ("data", "turn"),
    [
        ("Done.", Turn("Done.")),
        ({"Bash": "ls -l"}, Turn(tools=(ToolCall("Bash", {"command": "ls -l", "description": "ls -l"}),))),
        ({"tools": [{"Read": {"file_path": "/a"}}]}, Turn(tools=(ToolCall("Read", {"file_path": "/a"}),))),
        ({"fault": "529"}, Turn(fault=Fault("529"))),
        ({"fault": {"name": 429, "retry_after": 2, "times": 1}}, Turn(fault=Fault("429", times=1, retry_after=2))),
        ({"sleep": 2, "input_tokens": 9}, Turn(sleep=2, input_tokens=9)),
    ],
)
def test_a_turn_has_a_long_form_and_short_ones(data: object, turn: Turn) -> None:
    assert parse_turn(data, "here") == turn


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"turns": []}, "list"),
        ([{"turns": "Done."}], "`turns`"),
        ([{"turns": [], "wenn": "x"}], "wenn"),
        ([{"turns": [], "when": "("}], "regular expression"),
        ([{"turns": [1]}], "turn 0"),
        ([{"turns": [{"txt": "x"}]}], "txt"),
        ([{"turns": [{"text": 1}]}], "`text`"),
        ([{"turns": [{"tools": ["Bash"]}]}], "Bash"),
        ([{"turns": [{"Write": "x"}]}], "Write"),
        ([{"turns": [{"fault": "nonsense"}]}], "'nonsense'"),
        ([{"turns": [{"fault": {"name": "hang", "minutes": 1}}]}], "minutes"),
    ],
)
def test_a_mistake_in_a_script_is_named(data: object, named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_scripts(data)

    assert named in str(refused.value)


def test_an_answer_is_the_same_whole_and_in_pieces() -> None:
    conversation = asked(PROMPT, SYSTEM)
    turn = parse_turn({"text": "In {cwd}.", "Write": {"file_path": "{cwd}/ä", "lines": ["{model}", 1, {}]}}, "here")

    whole = message(turn, conversation)
    streamed = list(events(whole))

    assert whole["content"][0]["text"] == "In /home/dev/repo."
    assert whole["content"][1]["input"] == {"file_path": "/home/dev/repo/ä", "lines": ["claude-sonnet-5-5", 1, {}]}
    deltas = [event["delta"] for event in streamed if event["type"] == "content_block_delta"]
    assert "".join(delta.get("text", "") for delta in deltas) == "In /home/dev/repo."
    assert "/home/dev/repo/\\u00e4" in "".join(delta.get("partial_json", "") for delta in deltas)
    assert [event["type"] for event in (streamed[0], *streamed[-2:])] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
    assert streamed[-2]["delta"]["stop_reason"] == whole["stop_reason"] == "tool_use"
