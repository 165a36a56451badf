"""A silent agent is a suspect; only a second look that finds nothing moved condemns it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components import stall
from components.stall import Signs, Silence, Situation

WORKING = stall.between_messages("", 100.0, 1000.0)
ALONE = Signs(at=0.0, processes=frozenset({(7, 1)}))


def history(silence: Silence, situation: Situation, looks: list[Signs]) -> list[stall.Finding]:
    """Look whenever the silence asks for it, second by second; each look sees the next of `looks`."""
    findings = list[stall.Finding]()
    second = 0
    while len(findings) < len(looks) and second < 5000:
        second += 1
        if silence.wants_look(situation, float(second)):
            findings.append(silence.examine(situation, replace(looks[len(findings)], at=float(second))))
    return findings


def test_silence_in_which_nothing_moves_is_death_after_one_period() -> None:
    noted, found = history(Silence(0.0), WORKING, [ALONE, ALONE])

    assert noted == stall.Finding()
    assert found.is_dead
    assert "between tool calls for 100.0 s (silence_timeout)" in found.words


@pytest.mark.parametrize(
    ("moved", "words"),
    [
        ({"agent_cpu": 2.0}, "2.00 s of CPU"),
        ({"children_cpu": 2.0}, "2.00 s of CPU"),
        ({"processes": frozenset({(7, 1), (8, 5)})}, "started 1 processes"),
        ({"processes": frozenset({(7, 9)})}, "started 1 processes"),
        ({"transcript": (10, 5)}, "transcript grew"),
        ({"transcript": (0, 5)}, "transcript grew"),
        ({"unheard": 4096}, "long line"),
    ],
)
def test_whatever_moves_gives_a_suspect_another_period(moved: dict[str, object], words: str) -> None:
    after = replace(ALONE, **moved)  # type: ignore[arg-type]

    findings = history(Silence(0.0), WORKING, [ALONE, after, after])

    assert [found.is_dead for found in findings] == [False, False, True]
    assert words in findings[1].words


def test_a_trace_of_cpu_time_is_no_life_and_neither_is_an_ended_process() -> None:
    before = replace(ALONE, processes=frozenset({(7, 1), (8, 1)}), children_cpu=9.0)

    findings = history(Silence(0.0), WORKING, [before, replace(ALONE, agent_cpu=0.3)])

    assert findings[1].is_dead


def test_an_agent_that_is_busy_for_ever_is_ended_after_four_periods() -> None:
    looks = [replace(ALONE, agent_cpu=90.0 * number) for number in range(9)]
    silence = Silence(0.0)

    findings = history(silence, WORKING, looks[:5])

    assert [found.is_dead for found in findings] == [False, False, False, False, True]
    assert "for 400.0 s" in findings[-1].words
    assert "too long though" in findings[-1].words


def test_a_message_ends_the_silence_and_the_suspicion() -> None:
    silence = Silence(0.0)
    silence.hear((1, ""), 0.0)
    silence.examine(WORKING, replace(ALONE, at=60.0))

    silence.hear((2, ""), 99.0)

    assert silence.lasts(100.0) == 1.0
    assert not silence.wants_look(WORKING, 148.0)
    assert silence.wants_look(WORKING, 149.0)
    assert silence.examine(WORKING, replace(ALONE, at=149.0)) == stall.Finding()


def test_what_was_told_again_does_not_end_the_silence() -> None:
    """A heartbeat leaves the progress as it was."""
    silence = Silence(0.0)
    for second in range(60):
        silence.hear((1, "Bash"), float(second))

    assert silence.lasts(60.0) == 60.0


def test_a_runner_that_was_held_up_looks_twice_before_it_condemns() -> None:
    """A daemon stopped for an hour has no look from before the silence, and a moment shows no life."""
    silence = Silence(0.0)
    assert silence.wants_look(WORKING, 3600.0)
    silence.examine(WORKING, replace(ALONE, at=3600.0))

    assert not silence.wants_look(WORKING, 3602.0)
    assert silence.wants_look(WORKING, 3625.0)


def test_a_tool_call_has_a_time_of_its_own() -> None:
    situation = stall.between_messages("Bash", 100.0, 1000.0)

    found = history(Silence(0.0), situation, [ALONE, ALONE])[1]

    assert found.is_dead
    assert "within a call of Bash for 1000.0 s (tool_timeout)" in found.words


def test_after_its_result_an_agent_lingers_briefly_unless_its_commands_are_at_work() -> None:
    situation = stall.after_result(30.0, 600.0)
    busy = replace(ALONE, background=2)

    alone = history(Silence(0.0), situation, [ALONE, ALONE])
    waited = history(Silence(0.0), situation, [busy] * 3 + [ALONE])
    endless = history(Silence(0.0), situation, [busy] * 30)

    assert alone[-1].is_dead
    assert [found.is_dead for found in waited] == [False, False, False, True]
    last = next(found for found in endless if found.is_dead)
    assert "after its result for 600.0 s (after_result), which is too long" in last.words


def test_after_its_result_the_agent_s_own_cpu_time_is_no_work() -> None:
    situation = stall.after_result(30.0, 600.0)

    assert history(Silence(0.0), situation, [ALONE, replace(ALONE, agent_cpu=20.0)])[1].is_dead
    assert not history(Silence(0.0), situation, [ALONE, replace(ALONE, children_cpu=20.0)])[1].is_dead


def test_who_waits_for_commands_in_the_background_has_the_time_of_a_tool_while_they_work() -> None:
    situation = stall.waiting(120.0, 600.0)
    server = replace(ALONE, background=2)
    working = [replace(server, children_cpu=50.0 * number) for number in range(30)]

    idle = history(Silence(0.0), situation, [server, server])
    busy = next(found for found in history(Silence(0.0), situation, working) if found.is_dead)

    assert (idle[-1].is_dead, idle[-1].is_at_work) == (True, False)
    assert "with commands in the background for 120.0 s (after_result)" in idle[-1].words
    assert busy.is_at_work
    assert "for 600.0 s" in busy.words
