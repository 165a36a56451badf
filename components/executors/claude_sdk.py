"""The Claude Agent SDK for Python as an agent: a small program that asks it, and prints what it hears."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.executors.claude import ClaudeExecutor, bounds_of, fitted
from components.model import AgentRun, Command

PROGRAM = Path(__file__).parent.parent / "sdk_agent.py"
OPTIONS = "AGENT_RUNNER_SDK_OPTIONS"
"""The environment variable with the options, as JSON, in the SDK's words."""


class ClaudeSdkExecutor(ClaudeExecutor):
    """Speaks to the SDK as to the CLI, whose messages and transcripts are the SDK's as well."""

    name = "claude_sdk"

    def __init__(self, cli_path: str = "", *, env: Mapping[str, str] | None = None, python: str = "") -> None:
        super().__init__(cli_path, env=env)
        self._python = python or sys.executable

    def command(self, run: AgentRun) -> Command:
        """Return how to start the program; all that it is to do but the prompt is in its environment."""
        options: dict[str, Any] = {
            "resume" if run.resume else "session_id": run.session_id,
            "model": run.model or None,
            "fallback_model": run.fallback_model or None,
            "permission_mode": run.permission_mode,
            "allowed_tools": list(run.allowed_tools),
            "disallowed_tools": list(run.disallowed_tools),
            "max_turns": run.max_turns,
            "max_budget_usd": run.max_budget_usd,
            "add_dirs": list(run.extra_directories),
            "strict_mcp_config": run.strict_mcp,
            "settings": run.settings or None,
            "setting_sources": ["user", "project", "local"] if run.trust_repository else ["user"],
            "cli_path": self._path or None,
            **({"mcp_servers": run.mcp_config} if run.mcp_config else {}),
            "system_prompt": {"type": "preset", "preset": "claude_code"}
            | ({"append": run.append_system_prompt} if run.append_system_prompt else {}),
        }
        # -P and -E: neither our own modules nor the workspace's may stand in for those of the SDK.
        argv = (self._python, "-P", "-E", str(PROGRAM))
        return Command(
            argv=argv, stdin=run.prompt, env={**fitted(self._env, run.timeout), OPTIONS: json.dumps(options)}
        )


def make(settings: Mapping[str, Any]) -> ClaudeSdkExecutor:
    """Make the executor; without `claude_path` the SDK takes the CLI that comes with it."""
    return ClaudeSdkExecutor(str(settings.get("claude_path") or ""), env=bounds_of(settings))
