"""Reads the logs of an execution over all its attempts, and goes on as they grow."""

from __future__ import annotations

import contextlib
import select
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from components import durable, execution_end, execution_log, typed_task
from components.attempt_log import AttemptLog, Growing
from components.errors import NotFound
from components.execution_index import ExecutionFiles, Watch, verdict
from components.log_view import Kind, Line, LogView
from components.model import Verdict
from components.run_directory import RunDirectory, RunState
from components.run_end import RunEnd
from components.states import Phase

LEAST_REST, MOST_REST, REST_GROWTH = 0.1, 1.0, 1.5
"""Seconds between two looks; they grow while nothing comes."""
MOST_GROWTH = 10
UNATTENDED_LOOKS = 8
"""After how many looks in vain, some five seconds, it is said that nobody works on it."""
ABANDONED_LOOKS = 30
"""After how many, half a minute, nobody is waited for any more: whoever restarts a runner is done by then."""
BACK_BYTES = 32 << 20
"""How far back the last readable lines are looked for in one file."""
MORE = 8
"""How many times as many lines of output are read, where too few of them said anything readable."""

Rest = Callable[[float, int | None], object]
"""Rests for so many seconds, or until a descriptor is readable. What it raises ends the following."""


def rest(seconds: float, fd: int | None) -> None:
    """Rest, unless the end of a process wakes us."""
    poller = select.poll()
    if fd is not None:
        poller.register(fd, select.POLLIN)
    poller.poll(seconds * 1000)


