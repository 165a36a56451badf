"""What an agent of the store is to do, as the typed task of one attempt: its words, its place, what it builds upon."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from components import background, branch_names, typed_task, workflow_entry, workplace
from components.agent import Agent, AgentStatus, NodeKind
from components.agent_store import AgentStore
from components.config import Config
from components.short_id import SHORT
from components.states import Complexity, Door
from components.typed_task import TypedTask


def begun(config: Config, agents: AgentStore, one: Agent) -> TypedTask:
    """Return the typed task of an agent's attempt, made and kept now where this machine has none yet.

    Raises NotFound, NotARepository, UnsafeUrl, UnsafeName and ConfigError where its project is not to be had.
    """
    if (typed_task.directory_of(config.home, one.execution_id) / "task.json").exists():
        return typed_task.load(config.home, one.execution_id)
    made = _typed(config, agents, one)
    typed_task.save(config.home, made)
    return made


def _typed(config: Config, agents: AgentStore, one: Agent) -> TypedTask:
    kind = "" if one.complexity == Complexity.MAJOR else "in_place"
    project = one.project or str(config.repository)
    place = workplace.chosen(config, project, one.execution_id, kind=kind, branch=one.branch_from)
    task = background.task_of(
        one.execution_id, one.title, one.task, role=one.role, level=one.level, complexity=place.complexity
    )
    settings = workflow_entry.settings_of(one)
    if one.config_file and Path(one.config_file).is_file():
        settings["config"] = one.config_file
    name = f"agent-{one.short_id}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    parents = list(_parents(agents, one))
    return TypedTask(
        one.execution_id,
        replace(task, id=name, branch=_branch(one)),
        place.repository,
        place.project,
        settings,
        door=Door.WORKFLOW,
        clone_of=place.clone_of,
        branch=place.branch,
        kind=place.kind,
        starts=tuple(_starts(parents)) or ((f"{place.branch}@{place.branch}",) if place.branch else ()),
        parents=tuple(_outputs(parents)),
        left=tuple(_left(one)),
        given=agents.given_to(one),
        names=_names(parents),
    )


def _branch(one: Agent) -> str:
    """Return the name of the branch for an agent's work: one that tells people which node it is."""
    wanted = f"agent/{one.node}-{one.short_id}" if one.node else f"agent/{one.short_id}"
    safe = "".join(letter if (letter.isalnum() and letter.isascii()) or letter in "/_.-" else "-" for letter in wanted)
    return safe if branch_names.is_safe(safe) else f"agent/{one.id[:SHORT]}"


def _parents(agents: AgentStore, one: Agent) -> Iterator[Agent]:
    """Yield those that an agent builds upon; behind an approval stand those that were approved."""
    rest = agents.parents_of(one.id)
    seen: set[str] = set()
    while rest:
        parent = rest.pop(0)
        if parent.id in seen:
            continue
        seen.add(parent.id)
        yield parent
        if parent.kind is NodeKind.APPROVAL:
            rest += agents.parents_of(parent.id)


def _starts(parents: list[Agent]) -> list[str]:
    """Return the commits that an agent builds upon: what those before it left."""
    done = (parent for parent in parents if parent.status is AgentStatus.COMPLETED)
    return list(dict.fromkeys(word for parent in done for word in parent.commits.split()))


def _names(parents: list[Agent]) -> Mapping[str, str]:
    """Return by whom each commit came, the first of them where it came by several; of a map's, with the branch."""
    names: dict[str, str] = {}
    for parent in parents:
        words = [word.partition("@")[::2] for word in parent.commits.split()]
        for commit, branch in words:
            names.setdefault(commit, parent.name if len(words) == 1 else f"{parent.name} ({branch})")
    return names


def _left(one: Agent) -> list[str]:
    """Return what its own earlier attempts left; of one that died unheard, what stands on its branch."""
    if one.attempt <= 1:
        return []
    return one.commits.split() or ([f"{one.branch}@{one.branch}"] if one.branch else [])


def _outputs(parents: list[Agent]) -> Iterator[tuple[str, str]]:
    """Yield the name of each parent with what it said last."""
    for parent in parents:
        who = "a person's approval" if parent.kind is NodeKind.APPROVAL else parent.role
        name = f"{parent.name} ({who}), {parent.title!r}"
        if parent.status is not AgentStatus.COMPLETED:
            yield name, f"It {parent.status}: {parent.error}"
        elif parent.result.strip():
            yield name, parent.result
