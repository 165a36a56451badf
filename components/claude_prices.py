"""What the Claude CLI's models cost: for runs that were killed before they could tell it themselves.

The figures are those that CLIs 2.1.197 to 2.1.330 reckon with, read off the costs that they told for known numbers of
tokens. An unknown model counts as the dearest usual one, as in the CLI.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from components import claude_messages
from components.claude_messages import count, mapping, name
from components.model import Usage

USD_PER_MILLION_INPUT = (
    ("claude-opus-5", 4.0),
    ("claude-opus-4-1", 15.0),
    ("claude-opus-4-2025", 15.0),
    ("claude-3-opus", 15.0),
    ("claude-opus", 5.0),
    ("claude-sonnet-5-5", 2.0),
    ("claude-sonnet", 3.0),
    ("claude-3-5-sonnet", 3.0),
    ("claude-3-7-sonnet", 3.0),
    ("claude-haiku-5", 0.5),
    ("claude-haiku", 1.0),
    ("claude-fable", 8.0),
)
"""The first beginning of the model's name that fits, in USD."""
UNKNOWN = 4.0
OUTPUT, CACHE_READ, CACHE_WRITE, FOR_AN_HOUR = 5.0, 0.1, 1.25, 0.75
"""Prices of other tokens as multiples of those for input; what is written for an hour costs as much more."""


def usage_of(told: dict[str, Any], model: str) -> Usage:
    """Return the usage that one answer of the API tells, with its price."""
    given, output, read, written, hour = tokens_of(told)
    return Usage(given, output, read, written, price(model) * weight(given, output, read, written, hour))


def tokens_of(told: dict[str, Any]) -> tuple[int, int, int, int, int]:
    """Return the tokens of an answer: given, output, read from the cache, written to it, those of them for an hour."""
    cached = told.get("cache_creation")
    return (
        count(told.get("input_tokens")),
        count(told.get("output_tokens")),
        count(told.get("cache_read_input_tokens")),
        count(told.get("cache_creation_input_tokens")),
        count(cached.get("ephemeral_1h_input_tokens")) if type(cached) is dict else 0,
    )


def weight(given: int, output: int, read: int, written: int, hour: int) -> float:
    """Return how many tokens of input cost as much as these; `hour` of the `written` ones are kept for an hour."""
    weighed = given + OUTPUT * output + CACHE_READ * read + CACHE_WRITE * written
    return weighed + FOR_AN_HOUR * min(hour, written) if hour else weighed


@functools.lru_cache(maxsize=64)
def price(model: str) -> float:
    """Return what one token of input costs, in USD."""
    known = (usd for beginning, usd in USD_PER_MILLION_INPUT if model.startswith(beginning))
    return next(known, UNKNOWN) / 1e6


def add(one: Usage, other: Usage) -> Usage:
    """Return the sum of two usages."""
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cache_read_tokens + other.cache_read_tokens,
        one.cache_write_tokens + other.cache_write_tokens,
        one.cost_usd + other.cost_usd,
    )


def usage_of_transcript(lines: Iterable[bytes]) -> Usage:
    """Return what the answers in a session's transcript have used.

    An answer has one line for each of its blocks, all with the usage of the whole: the last one counts.
    """
    answers: dict[str, Usage] = {}
    for line in lines:
        if b'"assistant"' not in line:
            continue
        body = mapping(claude_messages.parse(line).get("message"))
        if body.get("role") == "assistant":
            answers[name(body.get("id"))] = usage_of(mapping(body.get("usage")), name(body.get("model")))
    total = Usage()
    for used in answers.values():
        total = add(total, used)
    return total
