"""The protocols of the agents that we speak to, as their fakes speak them: what the contract suite needs of each."""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import execution_log, executors, process
from components.model import AgentResult, AgentRun, ExitRecord, Progress
from components.ports import Executor
from components.run_directory import Limits, RunDirectory, RunState
from tests.waiting import until

FAKE = Path(__file__).with_name("fakes") / "agent.py"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One agent's protocol: which setting names its program, and how it says that it is done, or that it failed."""

    name: str
    setting: str
    done: Callable[[str], str]
    failed: Callable[[str], str]
    chatter: Callable[[str], str]
    failing_exit: int = 1
    tells_result: bool = True

    def executor(self, program: Path, **settings: Any) -> Executor:
        """Return the executor with this program as its agent."""
        value = (str(program),) if self.setting == "agent_command" else program
        return executors.find(self.name, {"api_key": "secret-of-the-pm", **settings, self.setting: value})


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is over: how it ended, what the listener made of it, and what the fake was given."""

    record: ExitRecord | None
    result: AgentResult | None
    progress: Progress
    spec: str
    given: Mapping[str, Any]
    stderr: str


def lines(*messages: Mapping[str, Any]) -> str:
    """Return messages one a line."""
    return "".join(json.dumps(message) + "\n" for message in messages)


def _claude_result(text: str, *, is_error: bool) -> str:
    told = {"type": "result", "subtype": "success", "is_error": is_error, "result": text, "session_id": "s"}
    return lines({**told, "duration_ms": 1, "duration_api_ms": 1, "num_turns": 1, "total_cost_usd": 0.25, "usage": {}})


def _claude_says(text: str) -> str:
    body = {"id": "msg_1", "role": "assistant", "model": "claude-x", "content": [{"type": "text", "text": text}]}
    return lines({"type": "assistant", "message": body, "session_id": "s", "parent_tool_use_id": None})


def _codex(*events: Mapping[str, Any]) -> str:
    return lines({"type": "thread.started", "thread_id": "t"}, {"type": "turn.started"}, *events)


def _codex_says(text: str) -> Mapping[str, Any]:
    return {"type": "item.completed", "item": {"id": "i", "type": "agent_message", "text": text}}


COMMAND = Dialect("command", "agent_command", "{}\n".format, "{}\n".format, "{}\n".format, tells_result=False)
CLAUDE = Dialect(
    "claude",
    "claude_path",
    lambda text: _claude_says(text) + _claude_result(text, is_error=False),
    lambda text: _claude_result(text, is_error=True),
    _claude_says,
)
CLAUDE_SDK = Dialect("claude_sdk", "claude_path", CLAUDE.done, CLAUDE.failed, CLAUDE.chatter)
CODEX = Dialect(
    "codex",
    "codex_path",
    lambda text: _codex(_codex_says(text), {"type": "turn.completed", "usage": {"input_tokens": 5}}),
    lambda text: _codex({"type": "turn.failed", "error": {"message": text}}),
    lambda text: _codex(_codex_says(text)),
)
ALL = (COMMAND, CLAUDE, CLAUDE_SDK, CODEX)


def fake(directory: Path, **play: Any) -> Path:
    """Return a program that plays an agent; `out`, `exit` and `signal` are what it plays."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "play").write_text(json.dumps({"out": "", **play}))
    shutil.copy(FAKE, directory / "agent.py")
    program = directory / "agent"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I "{directory}/agent.py" "$@"\n')
    program.chmod(0o755)
    return program


def ran(executor: Executor, asked: AgentRun, env: Mapping[str, str], runs: Path, **limits: float) -> Ended:
    """Run an agent to its end under a shim, as the daemon does."""
    run = started(executor, asked, env, runs, **limits)
    return ended(executor, run, runs)


def started(executor: Executor, asked: AgentRun, env: Mapping[str, str], runs: Path, **limits: float) -> RunDirectory:
    """Start an agent under a shim."""
    command = executor.command(asked)
    run = RunDirectory(runs / uuid.uuid4().hex)  # the name is the mark by which its leftovers are ended, machine-wide
    run.create(command, asked.directory, Limits(**{"timeout": 60.0, "grace": 2.0, **limits}))
    assert process.start(run, {**env, **command.env})
    return run


def ended(executor: Executor, run: RunDirectory, runs: Path) -> Ended:
    """Wait for a run's end, and return what is known of it."""
    until(lambda: run.state() not in (RunState.ALIVE, RunState.NEVER_RAN), "the end of the run", 60)
    process.collect(run)
    listener = executor.listener()
    for line in execution_log.lines(run.out):
        listener.hear(line)
    given = runs.parent / "program" / "given"
    record = run.exit_record()
    return Ended(
        record,
        listener.result(record),
        listener.progress(),
        (run.path / "spec.json").read_text(),
        json.loads(given.read_text()) if given.exists() else {},
        run.first_words(),
    )
