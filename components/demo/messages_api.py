"""Answers in the words of the Anthropic Messages API: whole messages, event streams, errors."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from components.demo.conversation import Conversation
from components.demo.script import Fault, Turn

# Status -> type and message of the error, as platform.claude.com documents them.
ERRORS = {
    "400": (400, "invalid_request_error", "messages: the scripted model refuses this request"),
    "401": (401, "authentication_error", "invalid x-api-key"),
    "403": (403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "404": (404, "not_found_error", "model: {model}"),
    "413": (413, "request_too_large", "Request exceeds the maximum allowed number of bytes."),
    "429": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "500": (500, "api_error", "Internal server error"),
    "502": (502, "api_error", "Bad gateway"),
    "529": (529, "overloaded_error", "Overloaded"),
    "credit": (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
}
# Small, so that the CLI never compacts a conversation; about what a short conversation needs.
FIRST_INPUT, INPUT_PER_TURN, CHARACTERS_PER_TOKEN = 1200, 250, 4
PIECES = 4


def error(fault: Fault, model: str) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status with the body for a fault that is an answer."""
    status, kind, message = ERRORS[fault.name]
    return status, {"type": "error", "error": {"type": kind, "message": message.format(model=model)}}


def headers(fault: Fault) -> dict[str, str]:
    """Return the headers that say of a fault when to come again."""
    told = {name: str(value) for name, value in fault.headers.items()}
    return told if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}", **told}


def message(turn: Turn, asked: Conversation) -> dict[str, Any]:
    """Return a turn as a whole message."""
    content = [{"type": "text", "text": _fill(turn.text, asked)}] if turn.text else []
    content += [_tool_use(call.name, _fill(call.input, asked)) for call in turn.tools]
    characters = len(json.dumps(content))
    return {
        "id": f"msg_{uuid.uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": content,
        "stop_reason": "tool_use" if turn.tools else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": FIRST_INPUT + INPUT_PER_TURN * asked.turn
            if turn.input_tokens is None
            else turn.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": characters // CHARACTERS_PER_TOKEN if turn.output_tokens is None else turn.output_tokens,
            "service_tier": "standard",
        },
    }


def events(whole: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of a streamed answer, in order, for a whole message."""
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(whole["content"]):
        yield from _block_events(index, block)
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": whole["usage"]["output_tokens"]}}
    yield {"type": "message_stop"}


def encode(event: Mapping[str, Any]) -> bytes:
    """Return one server-sent event."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _block_events(index: int, block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if block["type"] == "text":
        empty, kind, key, text = {**block, "text": ""}, "text_delta", "text", block["text"]
    else:
        empty, kind, key, text = {**block, "input": {}}, "input_json_delta", "partial_json", json.dumps(block["input"])
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    width = max(1, -(-len(text) // PIECES))
    for start in range(0, len(text), width):
        delta = {"type": kind, key: text[start : start + width]}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _tool_use(name: str, given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex[:24]}", "name": name, "input": given}


def _fill(value: Any, asked: Conversation) -> Any:
    """Replace the placeholders; plain replacement, since code is full of braces."""
    if isinstance(value, str):
        for name, known in (("{cwd}", asked.directory), ("{session}", asked.session), ("{model}", asked.model)):
            value = value.replace(name, known)
        return value
    if isinstance(value, Mapping):
        return {key: _fill(one, asked) for key, one in value.items()}
    if isinstance(value, list):
        return [_fill(one, asked) for one in value]
    return value
