"""What the Claude CLI's messages mean, heard one by one."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from components import claude_prices, judgement, outside
from components.claude_stream import ClaudeListener
from components.limit_words import ends_at
from components.model import AgentResult, ExitRecord, Usage
from components.states import Reason

NOON = 1795262400.0  # 2026-11-21 12:00 UTC


def line(**fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def answer(number: int, *content: dict[str, object], parent: str | None = None, **more: object) -> bytes:
    body = {"id": f"msg_{number}", "role": "assistant", "model": "claude-sonnet-5-5", "content": list(content)}
    body["usage"] = {"input_tokens": 1000, "output_tokens": 1}
    return line(**{"type": "assistant", "message": body, "parent_tool_use_id": parent, **more})


def call(tool_id: str, name: str = "Bash") -> dict[str, object]:
    return {"type": "tool_use", "id": tool_id, "name": name, "input": {"command": "x"}}


def says(text: str) -> dict[str, object]:
    return {"type": "text", "text": text}


def answered(tool_id: str, text: str = "ok") -> bytes:
    block = {"content": text, "type": "tool_result", "tool_use_id": tool_id}
    return line(type="user", message={"role": "user", "content": [block]})


def init(**more: object) -> bytes:
    return line(type="system", subtype="init", session_id="s-1", model="claude-sonnet-5-5", **more)


def told(text: str = "Done.", **more: object) -> bytes:
    return line(**{"type": "result", "is_error": False, "result": text, "num_turns": 1, **more})


def hear(*lines: bytes) -> ClaudeListener:
    listener = ClaudeListener()
    for one in lines:
        listener.hear(one)
    return listener


def result(*lines: bytes) -> AgentResult:
    found = hear(*lines).result(None)
    assert found is not None
    return found


def test_a_tool_call_is_open_until_its_result_comes() -> None:
    listener = hear(init(), answer(1, call("a", "Read")), answer(1, call("b", "Bash")))
    assert listener.progress().tool == "Bash"

    listener.hear(answered("b"))
    assert listener.progress().tool == "Read"

    listener.hear(answered("a"))
    assert (listener.progress().tool, listener.progress().tool_calls) == ("", 2)


def test_words_in_a_result_that_look_like_a_call_s_end_end_nothing() -> None:
    listener = hear(answer(1, call("a")), answered("other", text='{"tool_use_id":"a"} "type":"result"'))

    assert listener.progress().tool == "Bash"


def test_the_next_answer_of_whoever_called_shows_that_the_calls_have_ended() -> None:
    """A result of over 16 MB is cut before its id."""
    listener = hear(answer(1, call("a")), answer(2, says("I see."), parent="a"))
    assert listener.progress().tool == "Bash", "a helper's answer says nothing of the caller's tools"

    listener.hear(answer(3, says("I see.")))
    assert (listener.progress().tool, listener.progress().turns) == ("", 2)


def test_heartbeats_and_retries_are_no_signs_of_life() -> None:
    listener = hear(
        line(type="tool_progress", elapsed_time_seconds=30),
        line(type="system", subtype="api_retry", attempt=3),
        line(subtype="api_retry", attempt=4, type="system"),
        line(type="system", subtype="status", status="requesting"),
        line(type="keep_alive"),
        b"(node:1) Warning",
    )
    assert listener.progress().messages == 0

    for alive in (init(), answer(1, says("a")), answered("x"), line(type="stream_event", event={})):
        listener.hear(alive)
    assert listener.progress().messages == 4


RETRY = line(type="system", subtype="api_retry", attempt=1, error_status=None, error="unknown")
BUSY = line(subtype="api_retry", error="overloaded", type="system")
PIECE = line(type="stream_event", event={})


@pytest.mark.parametrize(
    ("lines", "unanswered", "retries"),
    [
        ([], "", 0),
        ([init()], "no_answer", 0),
        ([init(), line(type="system", subtype="hook_response")], "no_answer", 0),
        ([init(), RETRY, RETRY], "unknown", 2),
        ([init(), answer(1, says("a")), RETRY], "unknown", 1),
        ([init(), answer(1, call("a")), answered("a"), BUSY], "overloaded", 1),
        ([init(), RETRY, PIECE], "", 0),
        ([init(), RETRY, answer(1, says("a"))], "", 0),
        ([init(), RETRY, told()], "", 0),
        ([init(), told(), init()], "no_answer", 0),
    ],
)  # fmt: skip
def test_it_is_known_whether_the_service_owes_an_answer(lines: list[bytes], unanswered: str, retries: int) -> None:
    found = hear(*lines).progress()

    assert (found.unanswered, found.retries) == (unanswered, retries)


def test_further_blocks_of_an_answer_are_no_further_turns_and_their_text_is_the_last() -> None:
    listener = hear(answer(1, says("one")), answer(1, says("two")), answer(1, says("three")))

    assert (listener.progress().last_text, listener.progress().turns) == ("three", 1)


@pytest.mark.parametrize("begun", [init(), answer(2, says("More")), b'{"type":"assistant","message":{"id":"msg_'])
def test_a_result_after_which_more_began_is_unfinished(begun: bytes) -> None:
    listener = hear(init(), answer(1, says("a")), told(), begun)

    found = listener.result(None)
    assert found is not None
    assert found.is_unfinished
    assert not listener.progress().has_result


def test_a_result_that_is_told_while_a_command_runs_in_the_background_is_not_the_end() -> None:
    tasks = [{"task_id": "t", "task_type": "local_bash"}]
    listener = hear(init(), line(type="system", subtype="background_tasks_changed", tasks=tasks), told())
    assert (listener.progress().has_result, listener.progress().tool) == (True, "local_bash")
    cut = listener.result(ExitRecord(exit_code=143, signal=None, why="stop"))
    assert cut is not None
    assert cut.is_unfinished

    listener.hear(line(type="system", subtype="background_tasks_changed", tasks=[]))
    assert (listener.progress().has_result, listener.progress().tool) == (True, "")


def test_a_command_that_the_cli_ended_as_it_was_stopped_was_still_waited_for() -> None:
    """As the CLI prints it on SIGTERM; its result was taken for its last word, whatever it still waited for."""
    tasks = [{"task_id": "t", "task_type": "local_bash"}]
    killed = line(type="system", subtype="task_updated", task_id="t", patch={"status": "killed"})
    listener = hear(
        *(init(), line(type="system", subtype="background_tasks_changed", tasks=tasks), told(), killed),
        line(type="system", subtype="background_tasks_changed", tasks=[]),
    )

    ends = [listener.result(ExitRecord(exit_code=143, signal=None, why=why)) for why in ("timeout", None)]
    by_itself = listener.result(ExitRecord(exit_code=0, signal=None))

    assert [end is not None and end.is_unfinished for end in (*ends, by_itself)] == [True, True, False]


def test_a_result_of_an_agent_that_ours_has_asked_is_not_its_own() -> None:
    assert hear(init(), told("Looked it up.", parent_tool_use_id="toolu_1")).result(None) is None


def test_several_results_of_one_run_are_added_up() -> None:
    one = {"claude-sonnet-5-5": {"inputTokens": 100, "outputTokens": 10, "costUSD": 0.5}}
    two = {"claude-sonnet-5-5": {"inputTokens": 50, "outputTokens": 5, "costUSD": 0.25}}

    found = result(
        told(num_turns=2, model_usage_since_last_result=one, total_cost_usd=7.5),
        told("Later.", model_usage_since_last_result=two, total_cost_usd=7.75),
    )

    assert (found.cost_usd, found.input_tokens, found.output_tokens, found.num_turns) == (0.75, 150, 15, 3)
    assert found.text == "Later."


def test_an_older_cli_s_totals_are_of_the_run_and_are_not_added_up() -> None:
    models = {"claude-sonnet-5": {"inputTokens": 100, "outputTokens": 10}}

    found = result(
        told(modelUsage=models, total_cost_usd=0.5, usage={"input_tokens": 100}),
        told(modelUsage={"claude-sonnet-5": {"inputTokens": 150, "outputTokens": 15}}, total_cost_usd=0.75),
    )

    assert (found.cost_usd, found.input_tokens, found.output_tokens) == (0.75, 150, 15)


def test_a_run_that_a_budget_ended_has_its_tokens_told_by_model_alone() -> None:
    since = {"m": {"inputTokens": 1000, "cacheCreationInputTokens": 500, "costUSD": 0.00375}}

    found = result(told(subtype="error_max_budget_usd", usage={"input_tokens": 0}, model_usage_since_last_result=since))

    assert (found.input_tokens, found.cache_write_tokens, found.cost_usd) == (1000, 500, 0.00375)


def test_the_service_s_word_for_a_failure_is_the_made_up_answer_s_error() -> None:
    body = {"id": "u", "model": "<synthetic>", "content": [says("Credit balance is too low")]}
    failed = line(type="assistant", message=body, error="billing_error")

    found = result(init(), failed, told(is_error=True, api_error_status=400, subtype="success"))

    assert (found.error, found.api_error_status) == ("billing_error", 400)
    assert judgement.judge(None, found).reason is Reason.KILLED
    assert hear(init(), failed).progress().turns == 0


@pytest.mark.parametrize("at", [NOON + 3600, (NOON + 3600) * 1000])
def test_the_time_when_a_limit_ends_is_told_in_seconds_or_milliseconds(at: float) -> None:
    limit = {"status": "rejected", "resetsAt": int(at), "rateLimitType": "five_hour"}

    found = result(line(type="rate_limit_event", rate_limit_info=limit), told(is_error=True))

    assert found.wait_until == NOON + 3600


def test_a_header_that_tells_when_to_come_again_is_said_with_the_limit() -> None:
    """As the CLI prints it with ANTHROPIC_LOG=debug; in its messages there is nothing of it."""
    header = b'    "retry-after": "3600",'
    limit = told("API Error: Request rejected (429)", is_error=True, api_error_status=429)

    limited, done = result(init(), header, limit), result(init(), header, told())
    quoted = result(init(), answer(1, says('\n "retry-after": "60",\n')), limit)

    assert ends_at(limited.text, NOON) == NOON + 3600
    assert (done.text, quoted.text) == ("Done.", "API Error: Request rejected (429)")


def test_a_warning_of_a_limit_is_no_limit() -> None:
    near = {"status": "allowed_warning", "resetsAt": int(NOON)}

    assert result(line(type="rate_limit_event", rate_limit_info=near), told()).wait_until == 0


def test_a_refused_tool_is_told_by_a_message_or_by_the_result() -> None:
    denied = line(type="system", subtype="permission_denied", tool_name="Write", tool_use_id="a")

    found = result(denied, told(permission_denials=[{"tool_name": "Write"}, {"tool_name": "Bash"}]))

    assert found.denied_tools == ("Write", "Bash")


def test_a_structured_answer_is_the_text_where_there_is_no_other() -> None:
    found = result(line(type="result", is_error=False, structured_output={"verdict": "passed"}))

    assert found.text == '{"verdict": "passed"}'


def test_what_was_used_since_the_last_result_is_estimated() -> None:
    listener = hear(answer(1, says("x" * 4000)))

    assert listener.progress().cost_usd == pytest.approx(0.002 + 0.01, rel=0.2)


def test_memory_does_not_grow_with_what_is_heard() -> None:
    big = answered("b", text="y" * 1_000_000)
    listener = hear(init())
    tracemalloc.start()
    try:
        for number in range(3000):
            listener.hear(answer(number, call(f"tool-{number}", "Read" * 100), says(str(number) * 2000)))
            listener.hear(line(type="system", subtype="permission_denied", tool_name=f"Tool{number}"))
            listener.hear(told(f"{number} " * 2000))
            listener.hear(line(type="result", is_error=False) if number % 2 else b"\xff" * 1000)
        listener.hear(big)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 1_000_000


def transcript_line(number: int, output: int, **usage: object) -> bytes:
    used = {"input_tokens": 1000, "cache_creation_input_tokens": 500, "output_tokens": output, **usage}
    body = {"id": f"msg_{number}", "role": "assistant", "model": "claude-sonnet-5-5", "usage": used}
    return line(parentUuid=None, message=body, type="assistant")


def test_an_answer_s_usage_in_a_transcript_counts_once_and_at_its_last_word() -> None:
    lines = [transcript_line(1, 1), transcript_line(1, 50), answered("a"), transcript_line(2, 40), b'{"type":"assi']

    used = claude_prices.usage_of_transcript(lines)

    assert used == Usage(2000, 90, 0, 1000, pytest.approx((2000 + 5 * 90 + 1.25 * 1000) * 2e-6))


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("claude-opus-5-5", 0.0091),
        ("claude-opus-4-8", 0.011375),
        ("claude-sonnet-5-5", 0.00455),
        ("claude-sonnet-5", 0.006825),
    ],
)
def test_prices_are_those_that_the_cli_reckons_with(model: str, usd: float) -> None:
    told_by_the_api = {"input_tokens": 1200, "output_tokens": 90, "cache_creation_input_tokens": 500}

    assert claude_prices.usage_of(told_by_the_api, model).cost_usd == pytest.approx(usd)


def test_a_cache_for_an_hour_costs_twice_the_input() -> None:
    written = {"cache_creation_input_tokens": 100_000, "cache_creation": {"ephemeral_1h_input_tokens": 100_000}}

    assert claude_prices.usage_of(written, "claude-sonnet-5-5").cost_usd == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("said", "after_noon"),
    [
        (f"Claude AI usage limit reached|{int(NOON) + 60}", 60),
        ("You've hit your 5-hour limit · resets 3:59pm (UTC)", 3600 * 3 + 59 * 60),
        ("resets 2pm (Asia/Shanghai)", 3600 * 18),
        ("resets 3:30am (UTC)", 3600 * 15.5),
        ("resets Nov 23, 2pm (UTC)", 86400 * 2 + 7200),
        ("resets Jan 1, 12am (UTC)", 86400 * 40.5),
        ("You've hit your usage limit. Try again in 3 days 4 hours 5 minutes.", 3 * 86400 + 4 * 3600 + 300),
        ("try again in 20s", 20),
    ],
)
def test_the_words_that_tell_when_a_limit_ends_are_understood(said: str, after_noon: float) -> None:
    assert ends_at(said, NOON) == NOON + after_noon


@pytest.mark.parametrize(
    "said",
    [
        "",
        "resets",
        "resets 25pm (UTC)",
        "resets 3 files",
        "resets 2pm (Mars/Base)",
        "resets Feb 30, 2pm (UTC)",
        "try again in 5 moons",
    ],
)
def test_words_that_tell_no_time_tell_none(said: str) -> None:
    assert ends_at(said, NOON) == 0


def test_lines_that_cannot_matter_are_passed_over_and_no_other() -> None:
    """Short lines of noise took 35 times the time of messages: each of them was looked at."""
    limited = told(is_error=True, api_error_status=429, result="API Error: 429")
    matter = [init(), b'  "retry-after": "17",', b"\t " + answer(1, call("a")), RETRY, b'{"type":"resu', limited]
    noise = [b"", b"warning", b'["result"]', b'x {"type":"result","is_error":false}', b"7"]
    heard: list[bytes] = []

    class Counting(ClaudeListener):
        def hear(self, line: bytes) -> None:
            heard.append(line)
            super().hear(line)

    listener = Counting()
    listener.hear_many(b"".join(b"\n" + one + b"".join(b"\n" + more for more in noise) for one in matter))

    assert heard == matter
    assert listener.result(None) == hear(*matter, *noise).result(None)
    assert result(*matter).text == "API Error: 429 (retry after 17 s)"


def writes(tool_id: str, tool: str, **given: object) -> bytes:
    return answer(1, {"type": "tool_use", "id": tool_id, "name": tool, "input": given})


def refused(tool_id: str) -> bytes:
    return answered(tool_id).replace(b'"type":"tool_result"', b'"type":"tool_result","is_error":true')


@pytest.mark.parametrize(
    ("lines", "written"),
    [
        ([writes("a", "Write", file_path="/elsewhere/a.py"), answered("a")], ("/elsewhere/a.py",)),
        ([writes("a", "NotebookEdit", notebook_path="/elsewhere/a.ipynb"), answered("a")], ("/elsewhere/a.ipynb",)),
        ([writes("a", "Edit", file_path="/work/../etc/a"), answered("a")], ("/etc/a",)),
        ([writes("a", "Edit", file_path="../a"), answered("a")], ("/a",)),
        ([writes("a", "Edit", file_path="/workshop/a"), answered("a")], ("/workshop/a",)),
        ([writes("a", "Write", file_path="/work/a"), answered("a")], ()),
        ([writes("a", "Write", file_path="a"), answered("a")], ()),
        ([writes("a", "Read", file_path="/elsewhere/a"), answered("a")], ()),
        ([writes("a", "Write", file_path="/elsewhere/a"), refused("a")], ()),
        ([writes("a", "Write", file_path="/elsewhere/a"), answered("b")], ()),
        ([writes("a", "Write", file_path=["/elsewhere/a"]), answered("a")], ()),
    ],
)
def test_what_is_written_outside_of_its_directory_is_known(lines: list[bytes], written: tuple[str, ...]) -> None:
    """A file beside the worktree was never mentioned."""
    assert hear(init(cwd="/work"), *lines).progress().written == written


def test_no_more_files_are_remembered_than_may_be_told() -> None:
    listener = hear(init(cwd="/work"))
    for number in range(1000):
        listener.hear(writes(f"t{number}", "Write", file_path=f"/elsewhere/{number}"))
        listener.hear(answered(f"t{number}"))

    assert len(listener.progress().written) == 100


def test_the_directories_of_the_agent_are_not_outside_whatever_they_are_called(tmp_path: Path) -> None:
    work, more = tmp_path / "work", tmp_path / "more"
    work.mkdir()
    more.mkdir()
    (tmp_path / "link").symlink_to(work)
    written = [f"{tmp_path}/{path}" for path in ("work/a", "link/b", "more/c", "d", "workshop/e")]

    assert outside.of(written, tmp_path / "link", ["../more"]) == written[3:]
    assert outside.of(written, work, [str(more), tmp_path]) == []
    assert len(outside.of([f"/elsewhere/{number}" for number in range(50)], work)) == 20
