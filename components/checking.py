"""Running the checks of a task's work in its workspace, each under a shim: it outlives the runner and is adopted."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from components import agent_environment, cancelling, demand, durable, execution_log, git_history, process, vital_signs
from components import repository_rules as rules
from components.errors import Draining, NotFound
from components.hook_runner import SECRETS
from components.model import Command, Held, Workspace
from components.redact import plain, shorten
from components.repository_rules import Check
from components.run_directory import Limits, RunDirectory, RunState
from components.signals import Intent
from components.tools import Tools

DIRECTORY = "checks"
OUTPUT_BYTES = 64 << 20
LAST_LINES = 12
LINE_LETTERS = 300
TRIES = 3
"""How often a check is begun whose end nobody saw."""
LOOK_SECONDS = 1.0
UNNAMED_SECONDS = 0.2
OURS_TO_END = frozenset({"stop", "kill", "leash"})
"""Ends that say nothing of the work."""


@dataclass(frozen=True, slots=True)
class CheckEnd:
    """How one check ended. `exit_code` is None where a signal or a limit ended it, and `why` says which."""

    name: str
    command: str
    exit_code: int | None
    why: str
    seconds: float
    last_lines: tuple[str, ...] = ()

    @property
    def is_green(self) -> bool:
        return self.exit_code == 0

    @property
    def words(self) -> str:
        """Return how it ended, for people."""
        if self.is_green:
            return "passed"
        return self.why or f"ended with exit code {self.exit_code}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks said up to the first that is not green. `is_stopped` says that they were told to stop."""

    ends: tuple[CheckEnd, ...] = ()
    not_run: tuple[str, ...] = ()
    is_stopped: bool = False

    @property
    def red(self) -> CheckEnd | None:
        """Return the check that is not green."""
        return next((end for end in self.ends if not end.is_green), None)


def wanted(held: Held, workspace: Workspace, tools: Tools) -> tuple[Check, ...]:
    """Return the checks of a task: those of the configuration, then those of the repository before the task.

    Raises ConfigError for mistakes in the repository's file, and GitFailed.
    """
    if not demand.has_checks(held, tools):
        return ()
    own = tuple(_without_secrets(rules.named(command), tools) for command in tools.config.checks)
    if not tools.config.repository_checks:
        return own
    believed = rules.trusted(workspace.repository, _start(workspace))
    theirs = rules.checks_at(workspace.repository, believed) if believed else ()
    return own + tuple(_without_secrets(check, tools) for check in theirs)


def _without_secrets(check: Check, tools: Tools) -> Check:
    """Return a check with a name for everybody; its command has to stay as it is."""
    whole = " ".join(tools.redact(plain(check.run)).split())
    is_unnamed = check.name == rules.named(check.run).name
    return replace(check, name=shorten(whole, rules.NAME_LETTERS) if is_unnamed else tools.redact(plain(check.name)))


def doubts(workspace: Workspace) -> Iterator[str]:
    """Yield what a person has to know of the repository's rules: whose are not believed. Raises GitFailed."""
    start = _start(workspace)
    believed = rules.trusted(workspace.repository, start)
    if believed != start:
        yield (
            f"{rules.FILE} at {start[:10]} was written by an agent whose task is not done;"
            f" {f'that of {believed[:10]} is' if believed else 'none is'} believed until somebody commits it anew"
        )


def _start(workspace: Workspace) -> str:
    return git_history.started_from(workspace.repository, workspace.base_commit)


def run(checks: Sequence[Check], held: Held, workspace: Workspace, tools: Tools, locks: Sequence[int] = ()) -> Checked:
    """Run checks one after the other until one is not green; what has run for this attempt already is not run again.

    `locks` are descriptors that a check holds while it lives. Raises Draining when the operator wants to leave: the
    check works on, and the next start comes back here.
    """
    ends: list[CheckEnd] = []
    for number, check in enumerate(checks, 1):
        end = _one(check, number, held, workspace, tools, locks)
        if end is None:
            return Checked(tuple(ends), tuple(rest.name for rest in checks[number - 1 :]), is_stopped=True)
        ends.append(end)
        if not end.is_green:
            break
    return Checked(tuple(ends), tuple(rest.name for rest in checks[len(ends) :]))


def see_out(held: Held, tools: Tools) -> bool:
    """Wait for a check that an earlier runner left at work; False when it was told to stop. Raises Draining."""
    found = (RunDirectory(path) for path in (tools.config.home / DIRECTORY).glob(f"{tools.run_of(held).name}.*"))
    return all(_attend(run, held, tools) for run in found if run.state() is RunState.ALIVE)


