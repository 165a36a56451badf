"""The real Claude CLI, at work against the scripted model: what a test needs to start it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.demo.script import parse_scripts
from components.demo.scripted_model import ScriptedModel

RUN_SECONDS = 60
TOOLS = "Bash,Read,Write,Edit"


def claude_path() -> str:
    """Return the Claude CLI; the one inside the claude-agent-sdk wheel, which `make test` installs, comes first."""
    found = importlib.util.find_spec("claude_agent_sdk")
    for place in found.submodule_search_locations or () if found else ():
        bundled = Path(place, "_bundled", "claude")
        if bundled.is_file():
            return str(bundled)
    on_path = shutil.which("claude")
    assert on_path, "The Claude CLI is missing; `make test` installs it with the claude-agent-sdk wheel"
    return on_path


def claude_env(url: str, home: Path, *, retries: int = 0) -> dict[str, str]:
    """Return the environment for a CLI that asks the scripted model and keeps everything it writes below `home`.

    `retries` is how often it asks again after a failure of the API.
    """
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.pathsep.join([str(Path(claude_path()).parent), os.environ.get("PATH", os.defpath)]),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "sk-ant-made-up",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": str(retries),
    }


def inline(*turns: object) -> str:
    """Return turns as the script inside a prompt or a task's description."""
    return f"<<SCRIPT\n{json.dumps(list(turns), indent=1)}\nSCRIPT>>"


def scripted(*turns: object, log: Path | None = None) -> ScriptedModel:
    """Return a model that plays these turns whatever it is asked."""
    return ScriptedModel(parse_scripts([{"name": "test", "turns": list(turns)}]), log=log)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of the CLI left: its exit code, its messages, its standard error."""

    exit_code: int
    messages: list[dict[str, Any]]
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """The last `result` message."""
        found = [message for message in self.messages if message["type"] == "result"]
        assert found, f"no result among {[message['type'] for message in self.messages]}; stderr: {self.stderr}"
        return found[-1]


def claude_argv(*arguments: str, model: str = "sonnet") -> list[str]:
    """Return how the runner, too, calls the CLI: print mode, one JSON message a line."""
    common = ["-p", "--output-format", "stream-json", "--verbose", "--model", model]
    return [claude_path(), *common, "--permission-mode", "acceptEdits", "--allowedTools", TOOLS, *arguments]


def run_claude(prompt: str, *arguments: str, env: Mapping[str, str], cwd: Path, model: str = "sonnet") -> Ran:
    """Run the CLI to its end."""
    done = subprocess.run(
        claude_argv(*arguments, model=model),
        input=prompt.encode(),
        env=dict(env),
        cwd=cwd,
        capture_output=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    return Ran(done.returncode, parse_messages(done.stdout), done.stderr.decode())


def parse_messages(stdout: bytes) -> list[dict[str, Any]]:
    """Read whole lines of stream-json; a torn last one is left out."""
    lines: Sequence[bytes] = stdout.split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line.strip()]
