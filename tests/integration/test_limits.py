"""The limits of an agent: warned of near them, ended at them, for a reason that is in the verdict."""

from __future__ import annotations

import itertools
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components import attendance, overseer, stop_order, vital_signs
from components.errors import Draining
from components.executors.codex import CodexExecutor
from components.signals import Intent
from components.states import Reason
from components.stop_order import StopOrder
from tests.bench import Bench
from tests.descendants import nobody_lives
from tests.pm_server import PmServer
from tests.runner import Runner
from tests.waiting import until


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, {"ANTHROPIC_API_KEY": "a-key-of-the-model"})
    yield made
    made.close()


def _catches_term(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM by now."""
    status = Path("/proc", str(pid), "status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> 14 & 1)


@pytest.fixture
def brief_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overseer, "LINGER_SECONDS", 0.6)


def test_an_agent_that_falls_silent_is_warned_of_and_ended_with_all_it_started(bench: Bench, tmp_path: Path) -> None:
    verdict = bench.see_through(
        "tell(messages=1)\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\nstay()", silence_timeout=1
    )

    assert verdict.reason is Reason.STALLED
    assert "silent between tool calls for" in verdict.detail
    assert "(silence_timeout)" in verdict.detail
    assert verdict.seconds < 10
    assert bench.said.getvalue().count("its limit is near") == 1
    assert nobody_lives(tmp_path)


def test_an_agent_that_goes_on_telling_is_not_silent(bench: Bench) -> None:
    verdict = bench.see_through(
        "for number in range(8):\n    tell(messages=number)\n    time.sleep(0.3)\ntell(text='done', is_error=False)",
        silence_timeout=1,
    )

    assert verdict.reason is Reason.SUCCEEDED


def test_a_heartbeat_within_a_tool_call_is_no_message(bench: Bench) -> None:
    verdict = bench.see_through(
        "tell(messages=1, tool='Bash')\nwhile True:\n    tell(heartbeat=1)\n    time.sleep(0.1)",
        silence_timeout=0.5,
        tool_timeout=1.5,
    )

    assert verdict.reason is Reason.STALLED
    assert "within a call of Bash for" in verdict.detail
    assert "(tool_timeout)" in verdict.detail
    assert verdict.seconds > 1.4


def test_a_silent_agent_whose_child_works_gets_more_time(bench: Bench) -> None:
    work = "import time\nend = time.time() + 2.5\nwhile time.time() < end: pass"
    verdict = bench.see_through(
        f"tell(messages=1)\nsubprocess.run([sys.executable, '-c', {work!r}])\ntell(text='done', is_error=False)",
        silence_timeout=1,
    )

    assert verdict.reason is Reason.SUCCEEDED, verdict.detail
    assert "CPU time: it is given more time" in bench.said.getvalue()


def test_an_agent_that_turns_in_circles_is_ended_after_four_periods(bench: Bench) -> None:
    verdict = bench.see_through("tell(messages=1)\nwhile True: pass", silence_timeout=0.7)

    assert verdict.reason is Reason.STALLED
    assert "too long though its processes used" in verdict.detail
    assert 2.7 < verdict.seconds < 12


def test_a_transcript_that_grows_is_a_sign_of_life(bench: Bench, tmp_path: Path) -> None:
    record = tmp_path / ".claude" / "projects" / "somewhere" / "5e5510.jsonl"
    verdict = bench.see_through(
        f"""
tell(messages=1)
os.makedirs({str(record.parent)!r})
for _ in range(12):
    open({str(record)!r}, "a").write("0.25\\n")
    time.sleep(0.2)
tell(text='done', is_error=False)
""",
        silence_timeout=1,
    )

    assert verdict.reason is Reason.SUCCEEDED, verdict.detail
    assert "its transcript grew: it is given more time" in bench.said.getvalue()


def test_an_agent_that_hangs_after_its_result_is_judged_by_it(bench: Bench, brief_linger: None) -> None:
    verdict = bench.see_through(
        "tell(messages=1, has_result=True, text='It is done', is_error=False, cost=0.5)\nstay()"
    )

    assert (verdict.reason, verdict.cost_usd) == (Reason.SUCCEEDED, 0.5)
    assert verdict.seconds < 10


def test_a_failure_told_before_the_hang_stays_that_failure(bench: Bench, brief_linger: None) -> None:
    """The shim's record says `stop`, which is not why the agent failed."""
    verdict = bench.see_through(
        "tell(messages=1, has_result=True, text='Credit balance is too low', is_error=True)\nstay()"
    )

    assert verdict.reason is Reason.NO_CREDIT


def test_a_command_at_work_after_the_result_is_waited_for(bench: Bench, brief_linger: None) -> None:
    verdict = bench.see_through("""
tell(messages=1, has_result=True, text='The tests run', is_error=False)
subprocess.run(["sleep", "2.5"], start_new_session=True)
tell(messages=2, text='The tests have run', is_error=False)
""")

    assert (verdict.reason, verdict.detail) == (Reason.SUCCEEDED, "the agent finished the task: The tests have run")


def test_a_command_after_the_result_that_never_ends_has_a_time_of_its_own(
    bench: Bench, brief_linger: None, tmp_path: Path
) -> None:
    verdict = bench.see_through(
        """
tell(messages=1, has_result=True, text='The server runs', is_error=False)
subprocess.run(["sleep", "600"], start_new_session=True)
""",
        after_result=2,
    )

    assert verdict.reason is Reason.SUCCEEDED
    assert 1.9 < verdict.seconds < 12
    assert "(after_result), which is too long" in bench.said.getvalue()
    assert nobody_lives(tmp_path)


WAITS = "tell(messages=1, has_result=True, tool='local_bash', text='The server runs', is_error=False)\n"


def test_a_server_in_the_background_that_does_nothing_is_not_waited_for_as_a_tool_is(bench: Bench) -> None:
    """The CLI waits for it for 10 minutes: a task whose work is done was ended for its time, and counted as failed."""
    verdict = bench.see_through(
        WAITS + "subprocess.run(['sleep', '600'], start_new_session=True)", after_result=1, tool_timeout=30
    )

    assert verdict.reason is Reason.SUCCEEDED
    assert 0.9 < verdict.seconds < 12


def test_a_command_in_the_background_that_works_is_waited_for(bench: Bench) -> None:
    verdict = bench.see_through(
        f"""{WAITS}
work = "import time\\nwhile time.process_time() < 2: pass"
subprocess.run([sys.executable, '-c', work], start_new_session=True)
tell(messages=2, tool='', text='The tests have run', is_error=False)
""",
        after_result=0.5,
    )

    assert verdict.detail == "the agent finished the task: The tests have run"


def test_memory_is_that_of_the_whole_tree(bench: Bench) -> None:
    verdict = bench.see_through(
        "child = \"import time; kept = bytearray(b'x' * 60_000_000); time.sleep(600)\"\n"
        "[subprocess.Popen([sys.executable, '-c', child]) for _ in range(3)]\nstay()",
        memory_limit=120_000_000,
    )

    assert verdict.reason is Reason.MEMORY_LIMIT
    assert "of 120 MB (memory_limit)" in verdict.detail
    assert "raise memory_limit" in verdict.detail


def test_memory_that_grows_fast_is_warned_of_before_its_limit_is_reached(bench: Bench) -> None:
    """Regression: it was looked at every five seconds, however near the limit was."""
    grow = "kept = []\nfor n in range(99):\n  kept.append(os.urandom(1_600_000))\n  tell(messages=n)\n  time.sleep(0.2)"

    verdict = bench.see_through(grow, memory_limit=80_000_000, silence_timeout=5)

    assert verdict.reason is Reason.MEMORY_LIMIT
    assert bench.said.getvalue().count("its limit is near") == 1


def test_memory_that_processes_share_is_counted_once(bench: Bench) -> None:
    tools = bench.tools()
    run = bench.start(
        "kept = b'x' * 60_000_000\n[os.fork() or stay() for _ in range(3)]\nopen('forked', 'w').close()\nstay()",
        tools,
    )
    until((bench.directory / "forked").exists, "the children")

    by_resident_size = vital_signs.memory(run, enough=1e12)
    by_share = vital_signs.memory(run, enough=0)

    assert by_resident_size > 200_000_000
    assert 60_000_000 < by_share < 130_000_000


@pytest.mark.parametrize(
    ("told", "settings", "words"),
    [
        ("turns=6", {"max_turns": 5}, "6 turns of 5 turns (max_turns)"),
        ("cost_usd=1.2", {"max_budget_usd": 1}, "$1.2 of $1 (max_budget_usd)"),
        ("cost_usd=1.2", {"max_budget_usd": 2, "task_budget_usd": 1}, "$1.2 of $1 (task_budget_usd)"),
        ("cost_usd=1.2", {"max_budget_usd": 2, "daily_budget_usd": 1}, "$1.2 of $1 (daily_budget_usd)"),
    ],
)
def test_an_agent_beyond_its_turns_or_its_budget_is_ended(
    bench: Bench, told: str, settings: dict[str, int], words: str
) -> None:
    verdict = bench.see_through(f"tell(messages=1, {told})\nstay()", **settings)

    assert verdict.reason is Reason.BUDGET_EXHAUSTED
    assert words in verdict.detail
    assert verdict.cost_usd == (1.2 if "cost" in told else 0.0)


@pytest.mark.parametrize(
    ("script", "settings", "words", "reason"),
    [
        ("tell(turns=5)", {"max_turns": 5}, "5 turns of 5 turns (max_turns)", Reason.SUCCEEDED),
        ("tell(cost_usd=0.9)", {"max_budget_usd": 1}, "$0.9 of $1 (max_budget_usd)", Reason.SUCCEEDED),
        ("pass", {"claude_timeout": 10}, "of 10 s (claude_timeout)", Reason.SUCCEEDED),
        ("print('x' * 1_900_000)", {"output_limit": 2_000_000}, "of 2 MB (output_limit)", Reason.SUCCEEDED),
        ("kept = b'x' * 100_000_000", {"memory_limit": 125_000_000}, "of 125 MB (memory_limit)", Reason.SUCCEEDED),
    ],
)
def test_each_limit_is_warned_of_once_and_changes_nothing_until_it_is_reached(
    bench: Bench, script: str, settings: dict[str, int], words: str, reason: Reason
) -> None:
    tools = bench.tools(silence_timeout=20, **settings)
    run = bench.start(f"{script}\nwait_for('warned')\ntell(text='done', is_error=False)", tools)

    with bench.attended(run, tools) as verdicts:
        until(lambda: words in bench.said.getvalue(), "the warning")
        (bench.directory / "warned").touch()

    assert [verdict.reason for verdict in verdicts] == [reason]
    assert bench.said.getvalue().count("its limit is near") == 1


def test_the_reason_outlives_a_runner_that_dies_before_the_stop(bench: Bench) -> None:
    """The order is on the disk and nobody was stopped: the next runner stops the agent for that reason."""
    tools = bench.tools()
    run = bench.start("tell(messages=1)\nstay()", tools)
    order = {"reason": "memory_limit", "detail": "it has used 9 MB of 8 MB (memory_limit)"}
    (run.path / stop_order.NAME).write_text(json.dumps(order))

    verdict = bench.attend(run, tools)

    assert verdict.reason is Reason.MEMORY_LIMIT
    assert "9 MB of 8 MB" in verdict.detail


def test_the_reason_outlives_a_runner_that_dies_after_the_stop(bench: Bench) -> None:
    tools = bench.tools(silence_timeout=0.5)
    run = bench.start("tell(messages=1)\nstay()", tools)
    attendance.attend(run, bench.held, tools)

    verdicts = [attendance.judge(run, bench.held, bench.tools()) for _ in range(2)]

    assert [verdict.reason for verdict in verdicts] == [Reason.STALLED, Reason.STALLED]


def test_the_reason_holds_where_the_shim_was_killed_too(bench: Bench) -> None:
    tools = bench.tools()
    run = bench.start("tell(messages=1)\nstay()", tools)
    until(lambda: run.out.stat().st_size, "its line")
    os.kill(run.pids()["shim"].pid, 9)
    stop_order.give(run, StopOrder(Reason.MEMORY_LIMIT, "too much"))

    assert bench.attend(run, tools).reason is Reason.MEMORY_LIMIT


def test_an_agent_without_its_shim_is_attended_at_rest_and_held_to_its_limits(bench: Bench) -> None:
    """A killed shim stays our zombie, whose descriptor is readable for ever: the wait turned into a busy loop."""
    tools = bench.tools(silence_timeout=3)
    run = bench.start("tell(messages=1)\nstay()", tools)
    until(lambda: run.out.stat().st_size, "its line")
    os.kill(run.pids()["shim"].pid, 9)
    before = time.process_time()

    verdict = bench.attend(run, tools)

    assert verdict.reason is Reason.STALLED
    assert time.process_time() - before < 1.5


@pytest.mark.parametrize(
    ("script", "settings", "reason"),
    [
        ("stay()", {"claude_timeout": 4}, Reason.TIMED_OUT),
        ("while True: print('x' * 1000, flush=True)", {"output_limit": 2_000_000}, Reason.OUTPUT_LIMIT),
    ],
)
def test_the_shim_s_own_limits_hold_where_it_was_killed(
    bench: Bench, script: str, settings: dict[str, int], reason: Reason
) -> None:
    """Defect: without its shim an agent had no time limit, and might print without end."""
    tools = bench.tools(**settings)
    run = bench.start(f"tell(messages=1)\nwait_for('shimless')\n{script}", tools)
    until(lambda: run.out.stat().st_size, "its line")
    os.kill(run.pids()["shim"].pid, 9)
    (bench.directory / "shimless").touch()

    verdict = bench.attend(run, bench.tools())

    assert verdict.reason is reason
    assert nobody_lives(bench.directory)


def test_a_stop_that_the_shim_did_not_live_to_see_through_is_seen_through(bench: Bench) -> None:
    """Asked to end, killed within the grace: an agent that does not heed the request had nobody to end it."""
    tools = bench.tools(grace=60)
    run = bench.start("import signal\nsignal.signal(15, lambda *_: print('asked', flush=True))\nstay()\nstay()", tools)
    until(lambda: run.pids().get("agent"), "the agent")

    with bench.attended(run, tools) as verdicts:
        until(lambda: _catches_term(run.pids()["agent"].pid), "its handler")
        bench.signals.request(Intent.STOP)
        until(lambda: b"asked" in run.out.read_bytes(), "the request")
        os.kill(run.pids()["shim"].pid, 9)

    assert [verdict.reason for verdict in verdicts] == [Reason.KILLED]
    assert nobody_lives(bench.directory)


def test_the_first_reason_stands(bench: Bench) -> None:
    tools = bench.tools()
    run = bench.start("stay()", tools)
    until(run.pids, "the agent")

    stop_order.give(run, StopOrder(Reason.STALLED, "first"))
    stop_order.give(run, StopOrder(Reason.MEMORY_LIMIT, "second"))

    assert stop_order.of(run) == StopOrder(Reason.STALLED, "first")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"reason": "nonsense", "detail": ""}', '{"reason": "stalled"}'])