def _one(
    check: Check, number: int, held: Held, workspace: Workspace, tools: Tools, locks: Sequence[int]
) -> CheckEnd | None:
    """Return how a check ended, None where it was stopped. One whose end nobody saw is begun again."""
    name = tools.run_of(held).name
    command = Command(("sh", "-c", f"exec 2>&1\n{check.run}"))
    lost = 0
    for attempt in range(1, 1000):
        run = RunDirectory(tools.config.home / DIRECTORY / f"{name}.{number}.{attempt}")
        state = run.state()
        if state is RunState.NEVER_RAN:
            if lost == TRIES:
                return CheckEnd(check.name, check.run, None, f"was killed {lost} times before it had ended", 0.0)
            run.create(command, workspace.path, _limits(check, tools))
            process.start(run, _environment(held, workspace, tools), locks)
        elif not _is_of(run, command):
            continue
        if not _attend(run, held, tools):
            return None
        if end := _end(run, check, tools):
            return end
        lost += run.state() in (RunState.VANISHED, RunState.NEVER_RAN)
    raise AssertionError(f"check {check.name} was begun a thousand times")


def _limits(check: Check, tools: Tools) -> Limits:
    config = tools.config
    return Limits(check.timeout or config.check_timeout, config.grace, config.leash, OUTPUT_BYTES)


def _environment(held: Held, workspace: Workspace, tools: Tools) -> dict[str, str]:
    """Return what a check is given: the usual variables and those that the operator lists, but no key."""
    passed = agent_environment.for_hooks(tools.environment, tools.config.environment)
    return {name: value for name, value in passed.items() if name not in SECRETS} | {
        "AGENT_RUNNER_TASK_ID": held.task.id,
        "AGENT_RUNNER_ATTEMPT": str(held.attempt),
        "AGENT_RUNNER_BASE_COMMIT": workspace.base_commit,
    }


def _is_of(run: RunDirectory, command: Command) -> bool:
    """Is this the run of the same command? The configuration may have changed since."""
    try:
        return bool(json.loads((run.path / "spec.json").read_bytes())["argv"] == list(command.argv))
    except (OSError, ValueError, KeyError):
        return False


def _attend(run: RunDirectory, held: Held, tools: Tools) -> bool:
    """Wait for a check's end; False when it was told to stop."""
    is_stopped = False
    with durable.locked(run.path / "watched"), tools.ui.elapsed(f"Task {held.task.id}: a check runs"):
        while run.state() is RunState.ALIVE:
            _wait(run, tools)
            if tools.signals.intent is Intent.LEAVE:
                raise Draining(f"a check of task {held.task.id} runs on; the next start takes it up again")
            if vital_signs.is_overdue(run):
                process.stop(run)
            if not is_stopped and _is_to_stop(held, tools):
                is_stopped = True
                tools.ui.warning(f"Stopping the check of task {held.task.id}")
                process.stop(run)
    process.collect(run)
    return not is_stopped


def _is_to_stop(held: Held, tools: Tools) -> bool:
    return tools.signals.intent is Intent.STOP or cancelling.is_asked(tools.config.home, held.claim)


def _wait(run: RunDirectory, tools: Tools) -> None:
    fd = process.end_of(run)
    rest = LOOK_SECONDS if fd is not None else UNNAMED_SECONDS
    try:
        tools.signals.wait(min(tools.pulse.due_in(), rest), fd)
    finally:
        if fd is not None:
            os.close(fd)
    tools.pulse.beat()


def _end(run: RunDirectory, check: Check, tools: Tools) -> CheckEnd | None:
    """Return how a check ended, or None where its end says nothing of the work: then it is to be run again."""
    record = run.exit_record()
    if record is None:
        process.clear(run)
        return None
    if record.why in OURS_TO_END:
        return None
    why = {"timeout": "took too long and was ended", "output": "printed too much and was ended"}.get(record.why or "")
    if why is None:
        why = f"was ended by signal {record.signal}" if record.signal is not None else ""
    exit_code = None if why else record.exit_code
    return CheckEnd(check.name, check.run, exit_code, why, record.seconds, _last_lines(run, tools))


def _last_lines(run: RunDirectory, tools: Tools) -> tuple[str, ...]:
    with contextlib.suppress(NotFound):
        text = b"\n".join(execution_log.tail(run.out, LAST_LINES)).decode(errors="replace")
        return tuple(shorten(line, LINE_LETTERS) for line in tools.redact(plain(text)).splitlines())
    return ()
