"""The Codex CLI as an agent: `codex exec`, one JSON event a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from components.claude_messages import count, mapping, name, parse, text
from components.model import AgentResult, AgentRun, Command, ExitRecord, Progress, Usage

PROGRAM = "codex"
BYPASS = "bypassPermissions"
SANDBOXES = {"acceptEdits": "workspace-write", "auto": "workspace-write"}
READ_ONLY = "read-only"
"""The sandbox for every other permission mode: nobody is there to be asked, and what would ask is refused."""
OF_CLAUDE = re.compile(r"(?:claude|sonnet|opus|haiku|fable|default|best)")
"""Names of models that only the Claude CLI knows: the runner's defaults. Codex then takes its own."""
STATUS = re.compile(r"\bstatus(?: code)?:? (\d{3})\b")
ERRORS = (
    (re.compile(r"usage limit|rate limit|too many requests", re.IGNORECASE), "rate_limit"),
    (
        re.compile(
            r"unauthorized|not logged in|invalid api key|api key|sign in again|missing environment variable",
            re.IGNORECASE,
        ),
        "authentication_failed",
    ),
    (re.compile(r"quota exceeded|insufficient_quota|billing", re.IGNORECASE), "billing_error"),
    (re.compile(r"model.{0,80}(?:not (?:found|supported|exist)|does not exist)", re.IGNORECASE), "model_not_found"),
    (re.compile(r"stream disconnected|high demand|server error|overloaded|timed? ?out", re.IGNORECASE), "server_error"),
)
"""What Codex says of a failure, in the words of `judgement.SERVICE_ERRORS`; the first that fits."""
TOOLS = frozenset({"command_execution", "file_change", "mcp_tool_call", "web_search", "collab_tool_call"})
OPEN_ITEMS = 256
TEXT_LIMIT = 100_000
LAST_TEXT = 2000
EVENTS = re.compile(rb"\n([^\S\n]*\{[^\n]*)")
"""Lines that may be events, each after a newline."""
LONG_BYTES = 1 << 18
TALKS = (b'"agent_message"', b'"turn.', b'"thread.', b'"error"')


class CodexExecutor:
    """Speaks to `codex exec`. It names its sessions itself, and tells the name in its first event."""

    name = "codex"
    resumes_by = "stream"
    tells_totals = True

    def __init__(self, path: str = PROGRAM) -> None:
        self._path = path

    def command(self, run: AgentRun) -> Command:
        """Return how to start Codex for a new session, or to go on with one.

        The options stand before `resume`, which refuses them; the sandbox is said once more after it, since a resumed
        session has been seen to forget it. Codex knows no limits of turns and money. Its sandbox lets nobody write
        into git's directories, so that nothing could be committed, unless they are named.
        """
        argv = [self._path, "exec", "--json", "--skip-git-repo-check", "-C", str(run.directory)]
        if run.model and not OF_CLAUDE.match(run.model):
            argv += ["-m", run.model]
        sandbox = SANDBOXES.get(run.permission_mode, READ_ONLY)
        gits = run.git_directories if sandbox in SANDBOXES.values() else ()
        for directory in (*run.extra_directories, *gits):
            argv += ["--add-dir", directory]
        argv += ["--dangerously-bypass-approvals-and-sandbox"] if run.permission_mode == BYPASS else ["-s", sandbox]
        if run.resume:
            argv += ["resume", run.session_id]
            argv += [] if run.permission_mode == BYPASS else ["-c", f'sandbox_mode="{sandbox}"']
        said_first = f"{run.append_system_prompt}\n\n" if run.append_system_prompt else ""
        return Command(argv=(*argv, "-"), stdin=said_first + run.prompt)

    def listener(self) -> CodexListener:
        """Return somebody who understands Codex's events."""
        return CodexListener()

    def usage(self, transcript: Iterable[bytes]) -> Usage:
        """Return nothing: Codex tells what it used when a turn ends, and no cost."""
        del transcript
        return Usage()