def test_a_broken_order_is_none(bench: Bench, content: str) -> None:
    tools = bench.tools()
    run = bench.start("tell(text='done', is_error=False)", tools)
    (run.path / stop_order.NAME).write_text(content)

    assert bench.attend(run, tools).reason is Reason.SUCCEEDED


def test_an_agent_left_at_work_is_heard_from_the_beginning_by_the_next_runner(bench: Bench) -> None:
    tools = bench.tools(max_turns=5)
    run = bench.start("tell(turns=6)\nstay()", bench.tools())
    until(lambda: run.out.stat().st_size, "its line")

    assert bench.attend(run, tools).reason is Reason.BUDGET_EXHAUSTED


def test_a_flood_starves_neither_signals_nor_the_pulse(bench: Bench) -> None:
    """An agent that prints lines of 10 MB, and hundreds of thousands of short ones, at some 50 MB/s."""
    tools = bench.tools(output_limit=4 << 30)
    beats = list[float]()
    bench.pulse.every(0.2, lambda: beats.append(time.monotonic()))
    run = bench.start(
        "line = json.dumps({'noise': 'x' * 10_000_000}) + '\\n'\n"
        "while not os.path.exists('enough'):\n"
        "    print(line + '{}\\n' * 100_000, end='', flush=True)\n    time.sleep(0.2)",
        tools,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with bench.attended(run, tools) as verdicts:
        until(lambda: len(beats) >= 12 and run.out.stat().st_size > 50_000_000, "the flood")
        asked = time.monotonic()
        bench.leave()
    (bench.directory / "enough").touch()

    assert time.monotonic() - asked < 3
    assert verdicts == []
    assert max(after - before for before, after in itertools.pairwise(beats)) < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000


def test_a_long_output_is_judged_with_the_pulse_going_on_and_can_be_left(bench: Bench) -> None:
    tools = bench.tools()
    run = bench.start("print('{}\\n' * 150_000)\ntell(text='done', is_error=False)", tools)
    attendance.attend(run, bench.held, tools)
    beats = list[float]()
    bench.pulse.every(0.05, lambda: beats.append(time.monotonic()))

    verdict = attendance.judge(run, bench.held, tools)
    bench.leave()

    assert verdict.reason is Reason.SUCCEEDED
    assert len(beats) > 3
    with pytest.raises(Draining):
        attendance.judge(run, bench.held, tools)


def test_an_operator_s_stop_is_not_taken_for_a_stall(bench: Bench) -> None:
    tools = bench.tools(silence_timeout=1, grace=3)
    run = bench.start("import signal\nsignal.signal(15, signal.SIG_IGN)\ntell(messages=1)\nstay()", tools)
    until(lambda: run.out.stat().st_size, "its line")

    with bench.attended(run, tools) as verdicts:
        bench.signals.request(Intent.STOP)

    assert [verdict.reason for verdict in verdicts] == [Reason.RUNNER_STOPPED]
    assert stop_order.of(run) is None


def test_a_killed_run_costs_what_the_transcript_says_of_this_run(bench: Bench, tmp_path: Path) -> None:
    record = tmp_path / ".claude" / "projects" / "somewhere" / "5e5510.jsonl"
    record.parent.mkdir(parents=True)
    record.write_text("0.25\n0.5\n")

    verdict = bench.see_through(f"open({str(record)!r}, 'a').write('1.0\\n2.0\\n')\nos.kill(os.getpid(), 9)")

    assert (verdict.reason, verdict.cost_usd) == (Reason.KILLED, 3.0)


def test_tokens_that_are_told_for_a_whole_session_are_counted_once(bench: Bench, tmp_path: Path) -> None:
    """Codex tells with each turn what its session has used: a task that was resumed counted its first run twice."""
    program = tmp_path / "codex"
    program.write_text("#!/bin/sh\ncat > /dev/null\ncat events\n")
    program.chmod(0o755)
    tools = replace(bench.tools(), executor=CodexExecutor(str(program)))
    used = []
    for attempt, tokens in ((1, 200), (2, 500), (3, 700)):
        done = {"type": "turn.completed", "usage": {"input_tokens": tokens, "output_tokens": tokens // 10}}
        events = [{"type": "thread.started", "thread_id": "t-1"}, {"type": "turn.started"}, done]
        (tmp_path / "events").write_text("".join(json.dumps(event) + "\n" for event in events))
        bench.held = replace(bench.held, attempt=attempt)
        run = bench.start("", tools)
        bench.attend(run, tools)
        used.append(json.loads((run.path / "result.json").read_text())["usage"])

    assert [(one["input_tokens"], one["output_tokens"]) for one in used] == [(200, 20), (300, 30), (200, 20)]


def test_the_daemon_resumes_a_stalled_agent_and_parks_the_task_at_last(
    runner: Callable[..., Runner], pm: PmServer
) -> None:
    task = pm.api.task("Hangs")
    one = runner("wait")

    ended = one.run("--single-task", HEADLESS_PM_SILENCE_TIMEOUT="0.8", HEADLESS_PM_MAX_ATTEMPTS="2")

    now = pm.api.look(task["id"])
    assert ended.returncode == 1, ended.stdout
    assert (now["status"], now["locked_by"]) == ("pending", None)
    assert "stalled: the agent stood still and was ended: it was silent between tool calls for" in now["notes"]
    assert "raise silence_timeout or tool_timeout" in now["notes"]
    assert one.starts() == 2


def test_what_is_told_of_a_run_has_no_secret_in_it(bench: Bench) -> None:
    """Also where a secret would be cut in two, which no pattern finds any more."""
    verdict = bench.see_through(
        "key = os.environ['ANTHROPIC_API_KEY']\ntell(text='x' * 1990 + key, is_error=True)\nsys.exit(1)"
    )

    assert verdict.reason is Reason.AGENT_FAILED
    assert "a-key" not in verdict.detail
    assert b"a-key-of" not in (bench.runs[0].path / "result.json").read_bytes()


def test_the_error_output_has_no_secret_in_it_either(bench: Bench) -> None:
    verdict = bench.see_through("sys.exit('refused: ' + os.environ['ANTHROPIC_API_KEY'])")

    assert "refused: [secret]" in verdict.detail


def test_an_output_that_the_agent_removed_is_one_that_says_nothing(bench: Bench) -> None:
    run_out = "os.readlink('/proc/self/fd/1')"
    verdict = bench.see_through(f"tell(text='done', is_error=False)\nos.unlink({run_out})")

    assert verdict.reason is Reason.AGENT_FAILED
