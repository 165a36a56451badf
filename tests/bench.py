"""A run without a server: a real shim and agent, attended in the test's own process with settings of the test's.

The agent is a Python script. Its executor is a plug-in as a third party would write it: each line that the agent
prints is JSON whose fields are those of Progress; a line without `messages` shows no life of its own.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from components import attendance, config, launch, process
from components.errors import Draining
from components.model import AgentResult, AgentRun, Command, ExitRecord, Held, Progress, Task, Usage, Verdict
from components.model_mapper import ModelMapper
from components.pulse import Pulse
from components.run_directory import TRANSCRIPT_BEFORE, RunDirectory
from components.signals import Intent, Signals
from components.states import Phase
from components.terminal_ui import TerminalUI
from components.tools import Tools

TELL = """
import json, os, subprocess, sys, time
def tell(**progress):
    print(json.dumps(progress), flush=True)
def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.01)
def stay():
    time.sleep(600)
"""


class Told:
    """Hears lines of Progress; the last line with a `text` is the result."""

    def __init__(self) -> None:
        self._progress = Progress()
        self._result: AgentResult | None = None

    def hear(self, line: bytes) -> None:
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            if "text" in told:
                self._result = AgentResult(is_error=told["is_error"], text=told["text"], cost_usd=told.get("cost", 0.0))
            known = {name: told[name] for name in Progress.__slots__ if name in told}
            self._progress = replace(self._progress, **known)

    def progress(self) -> Progress:
        return self._progress

    def result(self, exit_record: ExitRecord | None) -> AgentResult | None:
        return self._result


class Teller:
    """The executor of such agents; a line of its transcript is a price."""

    name = "teller"
    resumes_by = "transcript"

    def command(self, run: AgentRun) -> Command:
        return Command((sys.executable, "-c", run.prompt))

    def listener(self) -> Told:
        return Told()

    def usage(self, transcript: Iterable[bytes]) -> Usage:
        return Usage(cost_usd=sum(float(line) for line in transcript))


class NoSource:
    """No test here comes to ask it."""


class Bench:
    """Attends one agent after another in a directory of the test's. Its runs have names of their own on the machine."""

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.said = io.StringIO()
        self.signals = Signals()
        self.pulse = Pulse()
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(directory), **(environment or {})}
        self.held = Held(Task("7", "A task"), "dev_1", Phase.RUNNING, uuid.uuid4().hex, "5e5510")
        self.runs: list[RunDirectory] = []

    def tools(self, **settings: Any) -> Tools:
        """Return the parts, with these settings."""
        given = {"role": "backend_dev", "home": str(self.directory / "home"), "agent_command": "true", **settings}
        words = {name: str(value) for name, value in given.items()}
        loaded = config.load(words, {"HOME": str(self.directory)}, directory=self.directory)
        parts = cast("Any", NoSource())
        return Tools(
            config=loaded.config,
            source=parts,
            worktrees=parts,
            hooks=parts,
            executor=Teller(),
            models=ModelMapper({}, {}),
            ui=TerminalUI(self.said),
            signals=self.signals,
            pulse=self.pulse,
            presence=parts,
            environment=self.environment,
            equip=parts,
        )

    def start(self, script: str, tools: Tools) -> RunDirectory:
        """Start an agent as `launch` does."""
        run = RunDirectory(self.directory / "home" / "runs" / f"7-{self.held.claim[:8]}-{len(self.runs) + 1}")
        self.runs.append(run)
        described = AgentRun(TELL + script, self.directory, self.held.session_id, timeout=tools.config.claude_timeout)
        command = tools.executor.command(described)
        run.create(command, self.directory, launch.limits_of(described, tools))
        (run.path / TRANSCRIPT_BEFORE).write_text(str(launch.transcript.size(described.session_id, tools.environment)))
        assert process.start(run, {**tools.environment, **command.env})
        return run

    def attend(self, run: RunDirectory, tools: Tools) -> Verdict:
        """Stay with a run to its end, and judge it."""
        attendance.attend(run, self.held, tools)
        return attendance.judge(run, self.held, tools)

    def see_through(self, script: str, **settings: Any) -> Verdict:
        """Start an agent, stay with it and judge it."""
        tools = self.tools(**settings)
        return self.attend(self.start(script, tools), tools)

    @contextlib.contextmanager
    def attended(self, run: RunDirectory, tools: Tools) -> Iterator[list[Verdict]]:
        """Attend in a thread of its own meanwhile; the verdict is there afterwards, none if it was left."""
        verdicts = list[Verdict]()

        def attend() -> None:
            with contextlib.suppress(Draining):
                verdicts.append(self.attend(run, tools))

        thread = threading.Thread(target=attend)
        thread.start()
        try:
            yield verdicts
        finally:
            thread.join(50)
            assert not thread.is_alive(), "it is attended still"

    def leave(self) -> None:
        """Have the attendance end and the agent go on."""
        self.signals.request(Intent.LEAVE)

    def close(self) -> None:
        """End every agent."""
        for run in self.runs:
            process.stop(run, now=True)
            process.clear(run)
            process.collect(run)
