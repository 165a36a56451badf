"""Runs what an operator has hung on a moment: scripts of one directory, and callables of this process."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from components import agent_environment, hook_file, process
from components.errors import HookPostponed, HookRejected
from components.hook_file import HookFile
from components.hook_payload import GATES, Moment, moment_named
from components.hook_register import Hook, HookRegister, Payload
from components.model import Captured

logger = logging.getLogger(__name__)

LATER_CODE = 75
"""EX_TEMPFAIL of sysexits.h: the exit code by which a hook asks to be tried again later."""

OUTPUT_CHARACTERS = 16_384
REASON_CHARACTERS = 300

VARIABLES = (
    "HEADLESS_PM_MIN_DISK_MB",
    "HEADLESS_PM_MIN_INODES",
    "HEADLESS_PM_MIN_MEMORY_MB",
    "HEADLESS_PM_WARN_MEMORY_MB",
    "HEADLESS_PM_REQUIRE_CLEAN",
    "HEADLESS_PM_TASK_LOG_MB",
    "HEADLESS_PM_MAX_LOAD",
    "HEADLESS_PM_MAX_LOCK_HOURS",
)
"""What the default hooks read: for the allow-list that makes a hook's environment."""

SECRETS = agent_environment.OURS | frozenset(
    ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "OPENAI_API_KEY", "CODEX_API_KEY"]
)
"""The keys of the queue and of the agents' models. Never given to a hook, even by an allow-list that names them."""


class Decision(StrEnum):
    """What a hook says: go on, try again later, or no. A later member outweighs an earlier one."""

    GO = "go"
    LATER = "later"
    NO = "no"


WEIGHT = list(Decision)


@dataclass(frozen=True, slots=True)
class HookOutcome:
    """What the hooks of a moment said together.

    `detail` is one sentence: which hook, why, what to do. `output` is what they printed, at most 16,384 characters
    of each. Both are as the hooks wrote them: redact before they are shown or kept. `seconds` is the time all took.
    """

    moment: Moment
    decision: Decision
    detail: str = ""
    output: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _End:
    """What one hook said."""

    name: str
    decision: Decision
    why: str = ""
    output: str = ""


class HookRunner:
    """Runs the hooks of a moment: callables in the order they were registered, then the directory's scripts.

    At a gate (`pre_task`) each must say go, and the first that does not ends it; at other moments all run and the
    worst counts. No hooks, or no directory, is a go. `timeout` is in seconds, for each script; a callable has none.
    `env` is the whole environment of a script, by default only a search path. `show` gets every line of output.
    `program` has callables that live longer than these hooks, and are asked first.
    """

    def __init__(
        self,
        directory: Path,
        timeout: float = 30.0,
        *,
        env: Mapping[str, str] | None = None,
        show: Callable[[str], None] | None = None,
        program: HookRegister | None = None,
    ) -> None:
        self.directory = directory
        self.timeout = timeout
        given = {"PATH": os.defpath} if env is None else env
        self.env = {name: value for name, value in given.items() if name not in SECRETS}
        self._show = show
        self._program = program or HookRegister()
        self._own = HookRegister()

    def register(self, moment: str, hook: Hook, identifier: str = "") -> str:
        """Have a callable asked at a moment; see `HookRegister.register`."""
        return self._own.register(moment, hook, identifier)

    def unregister(self, identifier: str) -> None:
        """Forget a callable. Raises NotFound for an id that is not registered."""
        self._own.unregister(identifier)

    def run(self, moment: str, payload: Payload) -> HookOutcome:
        """Run the hooks of a moment and return what they said together; raises ConfigError for an unknown moment."""
        known, started, ends = moment_named(moment), time.monotonic(), list[_End]()
        with contextlib.closing(self._run_each(known, payload)) as coming:
            for end in coming:
                ends.append(end)
                self._tell(end)
                if known in GATES and end.decision is not Decision.GO:
                    break
        return _together(known, ends, time.monotonic() - started)

    def _run_each(self, moment: Moment, payload: Payload) -> Generator[_End, None, None]:
        for hook in (*self._program.of(moment), *self._own.of(moment)):
            yield _ask(hook, payload)
        try:
            with hook_file.opened(self.directory) as directory:
                if directory is not None:
                    for found in hook_file.find(directory, moment):
                        yield self._run_script(directory, found, moment, payload)
        except OSError as error:
            remedy = "make it a directory that can be read, or name another one"
            yield _End(str(self.directory), Decision.NO, f"cannot be read as a hooks directory: {error}; {remedy}")

    def _run_script(self, directory: int, found: HookFile, moment: Moment, payload: Payload) -> _End:
        if found.refusal:
            return _End(found.name, Decision.NO, f"was not run: {found.refusal}")
        named = {"AGENT_RUNNER_HOOK_MOMENT": moment.value, "AGENT_RUNNER_HOOK_DIRECTORY": str(self.directory)}
        try:
            captured = process.capture(
                found.argv,
                timeout=self.timeout,
                stdin=json.dumps(payload).encode(),
                env={**self.env, **named},
                # The directory that was checked, whatever its name leads to by now.
                cwd=Path(f"/proc/self/fd/{directory}"),
            )
        except OSError as error:
            remedy = "see that its first line names an installed interpreter, such as #!/bin/sh"
            return _End(found.name, Decision.NO, f"could not be started ({error.strerror}); {remedy}")
        return self._judge(found.name, captured)

    def _judge(self, name: str, captured: Captured) -> _End:
        """Return what a script's end says: 0 is go, 75 is later, and anything else is no."""
        output = _text(captured)
        if captured.exit_code == 0:
            return _End(name, Decision.GO, "said go", output)
        if captured.exit_code == LATER_CODE:
            return _End(name, Decision.LATER, f"asked to try again later{_reason(captured)}", output)
        return _End(name, Decision.NO, self._refusal(captured), output)

    def _refusal(self, captured: Captured) -> str:
        where = f"or change the hook in {self.directory}"
        if captured.exit_code is None and captured.seconds < self.timeout:
            return f"was ended for printing more than 16 MB; let it print less, {where}"
        if captured.exit_code is None:
            limit = f"was ended at the time limit of {self.timeout:g} s"
            return f"{limit}{_reason(captured)}; raise HEADLESS_PM_HOOK_TIMEOUT, {where}"
        if captured.exit_code < 0:
            ended = f"was ended by {_signal_name(-captured.exit_code)}"
        else:
            ended = f"said no (exit code {captured.exit_code})"
        return f"{ended}{_reason(captured)}; correct what it names, {where}"

    def _tell(self, end: _End) -> None:
        logger.debug("hook %s: %s", end.name, end.decision)
        if self._show is not None:
            for line in end.output.splitlines():
                self._show(f"{end.name}: {line}")