class LogFollow:
    """One pass over the logs of one execution, or of one attempt of it.

    It ends with what is there now, or, when it is live, with the end of the execution. Memory is bounded by the longest
    line, whatever the size of the files. Raises NotFound for an attempt that there is not.
    """

    def __init__(
        self, files: ExecutionFiles, *, is_live: bool = False, attempt: int | None = None, rest: Rest = rest
    ) -> None:
        self.files = files
        self._is_live = is_live
        self._attempt = attempt
        self._rest = rest
        self._looks = 0
        self._is_abandoned = False
        self._watch = Watch(files)
        if attempt is not None and attempt not in files.runs():
            there = ", ".join(map(str, files.runs())) or "none yet"
            raise NotFound(f"execution {files.short_id} has no attempt {attempt}; there is: {there}")

    def raw(self, last: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of `out`, each once and in order, from the last so many lines on; None is from the first."""
        begin, offset = self._start_of_last(last) if last is not None else (1, 0)
        for number, run in self._attempts(begin):
            if run is not None:
                stream = Growing(run.out, offset if number == begin else 0)
                for _, piece in self._grow(number, run, [stream]):
                    yield piece

    def runner_log(self, last: int | None = None) -> Iterator[bytes]:
        """Yield what the execution's own runner has said, as bytes. Raises NotFound where it keeps no log."""
        path = self.files.runner_log
        if not path.exists():
            raise NotFound(
                f"execution {self.files.short_id} has no log of a runner: it was not typed as a `task`."
                " The messages of a daemon are where its output went when it was started"
            )
        stream = Growing(path, 0 if last is None else execution_log.start_of_last(path, last)[0])
        while True:
            is_left = self._looks >= ABANDONED_LOOKS and self._is_unattended()
            is_over = not self._is_live or self._watch.is_over() or is_left
            offset = stream.offset
            yield from stream.pieces()
            if is_over:
                return
            self._pause(None, has_come=stream.offset > offset)

    def lines(self, make_view: Callable[[], LogView], last: int | None = None) -> Iterator[Line]:
        """Yield readable lines from the last so many on (None: from the first), and how it ended where it is over."""
        log: AttemptLog | None = None
        if last is not None:
            is_over = self._is_over()
            log, found = self._last_lines(make_view, last)
            found += make_view().own(self._closing()) if is_over else []
            yield from found[-last:] if last else []
            if is_over or not self._is_live:
                return
        for number, run in self._attempts(log.number if log else 1):
            if run is None:
                yield self._unattended()
                continue
            if log is None or log.number != number:
                log = AttemptLog(number, run, make_view)
            yield from self._lines_of(log)
        if self._is_over():
            yield from make_view().own(self._closing())
        elif self._is_abandoned:
            yield self._left()

    def _lines_of(self, log: AttemptLog) -> Iterator[Line]:
        yield from log.opening(self._verdict_before(log.number), self._watch.look())
        for stream, piece in self._grow(log.number, log.run, log.streams):
            yield from log.take(stream, piece)
        if self._has_ended(log.number, log.run):
            yield from log.ending()

    def _last_lines(self, make_view: Callable[[], LogView], last: int) -> tuple[AttemptLog | None, list[Line]]:
        """Return the newest attempt's log as far as it was read, and the last readable lines."""
        newest: AttemptLog | None = None
        found: list[Line] = []
        for number, run in reversed(self._runs().items()):
            if newest is not None and len(found) >= last:
                break
            log, lines = self._end_of(number, run, make_view, last - len(found))
            newest = newest or log
            found = [*lines, *found]
        return newest, found

    def _end_of(
        self, number: int, run: RunDirectory, make_view: Callable[[], LogView], wanted: int
    ) -> tuple[AttemptLog, list[Line]]:
        """Read so much of the end of an attempt as has the wanted number of readable lines."""
        count = wanted
        while True:
            has_ended = self._has_ended(number, run)
            log = AttemptLog(number, run, make_view, last=count, limit_bytes=BACK_BYTES)
            lines = deque(log.opening(self._verdict_before(number), self._watch.look()), maxlen=wanted)
            for stream, growing in enumerate(log.streams):
                for piece in growing.pieces():
                    lines.extend(log.take(stream, piece))
            lines.extend(log.ending() if has_ended else ())
            if log.is_whole or log.is_at_limit or len(lines) >= wanted:
                return log, list(lines)
            count *= MORE

    def _attempts(self, begin: int) -> Iterator[tuple[int, RunDirectory | None]]:
        """Yield the attempts from one on, each when the one before was read, live also those that are still to come.

        A None among them tells that nobody works on what is to be done next.
        """
        done = begin - 1
        self._looks = 0
        while True:
            is_over = not self._is_live or self._is_over()  # looked at first: nothing begins after it
            if is_over or done < begin or not self.files.task_id or self.files.next_run(done).exists():
                for number, run in self._runs().items():
                    if number > done:
                        done = number
                        yield number, run
                        self._looks = 0
            if is_over or self._attempt is not None:
                return
            if self._looks in (UNATTENDED_LOOKS, ABANDONED_LOOKS) and self._is_unattended():
                self._is_abandoned = self._looks == ABANDONED_LOOKS
                if self._is_abandoned:
                    return
                yield 0, None
            self._pause(None, has_come=False)

    def _grow(self, number: int, run: RunDirectory, streams: Sequence[Growing]) -> Iterator[tuple[int, bytes]]:
        """Yield pieces of a run's streams as they grow, each with its stream's place, until the run is over."""
        with contextlib.closing(RunEnd(run)) as end:
            while True:
                is_over = not self._is_live or (end.may_have_come() and self._has_ended(number, run))
                offset = sum(stream.offset for stream in streams)
                for place, stream in enumerate(streams):
                    for piece in stream.pieces():
                        yield place, piece
                if is_over:
                    return
                self._pause(end.fd, has_come=sum(stream.offset for stream in streams) > offset)

    def _has_ended(self, number: int, run: RunDirectory) -> bool:
        """Is a run over? One that did not start is, once its execution is past it; its lock is not touched."""
        if (run.path / "pids").exists() or run.exit_record() is not None:
            return run.state() is not RunState.ALIVE
        held = self._watch.look()
        return held is None or held.attempt != number or held.phase not in (Phase.SPAWNING, Phase.RUNNING)

    def _is_over(self) -> bool:
        if self._attempt is None:
            return self._watch.is_over()
        run = self._runs().get(self._attempt)
        return run is None or self._has_ended(self._attempt, run)

    def _closing(self) -> Line:
        if self._attempt is not None:
            return execution_end.of_attempt(self._attempt, self._runs().get(self._attempt))
        return execution_end.of_execution(self.files, self._watch.last)

    def _is_unattended(self) -> bool:
        if self.files.directory.is_dir():
            home, claim = self.files.home, self.files.id
            return not (typed_task.has_runner(home, claim) or typed_task.is_queued(home, claim))
        return self._watch.path is not None and not durable.is_held(self._watch.path.with_suffix(".flock"))

    def _unattended(self) -> Line:
        held = self._watch.last
        who = f" of agent {held.agent_id}" if held else ""
        return Line(Kind.WARNING, f"nobody works on it: the runner{who} is gone; started again, it goes on")

    def _left(self) -> Line:
        """Tell that nobody came; what to do next stands in it."""
        short = self.files.short_id
        is_typed = self.files.directory.is_dir()
        way = f"`restart {short} --resume`" if is_typed else "to start its runner again"
        return Line(Kind.OVER, f"execution {short} is abandoned: nobody works on it; the way on is {way}")

    def _pause(self, fd: int | None, *, has_come: bool) -> None:
        self._looks = 0 if has_come else self._looks + 1
        self._rest(min(LEAST_REST * REST_GROWTH ** min(self._looks, MOST_GROWTH), MOST_REST), fd)

    def _runs(self) -> dict[int, RunDirectory]:
        return {number: run for number, run in self.files.runs().items() if self._attempt in (None, number)}

    def _verdict_before(self, number: int) -> Verdict | None:
        run = self.files.runs().get(number - 1)
        return verdict(run) if run is not None else None

    def _start_of_last(self, last: int) -> tuple[int, int]:
        """Return the attempt, and the offset in its output, at which the last so many lines begin."""
        number, offset = 1, 0
        for number, run in reversed(self._runs().items()):  # noqa: B007
            with contextlib.suppress(NotFound):
                offset, found = execution_log.start_of_last(run.out, last)
                last -= found
            if last <= 0:
                break
        return number, offset
