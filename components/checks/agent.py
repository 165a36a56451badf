"""The agent's program: is it there, does it start, and may it run as this user?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace

from components import agent_environment, claude_version, discovery, executors
from components.checks import Check, Finding, Installation, ok, problem, problem_of, warning
from components.config import Config
from components.errors import RunnerError
from components.states import Role

VERSION_SECONDS = 10.0
NAMING = frozenset({"executor", "agent_command", "claude_path", "codex_path"})
"""Settings that name the program."""
ROOT = 0
UNGUARDED = ("--dangerously-skip-permissions", "bypassPermissions", "--permission-mode=bypassPermissions")
"""Words on a command line by which the Claude CLI asks for no permission; as root it then refuses to start."""


def program(installation: Installation) -> Iterator[Finding]:
    """Is the agent's program there, and does it start, also the one of tasks that want another?"""
    yield from _program(installation)
    for name, section in installation.config.tasks.items():
        if NAMING.intersection(section):
            theirs = replace(installation, config=installation.config.for_sections(name))
            yield from (replace(found, seen=f"tasks.{name}: {found.seen}") for found in _program(theirs))


def _program(installation: Installation) -> Iterator[Finding]:
    config = installation.config
    if config.executor == "claude":
        yield _claude(installation)
    elif config.executor == "command":
        yield _command(config, _environment(installation))
    else:
        try:
            executors.find(config.executor, {})
        except RunnerError as error:
            yield problem_of(error)
        else:
            yield ok(f"executor {config.executor}")


def _claude(installation: Installation) -> Finding:
    environment = _environment(installation)
    try:
        path = discovery.find_claude(environment, installation.user_home, installation.config.claude_path)
        version = discovery.claude_version(path, environment, timeout=VERSION_SECONDS)
    except RunnerError as error:
        return problem_of(error)
    difference, remedy = claude_version.doubt(version)
    if difference:
        return warning(f"Claude CLI {version} at {path} is {difference}", remedy)
    return ok(f"Claude CLI {version} at {path}")


def _command(config: Config, environment: Mapping[str, str]) -> Finding:
    """Look for the program as the shim will: by the agent's PATH, and a relative path from where the agent works."""
    word = config.agent_command[0]
    path = str(config.repository / word) if "/" in word else word
    found = shutil.which(path, path=environment.get("PATH", os.defpath))
    if found is None:
        why = "there is no executable file" if "/" in word else "it is not on the PATH"
        return problem(f"AGENT_COMMAND starts {word!r}: {why}", "install it, or name it by its whole path")
    return ok(f"AGENT_COMMAND starts {found}")


def permissions(installation: Installation) -> Iterator[Finding]:
    """May the Claude CLI be asked to ask for nothing? As root it refuses that outside of a sandbox."""
    config = installation.config
    is_unguarded = config.executor == "claude" and config.permission_mode == "bypassPermissions"
    words = [word for word in config.agent_command if word in UNGUARDED] if config.executor == "command" else []
    if installation.user_id != ROOT or not (is_unguarded or words):
        yield ok(f"permission_mode {config.permission_mode}" if config.executor == "claude" else "the command's own")
    elif _environment(installation).get("IS_SANDBOX") == "1":
        yield ok("the Claude CLI asks for nothing, as root, because IS_SANDBOX=1 says that this is a sandbox")
    else:
        yield problem(
            f"the Claude CLI refuses {words[0] if words else 'permission_mode bypassPermissions'} as root",
            "run as another user, choose another permission_mode, or in a container of its own: export IS_SANDBOX=1",
        )


def instructions(installation: Installation) -> Iterator[Finding]:
    """Can the role's instructions be read?"""
    config = installation.config
    team_roles = discovery.find_team_roles(config.team_roles, config.repository, config.home)
    roles = [config.role] if config.role else list(Role)
    origins = {str(discovery.role_instructions(role, config.level, team_roles).origin.parent) for role in roles}
    yield ok(f"{', '.join(roles)}: from {', '.join(sorted(origins))}")


def _environment(installation: Installation) -> dict[str, str]:
    """Return what the agent will see."""
    return agent_environment.passed(installation.environ, installation.config.environment)


CHECKS = (
    Check("agent", program),
    Check("permissions", permissions),
    Check("instructions", instructions),
)