def _ask(hook: Hook, payload: Payload) -> _End:
    """Ask a callable; whatever it raises is its answer, not our end."""
    name = getattr(hook, "__qualname__", None) or type(hook).__qualname__
    try:
        if hook(payload) is False:
            return _End(name, Decision.NO, "said no; unregister it or correct what it checks")
    except HookPostponed as postponed:
        return _End(name, Decision.LATER, f"asked to try again later: {postponed}")
    except BaseException as error:  # sys.exit() too: whether the program ends is not for a hook to say
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise  # the operator's
        is_meant = isinstance(error, HookRejected)
        logger.log(logging.INFO if is_meant else logging.WARNING, "hook %s raised", name, exc_info=not is_meant)
        return _End(name, Decision.NO, f"said no: {'' if is_meant else type(error).__name__ + ': '}{error}")
    return _End(name, Decision.GO, "said go")


def _together(moment: Moment, ends: list[_End], seconds: float) -> HookOutcome:
    if not ends:
        return HookOutcome(moment, Decision.GO, seconds=seconds)
    worst = max(ends, key=lambda end: WEIGHT.index(end.decision))
    output = "".join(end.output if end.output.endswith("\n") else f"{end.output}\n" for end in ends if end.output)
    if worst.decision is Decision.GO:
        return HookOutcome(moment, Decision.GO, f"{', '.join(end.name for end in ends)} said go", output, seconds)
    return HookOutcome(moment, worst.decision, f"{worst.name} {worst.why}", output, seconds)


def _text(captured: Captured) -> str:
    """Return what a hook printed, errors last; of a long text the beginning and the end, where the reason stands."""
    text = (captured.stdout + captured.stderr).decode(errors="replace")
    if len(text) <= OUTPUT_CHARACTERS:
        return text
    gap = f"\n[... of {len(text)} characters the middle is left out ...]\n"
    half = (OUTPUT_CHARACTERS - len(gap)) // 2
    return text[:half] + gap + text[-half:]


def _reason(captured: Captured) -> str:
    """Return the last line a hook printed, of its errors if there are any: by custom that is why."""
    for stream in (captured.stderr, captured.stdout):
        line = stream.decode(errors="replace").strip().rpartition("\n")[2].strip()
        if line:
            return f": {line[:REASON_CHARACTERS]}"
    return ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
