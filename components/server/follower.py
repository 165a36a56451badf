"""One client's way through the output of an execution, frame by frame."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from components import execution_index, execution_log, history_entry, typed_task
from components.attempt_log import Splitter
from components.errors import NotFound
from components.log_view import Kind, Line, LogView
from components.model import Verdict
from components.redact import shorten
from components.server import last_words
from components.server.cutting import CHUNK, cut, length_at
from components.server.feeds import STREAMS, Feed, Feeds, Segment

DETAIL_LETTERS = 500
"""How much of why it ended the last frame tells; all of it is told with the execution."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client wants: from which offset of each stream on, negative from the end.

    With `lines` it gets readable lines instead of bytes. One that falls more than `max_lag` bytes behind is taken
    forward, and told of the gap; 0 is never.
    """

    starts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    lines: bool = False
    max_lag: int = 0


class Follower:
    """Makes the frames of one client; what it remembers is where it is."""

    def __init__(
        self, feed: Feed, feeds: Feeds, wanted: Wanted, redact: Callable[[str], str], *, chunk: int = CHUNK
    ) -> None:
        self._feed = feed
        self._feeds = feeds
        self._wanted = wanted
        self._redact = redact
        self._chunk = chunk
        self.position = {
            stream: start if start >= 0 else max(0, feed.end_of(stream) + start)
            for stream, start in wanted.starts.items()
        }
        self._readers = {stream: _Reader(last_words.view(redact), at) for stream, at in self.position.items()}
        self._attempt = 0

    async def frames(self) -> AsyncIterator[str]:
        """Yield all that there is and will be, then how the execution ended; nothing more where the service stops."""
        yield _json(type="start", execution=self._feed.files.id, offsets=self.position, timestamp=now())
        while not self._feed.is_closed:
            news, is_over = self._feed.signal(), self._feed.is_over
            before = dict(self.position)
            frames = [frame for stream in self.position for frame in self._next(stream)]
            for frame in frames:
                yield frame
                await asyncio.sleep(0)  # a client that reads as fast as we write must not keep others waiting
            if self.position == before:
                if is_over:
                    yield await asyncio.to_thread(self._ending)
                    return
                await news.wait()

    def _next(self, stream: str) -> list[str]:
        offset = self.position[stream]
        rest = self._rest(stream) if self._wanted.lines else ""
        segment = self._feed.segment(stream, offset)
        if segment is None:
            return [rest] if rest else []
        if self._wanted.max_lag and self._feed.end_of(stream) - offset > self._wanted.max_lag:
            return [*([rest] if rest else []), self._skip(stream)]
        frames = self._new_attempt(segment)
        made = self._lines(stream, segment, offset) if self._wanted.lines else self._bytes(stream, segment, offset)
        return [*([rest] if rest else []), *frames, *([made] if made else [])]

    def _new_attempt(self, segment: Segment) -> list[str]:
        if segment.attempt <= self._attempt:
            return []
        self._attempt = segment.attempt
        return [_json(type="attempt", execution=self._feed.files.id, attempt=segment.attempt, timestamp=now())]

    def _skip(self, stream: str) -> str:
        """Take a client that is too far behind forward to where a line begins."""
        offset = self.position[stream]
        to = self._feed.end_of(stream) - self._wanted.max_lag // 2
        segment = self._feed.segment(stream, to)
        if segment is not None:
            newline = os.pread(segment.fd, CHUNK, to - segment.start).find(b"\n")
            to += newline + 1 if newline >= 0 else 0
        self.position[stream] = to
        self._readers[stream] = _Reader(last_words.view(self._redact), to)
        return self._gap(stream, offset, to)

    def _bytes(self, stream: str, segment: Segment, offset: int) -> str:
        within = offset - segment.start
        length = min(length_at(within, self._chunk), segment.end - offset)
        key = (self._feed.files.id, stream, offset, offset + length)
        frame, size = self._feeds.frame(key) or ("", 0)
        if not frame:
            data = os.pread(segment.fd, length, within)
            if not data:
                return self._lost(stream, segment, offset)
            is_last = segment.is_final and (len(data) < length or segment.end == offset + length)
            text, encoding, size = cut(data, is_last=is_last)
            if not size:
                return ""
            frame = self._output(segment, stream, offset, size, data=text, encoding=encoding)
            if len(data) == length:
                self._feeds.keep(key, frame, size)
        self.position[stream] = offset + size
        return frame

    def _lost(self, stream: str, segment: Segment, offset: int) -> str:
        """Tell of what an attempt has printed and is not in its file any more: nothing else would ever come there."""
        if not segment.is_final:
            return ""
        self.position[stream] = segment.end
        return self._gap(stream, offset, segment.end)

    def _gap(self, stream: str, offset: int, to: int) -> str:
        told = {"execution": self._feed.files.id, "stream": stream, "offset": offset, "end": to}
        return _json(type="gap", **told, skipped=to - offset, timestamp=now())

    def _lines(self, stream: str, segment: Segment, offset: int) -> str:
        data = os.pread(segment.fd, min(self._chunk, segment.end - offset), offset - segment.start)
        if not data:
            return self._lost(stream, segment, offset)
        is_last = segment.is_final and segment.end == offset + len(data)
        self.position[stream] = offset + len(data)
        reader = self._readers[stream]
        lines = reader.feed(stream, data, offset, is_last=is_last)
        return self._told(segment, stream, lines)

    def _rest(self, stream: str) -> str:
        """Return the last line of an attempt that was read before anybody knew that it is the last, and has no end."""
        reader, offset = self._readers[stream], self.position[stream]
        segment = self._feed.segment(stream, offset - 1) if reader.whole < offset else None
        if segment is None or not segment.is_final or segment.end > offset:
            return ""
        return self._told(segment, stream, reader.feed(stream, b"", offset, is_last=True))

    def _told(self, segment: Segment, stream: str, lines: list[Line]) -> str:
        """Return a frame of lines, which begins where the one before it has ended; "" where there are none."""
        if not lines:
            return ""
        reader = self._readers[stream]
        begin, reader.told = reader.told, reader.whole
        shown = [{"kind": one.kind, "sign": one.sign, "text": one.text, "depth": one.depth} for one in lines]
        return self._output(segment, stream, begin, reader.whole - begin, lines=shown)

    def _output(self, segment: Segment, stream: str, offset: int, size: int, **content: object) -> str:
        return _json(
            type="lines" if "lines" in content else "output",
            execution=self._feed.files.id,
            attempt=segment.attempt,
            stream=stream,
            offset=offset,
            end=offset + size,
            timestamp=now(),
            **content,
        )

    def _ending(self) -> str:
        """Return the last frame: how the execution ended."""
        files = self._feed.files
        verdict = _verdict(self._feed)
        told: dict[str, Any] = {"execution": files.id, "offsets": self.position, "timestamp": now()}
        if verdict is None:
            return _json(type="exit", **told, status="interrupted", reason="", exit_code=None, detail=self._why())
        status = history_entry.ended_by(verdict.reason)
        return _json(
            type="exit",
            **told,
            status=status,
            reason=verdict.reason,
            exit_code=verdict.exit_code,
            detail=shorten(self._redact(verdict.detail), DETAIL_LETTERS),
        )

    def _why(self) -> str:
        """Return why an execution ended that nobody judged: its runner's last word."""
        said = execution_log.last_error(self._feed.files.runner_log)
        return self._redact(said or "its runner is gone, and nothing of it lives")