class CodexListener:
    """Hears Codex's events: a turn that completed is the result, unless another one has begun since."""

    def __init__(self) -> None:
        self._messages = self._turns = self._tool_calls = 0
        self._open: dict[str, str] = {}
        self._session_id = self._text = self._failure = ""
        self._used = Usage()
        self._is_told = self._has_failed = self._has_begun = self._is_retrying = False

    def hear_many(self, lines: bytes) -> None:
        """Take lines, each after a newline; what is no event is passed over."""
        for found in EVENTS.finditer(lines):
            self.hear(found[1])

    def hear(self, line: bytes) -> None:
        """Take one line."""
        if len(line) > LONG_BYTES and not any(word in line for word in TALKS):
            self._messages += line.lstrip()[:1] == b"{"
            return
        event = parse(line)
        kind = name(event.get("type"))
        if not kind:
            return
        self._messages += 1
        self._is_retrying = kind == "error"
        match kind.partition("."):
            case ("thread", _, "started" | "resumed"):
                self._session_id = name(event.get("thread_id"))
            case ("turn", _, state):
                self._hear_turn(state, event)
            case ("item", _, state):
                self._has_begun = True
                self._hear_item(state, mapping(event.get("item")))
            case ("error", _, _):
                self._has_begun = True
                self._failure = text(event.get("message"))

    def progress(self) -> Progress:
        """Return how far the agent is; Codex tells no cost."""
        return Progress(
            messages=self._messages,
            turns=self._turns,
            tool_calls=self._tool_calls,
            tool=next(reversed(self._open.values()), ""),
            last_text=self._text[-LAST_TEXT:],
            session_id=self._session_id,
            has_result=self._is_told and not self._has_begun,
        )

    def result(self, exit_record: ExitRecord | None) -> AgentResult | None:
        """Return how the last turn ended; a failing exit of its own accord makes a failure of it.

        An error that is followed by nothing is told by no turn; it counts when Codex has ended with a failure, or was
        stopped while it waited to try again.
        """
        has_failed_exit = exit_record is not None and exit_record.why is None and bool(exit_record.exit_code)
        was_stopped = exit_record is not None and exit_record.why is not None
        if not self._is_told and not (self._failure and (has_failed_exit or (was_stopped and self._is_retrying))):
            return None
        is_error = self._has_failed or not self._is_told or has_failed_exit
        said = (self._failure if is_error else "") or self._text
        status = STATUS.search(said) if is_error else None
        return AgentResult(
            is_error=is_error,
            text=said[-TEXT_LIMIT:],
            subtype="error_during_execution" if is_error else "success",
            api_error_status=int(status[1]) if status else None,
            session_id=self._session_id,
            num_turns=self._turns,
            input_tokens=self._used.input_tokens,
            output_tokens=self._used.output_tokens,
            cache_read_tokens=self._used.cache_read_tokens,
            tool_calls=self._tool_calls,
            error=next((word for said_so, word in ERRORS if said_so.search(said)), "") if is_error else "",
            is_unfinished=self._is_told and self._has_begun,
        )

    def _hear_turn(self, state: str, event: dict[str, Any]) -> None:
        if state == "started":
            self._turns += 1
            self._has_begun = True
            return
        if state not in ("completed", "failed"):
            return
        self._is_told, self._has_begun, self._has_failed = True, False, state == "failed"
        self._open.clear()
        if self._has_failed:
            self._failure = text(mapping(event.get("error")).get("message")) or self._failure
        used = mapping(event.get("usage"))
        cached = count(used.get("cached_input_tokens"))
        if used:
            given = max(0, count(used.get("input_tokens")) - cached)
            self._used = Usage(given, count(used.get("output_tokens")), cached)

    def _hear_item(self, state: str, item: dict[str, Any]) -> None:
        kind, item_id = name(item.get("type") or item.get("item_type")), name(item.get("id"))
        if kind == "agent_message" and state == "completed":
            self._text = text(item.get("text"))[-TEXT_LIMIT:]
        if kind not in TOOLS:
            return
        if state == "completed":
            self._tool_calls += self._open.pop(item_id, "") == ""
        elif state == "started" and item_id not in self._open:
            self._tool_calls += 1
            self._open[item_id] = kind
            if len(self._open) > OPEN_ITEMS:
                del self._open[next(iter(self._open))]


def make(settings: Mapping[str, Any]) -> CodexExecutor:
    """Make the executor from `codex_path`."""
    return CodexExecutor(str(settings.get("codex_path") or PROGRAM))
