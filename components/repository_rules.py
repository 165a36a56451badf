"""The rules that a repository has for the work in it: `.agent-runner.yaml`, as it was before the agent came."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import git_history, unproven
from components.errors import ConfigError
from components.redact import shorten
from components.setting_kinds import nearest

FILE = ".agent-runner.yaml"
KEYS = ("checks",)
CHECK_KEYS = ("name", "run", "timeout")
MOST_CHECKS = 50
NAME_LETTERS = 60
LONGEST_SECONDS = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Check:
    """A command for a shell that must end with 0 in the workspace. `timeout` is in seconds, None for the usual one."""

    name: str
    run: str
    timeout: float | None = None


def named(command: str) -> Check:
    """Return a check that has no other name than its command."""
    return Check(shorten(" ".join(command.split()), NAME_LETTERS), command)


def checks_at(repository: Path, commit: str) -> tuple[Check, ...]:
    """Return the checks that a commit of the repository asks for; none where it has no such file.

    Raises ConfigError with every mistake of the file, a line each, and GitFailed.
    """
    content = git_history.file_at(repository, commit, FILE)
    return () if content is None else parse(content, f"{FILE} at {commit[:10]}")


def trusted(repository: Path, commit: str) -> str:
    """Return the commit whose rules are to be believed in place of another's, "" where there are none to believe.

    What an agent has written for a task that is not done is no rule: neither is what stands upon it, until somebody
    else writes the file again. Raises GitFailed.
    """
    doubted = unproven.commits(repository)
    if not doubted:
        return commit
    writers = git_history.commits_on(repository, commit, FILE)
    if not writers or writers[0] not in doubted:
        return commit
    return next((writer for writer in writers if writer not in doubted), "")


def parse(content: bytes, where: str) -> tuple[Check, ...]:
    """Return the checks that a text asks for. Raises ConfigError; `where` names the text in its message."""
    import yaml

    try:
        data = yaml.safe_load(content.decode("utf-8-sig"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not YAML: {' '.join(str(error).split())[:300]}; mend the file") from error
    mistakes: list[str] = []
    checks = list(_checks(data, mistakes))
    if mistakes:
        raise ConfigError("\n".join(f"{where}: {mistake}" for mistake in mistakes))
    return tuple(checks)


def _checks(data: Any, mistakes: list[str]) -> Iterator[Check]:
    if data is None:
        return
    if not isinstance(data, dict):
        mistakes.append("not a table; write `checks:` and a list of command lines below it")
        return
    mistakes.extend(_unknown(data, KEYS, ""))
    listed = data.get("checks") or []
    if not isinstance(listed, list) or len(listed) > MOST_CHECKS:
        mistakes.append(f"checks: not a list of at most {MOST_CHECKS}; write one `- command` a line")
        return
    for number, one in enumerate(listed, 1):
        check = _check(one, f"checks[{number}]", mistakes)
        if check is not None:
            yield check


def _check(one: Any, label: str, mistakes: list[str]) -> Check | None:
    if isinstance(one, str) and one.strip():
        return named(one)
    if not isinstance(one, dict):
        mistakes.append(f"{label} = {str(one)[:80]!r}: neither a command line nor a table of {', '.join(CHECK_KEYS)}")
        return None
    mistakes.extend(_unknown(one, CHECK_KEYS, f"{label}."))
    run, name, timeout = one.get("run"), one.get("name", ""), one.get("timeout")
    if not isinstance(run, str) or not run.strip():
        mistakes.append(f"{label}.run = {str(run)[:80]!r}: not a command line; write one, such as `run: make test`")
        return None
    if not isinstance(name, str):
        mistakes.append(f"{label}.name = {str(name)[:80]!r}: not text; put it in quotes")
        return None
    if timeout is not None and not _is_duration(timeout):
        mistakes.append(f"{label}.timeout = {str(timeout)[:80]!r}: not a number of seconds above 0, such as 300")
        return None
    usual = named(run)
    named_so = shorten(" ".join(name.split()), NAME_LETTERS) or usual.name
    return Check(named_so, run, None if timeout is None else float(timeout))


def _is_duration(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 < value <= LONGEST_SECONDS


def _unknown(table: dict[Any, Any], known: tuple[str, ...], label: str) -> Iterator[str]:
    for key in table:
        if key not in known:
            offer = nearest(str(key), known) or f"; take it out, known are: {', '.join(known)}"
            yield f"{label}{str(key)[:80]}: unknown key{offer}"
