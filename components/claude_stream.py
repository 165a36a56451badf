"""Hears what the Claude CLI prints, message by message, in memory that does not grow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from components import claude_messages, claude_prices, claude_results
from components.claude_messages import Message, mapping, mappings, name, text
from components.claude_prices import tokens_of, weight
from components.claude_results import Results
from components.claude_writes import PATHS, ClaudeWrites
from components.model import AgentResult, ExitRecord, Progress

SYNTHETIC = "<synthetic>"
"""The model of an answer that the CLI made up itself, to tell of an error."""
HEARTBEATS = frozenset({b"tool_progress", b"keep_alive", b"control_request", b"control_response"})
HEARTBEATS_OF_THE_SYSTEM = frozenset({b"api_retry", b"status", b"heartbeat", b"keep_alive", b"ui_invalidate"})
"""Messages that prove no more than that the CLI's process lives."""
RETRY_AFTER = re.compile(rb'\s+"retry-after": "(\d{1,7})",?\s*')
"""A header of an answer, as the CLI prints it where it was asked to print them."""
HEEDED = re.compile(rb'\n([^\S\n]*(?:\{|"retry-after")[^\n]*)')
"""Lines that may matter, each after a newline: an agent's program may print noise in many short lines."""
RATE_LIMITED = 429
ANSWER = b'{"type":"assistant",'
NO_ANSWER = "no_answer"
"""Why the service is asked again where the CLI does not say."""
OPEN_TOOLS = 256
"""Of more tool calls without a result the oldest are forgotten."""
LAST_TEXT = 2000
ENVELOPE_BYTES = 500
TOKENS_PER_BYTE = 0.25
"""For the estimate of what an answer cost: while it runs the CLI does not tell its length."""