class _Reader:
    """Makes readable lines of one stream from an offset on.

    `whole` is the offset behind the last whole line that was read, `told` that behind the last frame.
    """

    def __init__(self, view: LogView, offset: int) -> None:
        self._view = view
        self._splitter = Splitter()
        self.whole = self.told = offset

    def feed(self, stream: str, data: bytes, offset: int, *, is_last: bool) -> list[Line]:
        newline = data.rfind(b"\n")
        self.whole = offset + len(data) if is_last else offset + newline + 1 if newline >= 0 else self.whole
        raw = [*self._splitter.feed(data), *(self._splitter.rest() if is_last else ())]
        return [one for line in raw for one in self._read(stream, line)]

    def _read(self, stream: str, line: bytes) -> list[Line]:
        return list(self._view.lines(line) if stream == "stdout" else self._view.text(line, Kind.STDERR))


def _verdict(feed: Feed) -> Verdict | None:
    try:
        kept = typed_task.verdict_of(feed.files.home, feed.files.id)
    except NotFound:
        kept = None
    runs = list(feed.files.runs().values())
    return kept or (execution_index.verdict(runs[-1]) if runs else None)


def _json(**frame: object) -> str:
    return json.dumps(frame, ensure_ascii=False)


def now() -> str:
    """Return the wall time as frames have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
