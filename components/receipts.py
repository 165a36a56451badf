"""What the runs of an execution have used, by the receipts in their directories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components import text_file
from components.execution import Spend
from components.model import Held, Verdict
from components.run_directory import RECEIPT, RunDirectory
from components.states import Reason

LIMIT = 64 << 20
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


@dataclass(frozen=True, slots=True)
class Receipt:
    """How one run ended. `text` is the agent's last message; `at` is when it was judged (UTC, ISO 8601)."""

    run: str
    verdict: Verdict
    at: str
    text: str
    used: Spend


def of(held: Held, runs: Path, project: str) -> Iterator[Receipt]:
    """Yield the receipts of an execution, first attempt first; what cannot be read is left out."""
    for attempt in range(1, held.attempt + 1):
        path = RunDirectory.of(runs, held.task.id, held.claim, attempt).path
        found = read(path, held, project)
        if found is not None:
            yield found


def are_in(runs: Path) -> bool:
    """Has any run of this home been judged?"""
    return any(runs.glob(f"*/{RECEIPT}"))


def read(run: Path, held: Held, project: str) -> Receipt | None:
    """Return the receipt of one run, None where there is none or it cannot be read."""
    path = run / RECEIPT
    try:
        at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return _receipt(json.loads(text_file.read(path, limit=LIMIT).text), run.name, held, project, at)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return None


def _receipt(data: dict[str, Any], run: str, held: Held, project: str, at: datetime) -> Receipt:
    told = data["verdict"]
    verdict = Verdict(**{**told, "reason": Reason(told["reason"])})
    result = data.get("result") or {}
    tokens = data.get("usage") or result
    used = Spend(
        run=run,
        execution_id=held.claim,
        agent_id=held.agent_id,
        day=at.date().isoformat(),
        model=verdict.model,
        project=project,
        usd=float(verdict.cost_usd),
        **{name: int(tokens.get(name, 0)) for name in TOKENS},
        seconds=float(verdict.seconds),
        tool_calls=int(result.get("tool_calls", 0)),
        turns=int(result.get("num_turns", 0)),
    )
    return Receipt(run, verdict, at.isoformat(timespec="milliseconds"), str(result.get("text", "")), used)
