"""The live output of executions: read from the agents' own files at each client's pace, looked at once for all.

A client has nothing but a position, so its memory does not grow however slow it is, and an agent never waits for one.
Offsets count the bytes of a stream over all attempts of an execution, in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from components.errors import RunnerError
from components.execution_index import ExecutionFiles, Watch
from components.run_directory import RunDirectory

logger = logging.getLogger(__name__)

STREAMS = ("stdout", "stderr")
QUICK_REST, SLOW_REST = 0.05, 0.25
"""Seconds between two looks at the sizes of files: while they grow, and while they do not."""
LOOK_SECONDS = 0.5
"""How often to look for another attempt, and for the end."""
KEPT_FRAMES = 64


@dataclass(slots=True)
class Segment:
    """The part of a stream that one attempt printed. `fd` is -1 while there is no such file."""

    attempt: int
    path: Path
    start: int
    size: int = 0
    fd: int = -1
    is_final: bool = False

    @property
    def end(self) -> int:
        return self.start + self.size

    def measure(self) -> bool:
        """Look how long it is; True where it grew."""
        if self.fd < 0:
            self.fd = _opened(self.path)
        size = os.fstat(self.fd).st_size if self.fd >= 0 else 0
        grew, self.size = size > self.size, max(size, self.size)
        return grew

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Feed:
    """What is there of one execution's output now, kept up to date while somebody follows it."""

    def __init__(self, files: ExecutionFiles) -> None:
        self.files = files
        self.followers = 0
        self.is_over = False
        self.is_closed = False
        self.tracks: dict[str, list[Segment]] = {stream: [] for stream in STREAMS}
        self._watch = Watch(files)
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Take the first look, then keep looking."""
        await self._look()
        if not self.is_over:
            self._task = asyncio.create_task(self._keep_looking())

    def end(self) -> None:
        """Stop looking, and wake everybody."""
        self.is_closed = True
        if self._task is not None:
            self._task.cancel()
        self._wake()
        for track in self.tracks.values():
            for segment in track:
                segment.close()

    def end_of(self, stream: str) -> int:
        """Return how many bytes of a stream there are."""
        track = self.tracks[stream]
        return track[-1].end if track else 0

    def segment(self, stream: str, offset: int) -> Segment | None:
        """Return the part of a stream in which the byte at an offset is, None where it is not there yet."""
        return next((one for one in self.tracks[stream] if one.start <= offset < one.end), None)

    def signal(self) -> asyncio.Event:
        """Return what is set with the next news; to be taken before looking at what is there."""
        return self._news

    async def _keep_looking(self) -> None:
        looked = last_growth = time.monotonic()
        while not self.is_over:
            now = time.monotonic()
            try:
                last_growth = now if self._measure() else last_growth
                if now - looked >= LOOK_SECONDS:
                    looked = now
                    await self._look()
            except (RunnerError, OSError):
                logger.exception("the output of execution %s cannot be looked at now", self.files.short_id)
            await asyncio.sleep(QUICK_REST if now - last_growth < 1.0 else SLOW_REST)

    async def _look(self) -> None:
        """Look for attempts and for the end; what was printed before the end was seen is measured after it."""
        is_over, runs = await asyncio.to_thread(lambda: (self._watch.is_over(), self.files.runs()))
        if self.is_closed:
            return
        for attempt, run in runs.items():
            self._enter(attempt, run)
        self._measure()
        if is_over:
            self.is_over = True
            for track in self.tracks.values():
                for segment in track:
                    segment.is_final = True
        self._wake()

    def _enter(self, attempt: int, run: RunDirectory) -> None:
        for stream, path in zip(STREAMS, (run.out, run.err), strict=True):
            track = self.tracks[stream]
            if not track or attempt > track[-1].attempt:
                if track:
                    track[-1].measure()
                    track[-1].is_final = True
                track.append(Segment(attempt, path, track[-1].end if track else 0))

    def _measure(self) -> bool:
        grew = False
        for track in self.tracks.values():
            for segment in track:
                if not segment.is_final:
                    grew = segment.measure() or grew
        if grew:
            self._wake()
        return grew

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Feeds:
    """All feeds that somebody follows, each once, and the frames that were made last."""

    def __init__(self) -> None:
        self._open: dict[str, Feed] = {}
        self._opening = asyncio.Lock()
        self._frames: OrderedDict[tuple[str, str, int, int], tuple[str, int]] = OrderedDict()
        self.is_closed = False

    @contextlib.asynccontextmanager
    async def following(self, files: ExecutionFiles) -> AsyncIterator[Feed]:
        """Follow an execution's output."""
        async with self._opening:
            feed = self._open.get(files.id)
            if feed is None:
                feed = Feed(files)
                await feed.begin()
                self._open[files.id] = feed
            feed.followers += 1
        try:
            yield feed
        finally:
            feed.followers -= 1
            if not feed.followers and self._open.get(files.id) is feed:
                del self._open[files.id]
                feed.end()

    def frame(self, key: tuple[str, str, int, int]) -> tuple[str, int] | None:
        """Return a frame that was made for another client of the same bytes, and how many of them are in it."""
        if key in self._frames:
            self._frames.move_to_end(key)
        return self._frames.get(key)

    def keep(self, key: tuple[str, str, int, int], frame: str, size: int) -> None:
        """Keep a frame for the next clients."""
        self._frames[key] = (frame, size)
        if len(self._frames) > KEPT_FRAMES:
            self._frames.popitem(last=False)

    def close(self) -> None:
        """End all feeds: whoever follows one is told no more."""
        self.is_closed = True
        for feed in self._open.values():
            feed.end()


def _opened(path: Path) -> int:
    """Open a file that an agent writes, -1 where there is none. The agent may put anything else in its place."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return -1
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return -1
