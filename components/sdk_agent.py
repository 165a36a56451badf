"""The agent that works by the Claude Agent SDK: prints every message that the SDK hears from the CLI, one JSON a line.

Run as a script by the shim: the prompt on standard input, the options in AGENT_RUNNER_SDK_OPTIONS. It ends with 0
when the last result was no error, 1 when it was one or there was none, 127 when the SDK or its CLI is missing.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

OPTIONS = "AGENT_RUNNER_SDK_OPTIONS"
LINE_BYTES = 64 << 20
"""The longest line of the CLI's that is read; the SDK's own limit of 1 MB is below what a tool may answer."""
FAILED, NOT_FOUND = 1, 127


def main() -> int:
    """Ask the SDK, and return the exit code."""
    try:
        import claude_agent_sdk
    except ImportError as error:
        sys.stderr.write(f"The Claude Agent SDK is missing ({error}); install it: pip install claude-agent-sdk\n")
        return NOT_FOUND
    options = json.loads(os.environ.pop(OPTIONS))
    prompt = sys.stdin.buffer.read().decode(errors="replace")
    try:
        return asyncio.run(work(prompt, options))
    except claude_agent_sdk.CLINotFoundError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_FOUND
    except claude_agent_sdk.ClaudeSDKError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return FAILED


async def work(prompt: str, options: dict[str, Any]) -> int:
    """Have the prompt worked on to the end of the session's last turn."""
    import claude_agent_sdk

    asked = claude_agent_sdk.ClaudeAgentOptions(**options, max_buffer_size=LINE_BYTES)
    heard = overheard(prompt, asked)
    result: claude_agent_sdk.ResultMessage | None = None
    try:
        async for message in claude_agent_sdk.query(prompt=prompt, options=asked, transport=heard):
            if isinstance(message, claude_agent_sdk.ResultMessage):
                result = message
    except claude_agent_sdk.ClaudeSDKError:
        if result is None:
            raise
    return FAILED if result is None or result.is_error else 0


def overheard(prompt: str, options: Any) -> Any:
    """Return the SDK's own connection to its CLI, which prints what passes.

    What the SDK makes of the messages leaves out what they say of a run's own cost in a session that was resumed. The
    class lies where the SDK keeps its inner parts (0.2.180 to 0.2.187): a change there is told, not guessed around.
    """
    from claude_agent_sdk._internal.transport.subprocess_cli import SubprocessCLITransport

    class Overheard(SubprocessCLITransport):
        async def _pass_on(self) -> AsyncIterator[dict[str, Any]]:
            async for message in super().read_messages():
                if not str(message.get("type")).startswith("control_"):
                    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
                    sys.stdout.flush()
                yield message

        def read_messages(self) -> AsyncIterator[dict[str, Any]]:
            return self._pass_on()

    return Overheard(prompt=prompt, options=options)


if __name__ == "__main__":
    sys.exit(main())
