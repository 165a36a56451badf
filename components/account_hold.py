"""The hold on an account of the model's service: while one agent waits for its limit, the others wait as well.

`<home>/accounts/<digest>.json` says until when. The digest is of the credentials, never the credentials themselves: a
new key, or a new log-in, is another account and free to try.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

from components import durable, policy
from components.states import Reason
from components.tools import Tools

CREDENTIALS = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "OPENAI_API_KEY",
    "CODEX_API_KEY",
)
DIGEST_LETTERS = 16
LARGEST = 1e12


def place(tools: Tools, told: float, reason: Reason) -> float:
    """Have all agents of this account wait, and return until when, in seconds since 1970.

    `told` is when the limit ends, 0 where nobody said so: then each hold is twice as long as the one before it, until
    `lift` ends the row. A hold that lasts longer stays.
    """
    path = path_of(tools)
    durable.make_directory(path.parent)
    with durable.locked(path.with_suffix(".flock")):
        times = int(_read(path).get("times", 0))
        ends = max(until(tools), policy.hold_ends(reason, told, times, time.time()))
        data = {"until": ends, "reason": reason.value, "times": times + 1, "agent_id": tools.config.agent_id}
        durable.write(path, json.dumps(data).encode())
    return ends


def lift(tools: Tools) -> None:
    """End the hold: the account was seen to work."""
    path = path_of(tools)
    if path.exists():
        with durable.locked(path.with_suffix(".flock")):
            path.unlink(missing_ok=True)


def until(tools: Tools) -> float:
    """Return until when the account is on hold, in seconds since 1970; 0 where it is not, or where the clock is off.

    A single task is for a person who has just mended the credentials: only a limit holds it.
    """
    path = path_of(tools)
    if tools.config.single_task and _is_for_credentials(path):
        return 0.0
    told = _read(path).get("until", 0.0)
    now = time.time()
    return float(told) if now < told <= now + policy.LONGEST_WAIT_SECONDS else 0.0


def _is_for_credentials(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return json.loads(path.read_bytes())["reason"] in policy.CREDENTIALS_HOLD_SECONDS
    return False


def path_of(tools: Tools) -> Path:
    """Return the file of the account that the agent's environment names."""
    return tools.config.home / "accounts" / f"{_digest(tools.executor.name, tools.environment)}.json"


def _digest(executor: str, environment: Mapping[str, str]) -> str:
    known = [executor, *(environment.get(name, "") for name in CREDENTIALS), _log_in(environment)]
    return hashlib.sha256("\0".join(known).encode(errors="replace")).hexdigest()[:DIGEST_LETTERS]


def _log_in(environment: Mapping[str, str]) -> str:
    """Return what tells one log-in of the CLI from another: its file with its age."""
    home = Path(environment.get("CLAUDE_CONFIG_DIR") or Path(environment.get("HOME", "/")) / ".claude")
    try:
        return f"{home}:{(home / '.credentials.json').stat().st_mtime_ns}"
    except OSError:
        return ""


def _read(path: Path) -> dict[str, float]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    kept = data if isinstance(data, dict) else {}
    return {name: float(kept[name]) for name in ("until", "times") if _is_sane(kept.get(name))}


def _is_sane(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number < LARGEST  # NaN is not