class ClaudeListener:
    """Hears the CLI's messages: there may be several results, and only the last one counts."""

    def __init__(self) -> None:
        self._results = Results()
        self._messages = self._turns = self._tool_calls = 0
        self._open: dict[str, tuple[str, str]] = {}
        self._background: tuple[str, ...] = ()
        self._has_begun = self._was_cut = False
        self._answer = self._answer_model = self._model = ""
        self._asker = self._session_id = self._error = self._retry_after = ""
        self._last_text: object = ""
        self._price = claude_prices.price("")
        self._estimated_usd = 0.0
        self._wait_until = 0.0
        self._unanswered, self._retries = "", 0
        self._writes = ClaudeWrites()
        self._readers: Mapping[bytes, Callable[[bytes, bytes, Message], None]] = {
            b"assistant": self._hear_answer,
            b"user": self._hear_tool_results,
            b"result": self._hear_result,
            b"system": self._hear_system,
            b"stream_event": self._hear_piece,
            b"rate_limit_event": self._hear_limit,
        }

    def hear_many(self, lines: bytes) -> None:
        """Take lines, each after a newline; what is neither a message nor tells when to try again is passed over."""
        for found in HEEDED.finditer(lines):
            self.hear(found[1])

    def hear(self, line: bytes) -> None:
        """Take one line."""
        if line.startswith(ANSWER):  # what it prints most
            message = claude_messages.parse(line)
            if message.get("type") == "assistant":
                self._messages += 1
                self._hear_answer(line, b"", message)
                return
        kind, subtype, message = claude_messages.look(line)
        if not kind and (after := RETRY_AFTER.fullmatch(line)):
            self._retry_after = after[1].decode()
        if not kind or kind in HEARTBEATS or subtype in HEARTBEATS_OF_THE_SYSTEM:
            if subtype == b"api_retry":
                self._hear_retry(message or claude_messages.parse(line))
            return
        self._messages += 1
        reader = self._readers.get(kind)
        if reader is not None:
            reader(line, subtype, message)

    def _when_again(self, told: AgentResult) -> str:
        limited = told.is_error and told.api_error_status == RATE_LIMITED
        return f" (retry after {self._retry_after} s)" if limited and self._retry_after else ""

    def _is_awaited(self) -> bool:
        """Was there work in the background when it was last heard of? A CLI that is stopped ends that, and says so."""
        return bool(self._background) or self._was_cut

    def progress(self) -> Progress:
        """Return how far the agent is; its cost is an estimate for what no result has told yet."""
        tools = [tool for tool, _ in self._open.values()] or list(self._background)
        return Progress(
            messages=self._messages,
            turns=self._turns,
            tool_calls=self._tool_calls,
            tool=tools[-1] if tools else "",
            cost_usd=self._results.used.cost_usd + self._estimated_usd,
            last_text=text(self._last_text)[-LAST_TEXT:],
            session_id=self._session_id,
            has_result=self._results.last is not None and not self._has_begun,
            unanswered=self._unanswered,
            retries=self._retries,
            written=self._writes.files,
        )

    def result(self, exit_record: ExitRecord | None) -> AgentResult | None:
        """Return what the last `result` message says; the exit code says nothing that it does not.

        After a result the CLI waits for its background commands, and goes on when they end: where it was ended
        before that, the result was not its last word.
        """
        told = self._results.told()
        if told is None:
            return None
        return replace(
            told,
            text=told.text + self._when_again(told),
            model=told.model or self._model,
            session_id=told.session_id or self._session_id,
            tool_calls=self._tool_calls,
            cost_usd=told.cost_usd + self._estimated_usd,
            error=self._error,
            wait_until=self._wait_until,
            is_unfinished=self._has_begun or (self._is_awaited() and not _ended_by_itself(exit_record)),
        )

    def _hear_answer(self, line: bytes, subtype: bytes, message: Message) -> None:
        """Take one block of an answer, or several."""
        del subtype
        self._has_begun = True
        if self._unanswered:
            self._unanswered, self._retries = "", 0
        message = message or claude_messages.parse(line)
        body, parent = mapping(message.get("message")), name(message.get("parent_tool_use_id") or "")
        answer, model = name(body.get("id")), body.get("model")
        if model == SYNTHETIC or "error" in message:
            self._error = name(message.get("error"))
        if (not answer or answer != self._answer or parent != self._asker) and model != SYNTHETIC:
            self._begin_answer(answer, name(model), parent, body.get("usage"))
        for block in mappings(body.get("content")):
            kind = block.get("type")
            if kind == "tool_use":
                self._open_call(name(block.get("id")), name(block.get("name")), parent, block)
            elif kind == "text" and not parent:
                self._last_text = block.get("text")
        if len(line) > ENVELOPE_BYTES:
            self._estimated_usd += (len(line) - ENVELOPE_BYTES) * TOKENS_PER_BYTE * claude_prices.OUTPUT * self._price

    def _begin_answer(self, answer: str, model: str, parent: str, usage: object) -> None:
        """Count an answer that was not heard of; whoever it is from has had the results of all its tools."""
        self._answer, self._asker, self._error = answer, parent, ""
        if self._open:
            self._open = {call: tool for call, tool in self._open.items() if tool[1] != parent}
        if model != self._answer_model:
            self._answer_model, self._price = model, claude_prices.price(model)
        if not parent:
            self._turns += 1
            if model:
                self._model = model
        if usage and type(usage) is dict:
            self._estimated_usd += self._price * weight(*tokens_of(usage))

    def _open_call(self, call: str, tool: str, parent: str, block: Message) -> None:
        self._tool_calls += 1
        if tool in PATHS:
            self._writes.call(call, tool, block.get("input"))
        self._open[call] = (tool, parent)
        if len(self._open) > OPEN_TOOLS:
            del self._open[next(iter(self._open))]

    def _hear_tool_results(self, line: bytes, subtype: bytes, message: Message) -> None:
        del subtype
        if self._writes.is_waiting:
            self._writes.finish(message or claude_messages.parse(line))
        if self._open:
            for call in claude_messages.finished_tools(line):
                self._open.pop(call, None)

    def _hear_result(self, line: bytes, subtype: bytes, message: Message) -> None:
        del subtype
        message = message or claude_messages.parse(line)
        told = name(message.get("session_id"))
        if not message or (told and self._session_id and told != self._session_id):
            return  # torn, so it was not told; or of a session that did not begin here
        if message.get("parent_tool_use_id"):
            return  # of an agent that ours has asked
        self._results.add(message)
        self._session_id = name(message.get("session_id")) or self._session_id
        self._estimated_usd, self._has_begun, self._was_cut = 0.0, False, False
        self._unanswered, self._retries = "", 0
        self._open.clear()

    def _hear_system(self, line: bytes, subtype: bytes, message: Message) -> None:
        if subtype == b"init":
            self._has_begun = True
            self._unanswered, self._retries = self._unanswered or NO_ANSWER, 0
            message = message or claude_messages.parse(line)
            self._session_id = name(message.get("session_id")) or self._session_id
            self._model = name(message.get("model")) or self._model
            self._writes.begin(text(message.get("cwd")))
        elif subtype == b"permission_denied":
            self._results.deny(name((message or claude_messages.parse(line)).get("tool_name")))
        elif subtype == b"task_updated":
            patch = mapping((message or claude_messages.parse(line)).get("patch"))
            self._was_cut = self._was_cut or patch.get("status") == "killed"
        elif subtype == b"background_tasks_changed":
            tasks = mappings((message or claude_messages.parse(line)).get("tasks"))
            self._background = tuple(name(task.get("task_type")) or "task" for task in tasks[:OPEN_TOOLS])

    def _hear_piece(self, line: bytes, subtype: bytes, message: Message) -> None:
        del line, subtype, message
        self._has_begun = True
        self._unanswered, self._retries = "", 0

    def _hear_retry(self, message: Message) -> None:
        self._unanswered = name(message.get("error")) or NO_ANSWER
        self._retries += 1

    def _hear_limit(self, line: bytes, subtype: bytes, message: Message) -> None:
        del subtype
        info = mapping((message or claude_messages.parse(line)).get("rate_limit_info"))
        self._wait_until = claude_results.reset_time(info)


def _ended_by_itself(record: ExitRecord | None) -> bool:
    """Did the CLI end when it had nothing more to do?"""
    return record is not None and record.why is None and record.exit_code == 0
