"""Starting the agent of an attempt: what it is told, what it is given, what it is held to."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import replace

from components import (
    beginning,
    claiming,
    discovery,
    durable,
    earlier,
    execution_log,
    git,
    git_command,
    journal_format,
    main_checkout,
    orphans,
    process,
    prompt,
    safekeeping,
    spending,
    starting_point,
    transcript,
)
from components.errors import Draining, GitFailed, NotFound
from components.model import AgentRun, Held, Workspace
from components.ports import KnowsGroups, KnowsParents
from components.run_directory import JOURNAL, TRANSCRIPT_BEFORE, Limits, RunDirectory, RunState
from components.signals import Intent
from components.states import Phase, Role
from components.tools import Tools

RIVAL_SECONDS = 0.2


def agent(held: Held, run: RunDirectory, tools: Tools) -> bool:
    """Make the run directory durable and start its shim; False when the task turns out not to be ours any more.

    A main checkout serves one agent at a time. The look at the claim comes after that wait, which may be long.
    """
    _end_rivals(held, tools)
    workspace = workspace_of(held)
    with main_checkout.exclusive(workspace, held, tools) as locks:
        if claiming.is_lost(tools.source.look(held.task), held):
            return False
        described = describe(held, workspace, tools)
        command = tools.executor.command(described)
        if not workspace.is_worktree:
            safekeeping.keep(held, tools, safekeeping.BEFORE, thorough=False)
        run.create(command, workspace.path, limits_of(described, tools))
        durable.create(run.path / JOURNAL, journal_format.dump(replace(held, phase=Phase.RUNNING, run=run.name)))
        durable.create(
            run.path / TRANSCRIPT_BEFORE, str(transcript.size(described.session_id, tools.environment)).encode()
        )
        with contextlib.suppress(GitFailed):  # then nothing in the main checkout counts as the agent's
            starting_point.note(run.path, workspace, tools.config.push_remote)
        durable.sync_directory(run.path)
        task_words = {"AGENT_RUNNER_TASK_ID": held.task.id, "AGENT_RUNNER_ATTEMPT": str(held.attempt)}
        traced = beginning.traced(run, workspace)
        process.start(run, {**traced, **tools.environment, **command.env, **task_words}, locks)
    tools.ui.task_card(
        held.task,
        model=described.model,
        branch=workspace.branch,
        attempt=held.attempt,
        directory=workspace.path,
    )
    return True


def limits_of(described: AgentRun, tools: Tools) -> Limits:
    """Return what the shim holds the agent to."""
    config = tools.config
    return Limits(described.timeout, config.grace, config.leash, config.output_limit)


def _end_rivals(held: Held, tools: Tools) -> None:
    """End agents of earlier claims of this task that are still at work here: there is never more than one."""
    for rival in orphans.rivals(held, tools):
        tools.ui.warning(f"An agent of an earlier claim of task {held.task.id} is at work ({rival.name}); ending it")
        process.stop(rival)
        while rival.state() is RunState.ALIVE:
            tools.signals.wait(RIVAL_SECONDS)
            if tools.signals.intent is Intent.LEAVE:
                raise Draining(f"task {held.task.id} did not start yet; the next start goes on with it")


def describe(held: Held, workspace: Workspace, tools: Tools) -> AgentRun:
    """Return what this attempt asks of the agent. A session that has a transcript is resumed."""
    config = tools.config
    role = Role(config.role or held.task.role)
    team_roles = discovery.find_team_roles(config.team_roles, config.repository, config.home)
    session_id, resume = session_of(held, tools)
    left = earlier.gather(held, workspace, tools, resuming=resume)
    text = prompt.build(
        held.task,
        instructions=discovery.role_instructions(role, config.level, team_roles).text,
        role=role,
        workspace=workspace,
        attempt=held.attempt,
        marker=secrets.token_hex(8),
        resuming=resume,
        earlier=left.text,
        reason=left.reason,
        parents=tools.source.parents(held.task) if isinstance(tools.source, KnowsParents) else (),
        groups=tools.source.groups(held.task) if isinstance(tools.source, KnowsGroups) else ("", ""),
    )
    return AgentRun(
        prompt=text,
        directory=workspace.path,
        session_id=session_id,
        model=tools.models.model(held.task.level),
        fallback_model=tools.models.fallback(held.task.level),
        resume=resume,
        permission_mode=config.permission_mode,
        allowed_tools=config.allowed_tools,
        disallowed_tools=config.disallowed_tools,
        max_turns=config.max_turns,
        max_budget_usd=spending.budget_of_attempt(tools, held.task),
        timeout=config.claude_timeout,
        extra_directories=config.extra_directories,
        mcp_config=str(config.mcp_config or ""),
        strict_mcp=config.strict_mcp,
        settings=str(config.claude_settings or ""),
        trust_repository=config.trust_repository,
        append_system_prompt=config.append_system_prompt,
        was_limited=held.waits > 0,
        git_directories=_git_directories(workspace),
    )


def _git_directories(workspace: Workspace) -> tuple[str, ...]:
    with contextlib.suppress(GitFailed):
        own = git_command.answer(workspace.path, "rev-parse", "--absolute-git-dir")
        return tuple(dict.fromkeys((str(git.git_directory(workspace.repository)), own)))
    return ()


def session_of(held: Held, tools: Tools) -> tuple[str, bool]:
    """Return the session of this attempt and whether there is one to go on with.

    An agent that names its sessions itself has told the name in the output of an earlier attempt of this session.
    """
    if tools.executor.resumes_by == "transcript":
        return held.session_id, transcript.find(held.session_id, tools.environment) is not None
    if tools.executor.resumes_by == "stream":
        for attempt in range(held.attempt - 1, 0, -1):
            earlier_run = tools.run_of(replace(held, attempt=attempt))
            if _session_begun_by(earlier_run) != held.session_id:
                break
            if told := _told_session(earlier_run, tools):
                return told, True
    return held.session_id, False


def _session_begun_by(run: RunDirectory) -> str:
    """Return the session that a run belongs to by the journal of that time; an attempt may have begun a fresh one."""
    try:
        return journal_format.parse((run.path / JOURNAL).read_bytes()).session_id
    except (OSError, ValueError):
        return ""


def _told_session(run: RunDirectory, tools: Tools) -> str:
    listener = tools.executor.listener()
    with contextlib.suppress(NotFound):
        for line in execution_log.lines(run.out):
            listener.hear(line)
            if told := listener.progress().session_id:
                return told
    return ""


def workspace_of(held: Held) -> Workspace:
    """Return the workspace that the step before made durable."""
    if held.workspace is None:
        raise AssertionError(f"task {held.task.id} has no workspace in phase {held.phase}")
    return held.workspace
