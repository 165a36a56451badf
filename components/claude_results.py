"""What the `result` messages of one run of the Claude CLI say together: there may be several, the last one judges."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from components import claude_prices
from components.claude_messages import count, mapping, mappings, name, number, text
from components.model import AgentResult, Usage

TEXT_LIMIT = 100_000
"""Characters of a result that are kept: the last ones, where QA's verdict stands."""
DENIED_LIMIT = 64
MILLISECONDS_FROM = 1e11


class Results:
    """Adds up results as they come. Tokens, cost and turns are sums, and of this run alone."""

    def __init__(self) -> None:
        self.last: AgentResult | None = None
        self.used = Usage()
        self._denied: dict[str, None] = {}

    def deny(self, tool: str) -> None:
        """Remember a tool that was refused."""
        if tool and len(self._denied) < DENIED_LIMIT:
            self._denied[tool] = None

    def add(self, message: dict[str, Any]) -> None:
        """Take a result. What it says is read leniently: its keys change between versions of the CLI."""
        for denial in mappings(message.get("permission_denials")):
            self.deny(name(denial.get("tool_name")))
        status = message.get("api_error_status")
        self.used = _used_with(self.used, message)
        self.last = AgentResult(
            is_error=message.get("is_error") is not False,
            text=_said(message)[-TEXT_LIMIT:],
            subtype=name(message.get("subtype")),
            terminal_reason=name(message.get("terminal_reason")),
            api_error_status=status if isinstance(status, int) and not isinstance(status, bool) else None,
            session_id=name(message.get("session_id")),
            model=_model(message),
            num_turns=count(message.get("num_turns")) + (self.last.num_turns if self.last else 0),
        )

    def told(self) -> AgentResult | None:
        """Return the last result with the sums."""
        if self.last is None:
            return None
        return replace(
            self.last,
            cost_usd=self.used.cost_usd,
            input_tokens=self.used.input_tokens,
            output_tokens=self.used.output_tokens,
            cache_read_tokens=self.used.cache_read_tokens,
            cache_write_tokens=self.used.cache_write_tokens,
            denied_tools=tuple(self._denied),
        )


def reset_time(info: dict[str, Any]) -> float:
    """Return when a limit ends that was reached, in seconds since 1970; 0 where it was not reached or is not said."""
    at = number(info.get("resetsAt")) if info.get("status") == "rejected" else 0.0
    return at / 1000 if at > MILLISECONDS_FROM else at


def _used_with(before: Usage, message: dict[str, Any]) -> Usage:
    """Return the usage with what a result adds to it.

    Newer CLIs tell what came since the last result, and totals that go back over earlier runs of the session. Older
    ones tell totals, of this run alone. A run that a budget ended has nothing in `usage`.
    """
    since = message.get("model_usage_since_last_result")
    if isinstance(since, dict):
        return claude_prices.add(before, _sum(since))
    total = replace(_sum(message.get("modelUsage")), cost_usd=number(message.get("total_cost_usd")))
    if total.input_tokens or total.output_tokens:
        return total
    told = claude_prices.usage_of(mapping(message.get("usage")), "")
    return replace(claude_prices.add(before, told), cost_usd=total.cost_usd)


def _sum(models: object) -> Usage:
    total = Usage()
    for told in mapping(models).values():
        keys = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
        given, output, read, written = (count(mapping(told).get(key)) for key in keys)
        used = Usage(given, output, read, written, number(mapping(told).get("costUSD")))
        total = claude_prices.add(total, used)
    return total


def _model(message: dict[str, Any]) -> str:
    """Return the model that did most of the work, by cost; side jobs may be given to another."""
    told = mapping(message.get("model_usage_since_last_result")) or mapping(message.get("modelUsage"))
    dearest = max(told, key=lambda model: number(mapping(told[model]).get("costUSD")), default="")
    return name(dearest)


def _said(message: dict[str, Any]) -> str:
    errors = message.get("errors")
    said = text(message.get("result"))
    if not said and isinstance(errors, list):
        said = "; ".join(text(str(error)) for error in errors)
    if not said and message.get("structured_output") is not None:
        said = text(json.dumps(message["structured_output"], ensure_ascii=False))
    return said
