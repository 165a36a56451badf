"""One client's way through the bytes of an execution: each is told once, whatever they are and wherever a read ends."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.execution_index import ExecutionFiles
from components.server.cutting import CHUNK
from components.server.feeds import Feed, Feeds, Segment
from components.server.follower import Follower, Wanted

Frame = dict[str, Any]
STRADDLING = [b"x" * (CHUNK - 2) + "€".encode(), b"and more\n" * 5]
some_bytes = st.one_of(
    st.text(max_size=12).map(str.encode), st.binary(max_size=12), st.sampled_from(["€", "𝄞", "é"]).map(str.encode)
)


class Agent:
    """What an agent prints, piece by piece in each attempt, and what clients of one service are told of it."""

    def __init__(self, directory: str, chunk: int) -> None:
        self.directory = Path(directory)
        self.chunk = chunk
        self.feeds = Feeds()
        self.feed = Feed(ExecutionFiles(self.directory, "abcdef12"))

    async def told(self, attempts: list[list[bytes]], offsets: list[int]) -> list[list[Frame]]:
        """Return the frames of clients that follow while it prints, from an offset each."""
        clients = [asyncio.create_task(self.frames(offset)) for offset in offsets]
        track = self.feed.tracks["stdout"]
        for number, pieces in enumerate(attempts, 1):
            track.append(Segment(number, self.directory / str(number), track[-1].end if track else 0))
            for piece in pieces:
                with track[-1].path.open("ab") as out:
                    out.write(piece)
                await self._look()
            track[-1].is_final = True
        self.feed.is_over = True
        await self._look()
        return list(await asyncio.wait_for(asyncio.gather(*clients), 20))

    async def frames(self, offset: int) -> list[Frame]:
        wanted = Wanted({"stdout": offset})
        follower = Follower(self.feed, self.feeds, wanted, lambda text: text, chunk=self.chunk)
        return [json.loads(frame) async for frame in follower.frames()]

    async def _look(self) -> None:
        for segment in self.feed.tracks["stdout"]:
            segment.measure()
        self.feed._wake()
        for _ in range(5):
            await asyncio.sleep(0)


def told(attempts: list[list[bytes]], *offsets: int, chunk: int = CHUNK) -> list[list[Frame]]:
    with tempfile.TemporaryDirectory() as directory:
        agent = Agent(directory, chunk)
        try:
            return asyncio.run(agent.told(attempts, list(offsets)))
        finally:
            for segment in agent.feed.tracks["stdout"]:
                segment.close()


def content(frames: list[Frame], at: int) -> bytes:
    found = b""
    for frame in frames:
        if frame["type"] == "output":
            data = frame["data"].encode() if frame["encoding"] == "utf-8" else base64.b64decode(frame["data"])
            assert (frame["offset"], frame["end"]) == (at + len(found), at + len(found) + len(data))
            found += data
    return found


def test_output_goes_on_after_a_character_that_straddles_two_reads() -> None:
    """Once nothing more was told after the half that was left at the end of a 32 KiB block, but a proper end."""
    printed = b"".join(STRADDLING)

    whole, rest = told([STRADDLING], 0, CHUNK - 2)

    assert content(whole, 0) == printed
    assert content(rest, CHUNK - 2) == printed[CHUNK - 2 :]
    assert whole[-1]["offsets"] == {"stdout": len(printed)}
    assert {frame["encoding"] for frame in whole if frame["type"] == "output"} == {"utf-8"}


@settings(max_examples=150, deadline=None)
@given(
    attempts=st.lists(st.lists(some_bytes, max_size=12), min_size=1, max_size=3),
    starts=st.lists(st.integers(0, 200), min_size=1, max_size=4),
    chunk=st.integers(4, 40),
)
@example(attempts=[STRADDLING], starts=[0, CHUNK - 1, CHUNK], chunk=CHUNK)
@example(attempts=[[b"\xe2", b"\x82", b"\xac"], [b"\xf0\x9d"], [b"\x84\x9e"]], starts=[0, 1, 2, 3], chunk=4)
def test_every_byte_is_told_once_from_any_offset_before_the_end(
    attempts: list[list[bytes]], starts: list[int], chunk: int
) -> None:
    printed = b"".join(piece for pieces in attempts for piece in pieces)
    starts = [min(start, len(printed)) for start in starts]

    for start, frames in zip(starts, told(attempts, *starts, chunk=chunk), strict=True):
        assert content(frames, start) == printed[start:]
        assert [frame["type"] for frame in frames].index("exit") == len(frames) - 1
        assert frames[-1]["offsets"] == {"stdout": len(printed)}


@settings(max_examples=60, deadline=None)
@given(text=st.text(min_size=1, max_size=200), chunk=st.integers(4, 40), cuts=st.lists(st.integers(0, 800), max_size=5))
def test_text_is_told_as_text_wherever_a_read_ends(text: str, chunk: int, cuts: list[int]) -> None:
    printed = text.encode("utf-8", "replace")
    edges = sorted({0, len(printed), *(cut % len(printed) for cut in cuts)})

    (frames,) = told([[printed[begin:end] for begin, end in itertools.pairwise(edges)]], 0, chunk=chunk)

    assert {frame["encoding"] for frame in frames if frame["type"] == "output"} == {"utf-8"}
    assert content(frames, 0) == printed


def test_what_an_agent_took_out_of_its_own_output_is_a_gap() -> None:
    """Its end was awaited for ever where another attempt came after it."""
    with tempfile.TemporaryDirectory() as directory:
        agent = Agent(directory, CHUNK)

        async def follow() -> list[Frame]:
            first = Segment(1, agent.directory / "1", 0)
            first.path.write_bytes(b"gone before it was read")
            first.measure()
            first.path.write_bytes(b"left \xe2\x82")
            first.is_final = True
            agent.feed.tracks["stdout"].append(first)
            return (await agent.told([], [0]))[0]

        try:
            frames = asyncio.run(follow())
        finally:
            agent.feed.tracks["stdout"][0].close()

    assert content(frames, 0) == b"left \xe2\x82"
    assert [(one["offset"], one["end"], one["skipped"]) for one in frames if one["type"] == "gap"] == [(7, 23, 16)]
    assert frames[-1]["offsets"] == {"stdout": 23}
