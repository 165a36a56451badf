"""The commands as a person uses them: on a real terminal of 80 by 24, with keys, Ctrl-C, and a change of its size."""

from __future__ import annotations

import json
import shlex
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.screen import Screen
from tests.typed import Terminal
from tests.waiting import until

Typed = Callable[..., Screen]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    one = Terminal(tmp_path, "wait", "write", "commit")
    yield one
    one.close()


@pytest.fixture
def on_screen(terminal: Terminal) -> Iterator[Typed]:
    """Type a command on a terminal of its own."""
    screens: list[Screen] = []

    def typed(*words: str, into: Path | None = None, **env: str) -> Screen:
        inherited = {name: value for name, value in terminal.env.items() if name != "NO_COLOR"}
        argv = terminal.argv(*words)
        if into is not None:
            argv = ["sh", "-c", f"{shlex.join(argv)} > {shlex.quote(str(into))}"]
        screens.append(Screen(argv, {**inherited, **env}, terminal.repository))
        return screens[-1]

    yield typed
    for one in screens:
        one.close()


def test_a_task_is_seen_at_work_and_to_its_end(terminal: Terminal, on_screen: Typed) -> None:
    screen = on_screen("task", ".", "Mend the roof")
    screen.shows("working")

    terminal.open_gate()

    screen.shows("finished")
    assert screen.code() == 0
    assert "succeeded (1 attempt" in screen.text


def test_ctrl_c_leaves_a_task_at_work_and_a_second_one_cancels_it(terminal: Terminal, on_screen: Typed) -> None:
    screen = on_screen("task", ".", "Mend the roof")
    screen.shows("working")

    screen.type("\x03")
    screen.shows("Ctrl-C again within 3 s")
    assert len(terminal.told("status")["executions"]) == 1
    screen.type("\x03")

    screen.shows(": cancelled")
    assert screen.code() == 130
    assert all(len(line) <= 80 for line in screen.text.splitlines())


def test_ctrl_c_alone_leaves_a_task_that_ends_by_itself(terminal: Terminal, on_screen: Typed) -> None:
    screen = on_screen("task", ".", "Mend the roof")
    screen.shows("working")

    screen.type("\x03")
    assert screen.code() == 130
    (one,) = terminal.told("status")["executions"]
    terminal.open_gate()

    assert terminal.ended(one["id"])["status"] == "succeeded"


def test_cancel_without_an_id_offers_what_runs(terminal: Terminal, on_screen: Typed) -> None:
    claim = terminal.start()

    screen = on_screen("cancel")
    screen.shows("Which one")
    assert f"1  {claim[:8]}" in screen.text
    screen.type("1\n")

    assert screen.code() == 0
    assert terminal.ended(claim)["status"] == "cancelled"


@pytest.mark.parametrize("keys", ["\n", "\x03", "\x04"], ids=["Enter", "Ctrl-C", "Ctrl-D"])
def test_whoever_chooses_none_to_cancel_leaves_all_at_work(terminal: Terminal, on_screen: Typed, keys: str) -> None:
    claim = terminal.start("Mend the roof " * 20)

    screen = on_screen("cancel")
    screen.shows("Which one [none]:")
    screen.type(keys)

    assert screen.code() == 130
    assert screen.text.splitlines()[-1] == "Nothing was cancelled."
    assert all(len(line) <= 80 for line in screen.text.splitlines())
    assert screen.is_sane()
    assert terminal.at_work(claim)["stage"] == "running"


def test_a_wrong_choice_is_asked_for_again_and_the_right_one_of_several_ends(
    terminal: Terminal, on_screen: Typed
) -> None:
    first, second = terminal.start("Mend the roof"), terminal.start("Paint the fence")

    screen = on_screen("cancel", "--json")
    screen.shows("Which one [none]:")
    number = next(line.split()[0] for line in screen.text.splitlines() if second[:8] in line)
    screen.type("3\n")
    screen.shows("'3': type a number from 1 to 2, or Enter to leave all as it is")
    screen.type(f"{number}\n")

    assert screen.code() == 0
    until(lambda: terminal.told("show", second)["status"] == "cancelled", "the end of what was chosen")
    assert terminal.at_work(first)["stage"] == "running"


def test_what_is_chosen_to_be_cancelled_goes_to_the_error_output(terminal: Terminal, on_screen: Typed) -> None:
    """Regression: the list and the question stood before the JSON in a file that it was written to."""
    claim = terminal.start()
    told = terminal.directory / "told.json"

    screen = on_screen("cancel", "--json", into=told)
    screen.shows("Which one")
    screen.type("1\n")

    assert screen.code() == 0
    assert json.loads(told.read_text()) == {"id": claim, "result": "cancelled"}


