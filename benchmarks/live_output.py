"""Whether the runner keeps up with an agent that prints 100 MB each second, through a real shim and files.

Run: `.venv/bin/python -m benchmarks.live_output`. What it is behind is what was printed and is not heard yet, looked at
after each of the runner's looks. Memory is how much the process has grown at its peak.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.stream_parsing import line, small_lines, tiny_answers
from components import attendance
from components.claude_stream import ClaudeListener
from components.executors.claude import ClaudeExecutor
from components.model import AgentRun, Command
from components.overseer import Overseer
from components.run_directory import RunDirectory, RunState
from tests.bench import Bench

MEGABYTES_A_SECOND = 100
SECONDS = 8
PRINTER = """
import sys, time
block = open(sys.argv[1], "rb").read()
rate, seconds, printed, started = float(sys.argv[2]) * 1e6, float(sys.argv[3]), 0, time.monotonic()
while (now := time.monotonic() - started) < seconds:
    if printed < rate * now:
        printed += sys.stdout.buffer.write(block)
        sys.stdout.flush()
    else:
        time.sleep(0.001)
print(open(sys.argv[1] + ".end").read(), flush=True)
"""


class CountingListener(ClaudeListener):
    """Counts what it has heard."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def hear(self, line: bytes) -> None:
        self.bytes += len(line) + 1
        super().hear(line)


class Printer(ClaudeExecutor):
    """Starts a program that prints what the Claude CLI would."""

    def __init__(self, words: list[str]) -> None:
        super().__init__("claude")
        self.words = words
        self.listeners: list[CountingListener] = []

    def command(self, run: AgentRun) -> Command:
        del run
        return Command((sys.executable, "-c", PRINTER, *self.words))

    def listener(self) -> CountingListener:
        self.listeners.append(CountingListener())
        return self.listeners[-1]


def follow(overseer: Overseer, run: RunDirectory, printer: Printer) -> list[int]:
    """Attend a run to its end; return how far behind each look was, in bytes."""
    behind = []
    while run.state() is RunState.ALIVE:
        time.sleep(min(0.05, overseer.due_in()))
        overseer.beat()
        behind.append(run.out.stat().st_size - printer.listeners[-1].bytes)
    return behind


def measure(name: str, directory: Path, lines: list[bytes]) -> None:
    """Have an agent print these lines again and again, and print how the runner kept up."""
    block = directory / "block"
    block.write_bytes(b"".join(one + b"\n" for one in lines))
    Path(f"{block}.end").write_bytes(line(type="result", is_error=False, result="Done.", num_turns=1))
    bench = Bench(directory)
    printer = Printer([str(block), str(MEGABYTES_A_SECOND), str(SECONDS)])
    tools = replace(bench.tools(output_limit=1 << 40), executor=printer)
    peak, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    run = bench.start("", tools)
    started = time.monotonic()
    behind = follow(Overseer(run, bench.held, tools), run, printer)
    lasted, size = time.monotonic() - started, run.out.stat().st_size / 1e6
    cpu = time.process_time() - cpu
    verdict = attendance.judge(run, bench.held, tools)
    judged = time.monotonic() - started - lasted
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    print(
        f"{name}: {size / lasted:.0f} MB/s printed for {lasted:.1f} s, behind by {max(behind) / 1e6:.1f} MB at most"
        f" and {behind[-1] / 1e6:.1f} MB at the end, {cpu / lasted:.0%} of a core, memory grown by {grown:.1f} MB;"
        f" {verdict.reason} {judged:.1f} s later"
    )
    bench.close()


def main() -> None:
    """Measure usual lines and tiny ones."""
    for name, lines in (("small lines", small_lines()), ("tiny answers", tiny_answers())):
        with tempfile.TemporaryDirectory(prefix="benchmark-", dir=os.environ.get("TMPDIR")) as directory:
            measure(name, Path(directory), list(lines))


if __name__ == "__main__":
    main()
