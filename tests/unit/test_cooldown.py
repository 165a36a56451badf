"""Leaving alone what did not go well, and looking whether the disk was the trouble."""

from __future__ import annotations

from pathlib import Path

import pytest

from components import room
from components.cooldown import Cooldown, LeftAlone
from components.room import PROBE_BYTES, Room

MEGABYTE = 1 << 20


def test_a_cooldown_doubles_with_each_trouble_in_a_row_until_all_is_well() -> None:
    cooldown = Cooldown()

    assert [cooldown.begin("7") for _ in range(3)] == [30, 60, 120]
    assert cooldown.is_on

    cooldown.end()

    assert not cooldown.is_on
    assert cooldown.begin("7") == 30


def test_a_trouble_that_is_not_of_the_disk_does_not_end_early() -> None:
    cooldown = Cooldown()
    cooldown.begin("7")

    assert not cooldown.ends_early()
    assert cooldown.is_on


def test_a_cooldown_lasts_while_the_disk_is_as_it_was(tmp_path: Path) -> None:
    cooldown = Cooldown()
    cooldown.begin("7", [tmp_path])

    assert not cooldown.ends_early()
    assert cooldown.is_on


@pytest.mark.parametrize(
    ("before", "now", "is_more"),
    [
        pytest.param(Room("full", ((0, 9),)), Room("", ((0, 9),)), True, id="it takes something again"),
        pytest.param(Room("full", ((0, 9),)), Room("full", ((MEGABYTE, 9),)), False, id="it takes nothing yet"),
        pytest.param(Room("", ((0, 9),)), Room("", ((PROBE_BYTES, 9),)), True, id="from nothing to something"),
        pytest.param(Room("", ((MEGABYTE, 9),)), Room("", ((MEGABYTE + 4096, 9),)), False, id="a little up and down"),
        pytest.param(Room("", ((MEGABYTE, 9),)), Room("", ((2 * MEGABYTE, 9),)), True, id="twice as much"),
        pytest.param(Room("", ((MEGABYTE, 9),)), Room("", ((MEGABYTE, 90),)), True, id="inodes"),
        pytest.param(Room("", ((MEGABYTE, 9),)), Room("", ((9, 9),)), False, id="less"),
    ],
)
def test_more_room_is_what_may_be_enough_now(before: Room, now: Room, is_more: bool) -> None:
    assert now.is_more_than(before) is is_more


def test_a_look_leaves_nothing_behind_and_passes_over_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()

    seen = room.look([tmp_path / "place", tmp_path / "not there"])

    assert (seen.refusal, len(seen.free)) == ("", 1)
    assert list((tmp_path / "place").iterdir()) == []


def test_a_place_that_takes_no_file_says_why() -> None:
    assert room.look([Path("/proc/self")]).refusal.startswith("/proc/self takes no file (")


def test_a_task_is_left_alone_for_longer_each_time_and_can_be_taken_back() -> None:
    left_alone = LeftAlone()
    left_alone.add("7")
    left_alone.add("8")

    left_alone.take_back("7")
    left_alone.take_back("never left alone")

    assert left_alone.ids() == {"8"}