@pytest.mark.parametrize("words", [("top", "--interval", "0.2"), ("status", "--watch")])
def test_a_live_view_fits_its_screen_follows_its_size_and_ends_with_q(
    terminal: Terminal, on_screen: Typed, words: tuple[str, ...]
) -> None:
    """A row of `top` took 84 columns and pushed itself over into the next line."""
    claim = terminal.start("A title that is rather long, longer than what is left of any line of 80 columns")
    screen = on_screen(*words)
    screen.shows(claim[:8])
    assert all(len(line) <= 80 for line in screen.picture.splitlines())

    screen.resize(40, 10)
    until(
        lambda: claim[:8] in screen.picture and max(map(len, screen.picture.splitlines())) == 40, "a picture that fits"
    )
    screen.type("q")

    assert screen.code() == 0
    assert screen.is_sane()
    assert screen.raw.endswith("\x1b[?25h\x1b[?1049l")


def test_colours_are_for_terminals_that_want_them(terminal: Terminal, on_screen: Typed) -> None:
    terminal.start()
    plain, coloured = on_screen("status", NO_COLOR="1"), on_screen("status")

    assert (plain.code(), coloured.code()) == (0, 0)

    assert "\x1b[" not in plain.raw
    assert "\x1b[1mID" in coloured.raw
    assert "\x1b[" not in terminal.say("status")


def test_a_patch_is_shown_by_the_pager_of_the_user(terminal: Terminal, on_screen: Typed) -> None:
    claim = terminal.start()
    terminal.open_gate()
    terminal.ended(claim)

    screen = on_screen("diff", claim[:8], PAGER="sed s/^/paged:/")

    assert screen.code() == 0
    assert "paged:" in screen.text
    assert "work of attempt 1" in screen.text


def test_pruning_asks_and_takes_no_for_an_answer(terminal: Terminal, on_screen: Typed) -> None:
    terminal.open_gate()
    done = on_screen("task", ".", "Mend the roof")
    assert done.code() == 0

    screen = on_screen("workspaces", "prune", "--older-than", "0")
    assert screen.code() == 0
    assert "No workspace is to go" in screen.text


def test_a_store_that_another_process_has_locked_is_read_all_the_same(terminal: Terminal) -> None:
    claim = terminal.start()
    with sqlite3.connect(terminal.home / "store.db") as other:
        other.execute("BEGIN EXCLUSIVE")
        shown, listed = terminal.say("status"), terminal.run("list")
        other.rollback()
    other.close()

    assert claim[:8] in shown
    assert (listed.returncode, claim[:8] in listed.stdout) == (0, True)


def test_a_task_whose_store_is_deleted_at_work_is_listed_again(terminal: Terminal) -> None:
    claim = terminal.start()
    for path in terminal.home.glob("store.db*"):
        path.unlink()

    assert terminal.at_work(claim)["stage"] == "running"
    terminal.open_gate()
    until(lambda: not terminal.told("status")["executions"], "the end")

    assert terminal.told("show", claim)["status"] == "succeeded"


def test_what_outlives_a_killed_agent_is_not_called_its_agent(tmp_path: Path) -> None:
    """`status` said that the agent worked on, when only something that it had started did."""
    one = Terminal(tmp_path)
    one.env["AGENT_COMMAND"] = "sh -c 'sleep 300 & wait'"
    try:
        claim = one.start()
        until(lambda: _is_running(one), "the agent")
        one.kill(claim, "runner", "shim", "agent")
        until(lambda: "agent" not in one.pids(claim), "its end")
        shown = one.say("status")
        ended = one.say("cancel", claim)
    finally:
        one.close()

    assert "no runner, no agent, but something that it started lives on" in shown.replace("\n    ", " ")
    assert ended == f"{claim[:8]}: cancelled\n"


def _is_running(terminal: Terminal) -> bool:
    return bool([one for one in terminal.told("status")["agents"] if one["phase"] == "RUNNING"])


def test_locks_tells_which_account_is_on_hold(terminal: Terminal) -> None:
    accounts = terminal.home / "accounts"
    accounts.mkdir(parents=True)
    ends = time.time() + 7230
    told = {"until": ends, "reason": "rate_limited", "times": 1, "agent_id": "dev_7"}
    (accounts / "0123456789abcdef.json").write_text(json.dumps(told))
    (accounts / "fedcba9876543210.json").write_text(json.dumps({**told, "until": time.time() - 5}))
    (accounts / "torn.json").write_text("{")

    shown, listed = terminal.say("locks"), terminal.told("locks")["accounts"]

    assert "0123456789abcdef  dev_7   in 2 h  rate_limited" in shown
    assert [(one["account"], one["until"]) for one in listed] == [("0123456789abcdef", ends)]
