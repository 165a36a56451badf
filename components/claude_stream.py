"""Hears what the Claude CLI prints, message by message, in memory that does not grow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from components import claude_messages, claude_prices, claude_results
from components.claude_answers import LONGEST_BYTES
from components.claude_answers import read as read_answer
from components.claude_messages import Message, mapping, mappings, name, text
from components.claude_prices import weight
from components.claude_results import Results
from components.model import AgentResult, ExitRecord, Progress

SYNTHETIC = "<synthetic>"
"""The model of an answer that the CLI made up itself, to tell of an error."""
HEARTBEATS = frozenset({b"tool_progress", b"keep_alive", b"control_request", b"control_response"})
HEARTBEATS_OF_THE_SYSTEM = frozenset({b"api_retry", b"status", b"heartbeat", b"keep_alive", b"ui_invalidate"})
"""Messages that prove no more than that the CLI's process lives."""
RETRY_AFTER = re.compile(rb'\s+"retry-after": "(\d{1,7})",?\s*')
"""A header of an answer, as the CLI prints it where it was asked to print them."""
RATE_LIMITED = 429
PARENT = b'"parent_tool_use_id"'
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
        self._answer = self._answer_model = self._model = self._unread = b""
        self._asker = self._session_id = self._error = self._last_text = self._retry_after = ""
        self._price = claude_prices.price("")
        self._estimated_usd = 0.0
        self._wait_until = 0.0
        self._readers: Mapping[bytes, Callable[[bytes, bytes, Message], None]] = {
            b"assistant": self._hear_answer,
            b"user": self._hear_tool_results,
            b"result": self._hear_result,
            b"system": self._hear_system,
            b"stream_event": self._hear_piece,
            b"rate_limit_event": self._hear_limit,
        }

    def hear(self, line: bytes) -> None:
        """Take one line."""
        found = read_answer(line) if len(line) <= LONGEST_BYTES else None
        if found is None:
            self._hear_other(line)
            return
        first, answer, model, says, call, tool, given, output, read, written, hour, last = found.groups()
        asker = (first or last or b"").decode()
        if asker and line.count(PARENT) > 1:  # told twice, and not the same: the last one counts
            self._hear_other(line)
            return
        self._messages += 1
        self._has_begun = True
        if answer != self._answer or asker != self._asker or not answer:
            tokens = int(given or 0), int(output or 0), int(read or 0), int(written or 0), int(hour or 0)
            self._begin_answer(answer or b"", model or b"", asker, weight(*tokens))
        if says and not asker:
            self._unread = line
        elif call:
            self._open_call(call.decode(), tool.decode(), asker)
        if len(line) > ENVELOPE_BYTES:
            self._estimated_usd += (len(line) - ENVELOPE_BYTES) * TOKENS_PER_BYTE * claude_prices.OUTPUT * self._price

    def _when_again(self, told: AgentResult) -> str:
        limited = told.is_error and told.api_error_status == RATE_LIMITED
        return f" (retry after {self._retry_after} s)" if limited and self._retry_after else ""

    def _is_awaited(self) -> bool:
        """Was there work in the background when it was last heard of? A CLI that is stopped ends that, and says so."""
        return bool(self._background) or self._was_cut

    def _hear_other(self, line: bytes) -> None:
        """Take a line that is no answer of the usual form."""
        kind, subtype, message = claude_messages.look(line)
        if not kind and (after := RETRY_AFTER.fullmatch(line)):
            self._retry_after = after[1].decode()
        if not kind or kind in HEARTBEATS or subtype in HEARTBEATS_OF_THE_SYSTEM:
            return
        self._messages += 1
        reader = self._readers.get(kind)
        if reader is not None:
            reader(line, subtype, message)

    def progress(self) -> Progress:
        """Return how far the agent is; its cost is an estimate for what no result has told yet."""
        tools = [tool for tool, _ in self._open.values()] or list(self._background)
        return Progress(
            messages=self._messages,
            turns=self._turns,
            tool_calls=self._tool_calls,
            tool=tools[-1] if tools else "",
            cost_usd=self._results.used.cost_usd + self._estimated_usd,
            last_text=self._said_last(),
            session_id=self._session_id,
            has_result=self._results.last is not None and not self._has_begun,
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
            model=told.model or self._model.decode(),
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
        message = message or claude_messages.parse(line)
        body, parent = mapping(message.get("message")), name(message.get("parent_tool_use_id"))
        if body.get("model") == SYNTHETIC or "error" in message:
            self._error = name(message.get("error"))
        answer = name(body.get("id")).encode()
        if body.get("model") != SYNTHETIC and (not answer or answer != self._answer or parent != self._asker):
            tokens = claude_prices.tokens_of(mapping(body.get("usage")))
            self._begin_answer(answer, name(body.get("model")).encode(), parent, weight(*tokens))
        for block in mappings(body.get("content")):
            self._read_content(block, parent)
        self._estimated_usd += max(0, len(line) - ENVELOPE_BYTES) * TOKENS_PER_BYTE * claude_prices.OUTPUT * self._price

    def _begin_answer(self, answer: bytes, model: bytes, parent: str, weighed: float) -> None:
        """Count an answer that was not heard of; whoever it is from has had the results of all its tools."""
        self._answer, self._asker, self._error = answer, parent, ""
        if self._open:
            self._open = {call: tool for call, tool in self._open.items() if tool[1] != parent}
        if model != self._answer_model:
            self._answer_model, self._price = model, claude_prices.price(model.decode())
        if not parent:
            self._turns += 1
            if model:
                self._model = model
        self._estimated_usd += self._price * weighed

    def _read_content(self, block: Message, parent: str) -> None:
        kind = block.get("type")
        if kind == "tool_use":
            self._open_call(name(block.get("id")), name(block.get("name")), parent)
        elif kind == "text" and not parent:
            self._last_text, self._unread = text(block.get("text"))[-LAST_TEXT:], b""

    def _open_call(self, call: str, tool: str, parent: str) -> None:
        self._tool_calls += 1
        self._open[call] = (tool, parent)
        if len(self._open) > OPEN_TOOLS:
            del self._open[next(iter(self._open))]

    def _said_last(self) -> str:
        """Return the last text, after reading the line that was put off."""
        if self._unread:
            body = mapping(claude_messages.parse(self._unread).get("message"))
            for block in mappings(body.get("content")):
                self._read_content(block, "")
        return self._last_text

    def _hear_tool_results(self, line: bytes, subtype: bytes, message: Message) -> None:
        del subtype, message
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
        self._open.clear()

    def _hear_system(self, line: bytes, subtype: bytes, message: Message) -> None:
        if subtype == b"init":
            self._has_begun = True
            message = message or claude_messages.parse(line)
            self._session_id = name(message.get("session_id")) or self._session_id
            self._model = name(message.get("model")).encode() or self._model
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

    def _hear_limit(self, line: bytes, subtype: bytes, message: Message) -> None:
        del subtype
        info = mapping((message or claude_messages.parse(line)).get("rate_limit_info"))
        self._wait_until = claude_results.reset_time(info)


def _ended_by_itself(record: ExitRecord | None) -> bool:
    """Did the CLI end when it had nothing more to do?"""
    return record is not None and record.why is None and record.exit_code == 0
