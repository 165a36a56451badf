"""Starts executions for the service: each has a runner of its own, which outlives the service."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from components import background, config, history_entry, typed_task
from components.errors import RunnerError, TooManyTasks
from components.execution import Execution
from components.projects import Project
from components.server import moments
from components.server.core import Core
from components.states import Door
from components.typed_task import TypedTask

logger = logging.getLogger(__name__)

SETTINGS_OF_SERVICE = ("agent_timeout_ms", "claude_model")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done. `settings` override the configuration, by name, as text."""

    title: str
    description: str
    project: Project
    role: str
    level: str
    complexity: str
    settings: Mapping[str, str] = field(default_factory=dict)


def typed(core: Core, order: Order, claim: str) -> TypedTask:
    """Return an order as the typed task of a new execution. Raises ConfigError for a setting that cannot be."""
    task = background.task_of(
        claim,
        order.title,
        order.description,
        role=order.role,
        level=order.level,
        complexity=order.complexity,
    )
    settings = {**_usual(core, order.level), **order.settings}
    if core.config_file:
        settings["config"] = core.config_file
    made = TypedTask(claim, task, order.project.path, order.project.name, settings, door=Door.SERVE)
    _check(core, made)
    return made


def start(core: Core, made: TypedTask) -> int:
    """Start the runner of a task of the board and return its process id; `tasks_per_project` is the board's affair.

    Raises TooManyTasks, HookRejected, HookPostponed, and OSError where no process can be started; then nothing of the
    task stays behind.
    """
    return _started(core, made, lambda: background.require_turn(core.home, core.loaded.config.max_parallel_tasks))


def start_order(core: Core, made: TypedTask) -> int:
    """Start the runner of an order to the agent runtime, of which there may be `max_concurrent_agents` at once.

    Raises as `start`.
    """

    def require() -> None:
        require_room(core, core.loaded.config.max_concurrent_agents)
        background.require_turn(core.home, core.loaded.config.max_parallel_tasks)

    return _started(core, made, require)


def _started(core: Core, made: TypedTask, require: Callable[[], None]) -> int:
    moments.require(core, made)
    pid = background.start_new(core.home, made, core.environ, require)
    core.children.add(pid)
    core.awaited.add(made.claim)
    try:
        core.store.add(_entry(core, made, pid))
    except RunnerError:  # its runner tells the history all the same
        logger.warning("execution %s is not in the history yet", made.claim[:8], exc_info=True)
    return pid


def require_room(core: Core, door_limit: int) -> None:
    """Raise TooManyTasks where as many executions of the service run as may at once."""
    running = [claim for claim in background.running(core.home) if _is_of_service(core, claim)]
    if len(running) >= door_limit:
        raise TooManyTasks(
            f"{len(running)} executions of the service run, and max_concurrent_agents is {door_limit};"
            " wait for one, cancel one, or raise the limit"
        )


def _is_of_service(core: Core, claim: str) -> bool:
    with suppress(RunnerError):
        return typed_task.load(core.home, claim).door is Door.SERVE
    return False


def _usual(core: Core, level: str) -> dict[str, str]:
    """Return what the service's own settings say of every agent that it starts."""
    given, settings = core.loaded.config, {}
    if given.agent_timeout_ms is not None:
        settings["claude_timeout"] = f"{given.agent_timeout_ms / 1000:g}"
    if given.claude_model:
        settings["models"] = f"{level}={given.claude_model}"
    return settings


def _check(core: Core, made: TypedTask) -> None:
    """See that the runner will be able to read its configuration."""
    settings: dict[str, object] = {name: value for name, value in made.settings.items() if name != "config"}
    given = {**settings, "role": made.task.role, "level": made.task.level, "agent_id": made.agent_id}
    if made.repository.is_dir():  # one elsewhere has no clone yet
        given["repository"] = str(made.repository)
    config.load({**given, "single_task": True}, core.environ, file=core.loaded.file)


def _entry(core: Core, made: TypedTask, pid: int) -> Execution:
    task = made.task
    return Execution(
        id=made.claim,
        door=made.door,
        project=str(made.repository),
        task_id=task.id,
        title=core.redact(task.title),
        task_digest=history_entry.digest_of(task),
        role=task.role,
        level=task.level,
        complexity=str(task.complexity),
        agent_id=made.agent_id,
        host=core.host,
        runner_pid=pid,
        restarted_from=made.restarted_from,
    )
