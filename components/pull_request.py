"""Opening a pull request for a branch that was pushed: by `gh`, or by a command of the operator's."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components import agent_environment, process
from components.errors import RunnerError
from components.hook_runner import SECRETS
from components.model import Captured
from components.redact import plain, shorten
from components.tools import Tools

TIME_LIMIT = 120.0
GITHUB = re.compile(r"(?:^|@|//)(?P<host>[\w.-]*github[\w.-]*)(?::\d+)?[:/]+(?P<name>[\w.-]+/[\w.-]+?)(?:\.git)?/?$")
ADDRESS = re.compile(r"https?://[^\s\x00-\x1f\x7f\"'<>]{4,500}")
SAID_LETTERS = 300


class NoPullRequest(RunnerError):
    """The pull request could not be opened."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a pull request says. `is_retry` says that it was asked for before and the answer is not known."""

    branch: str
    base: str
    title: str
    body: str
    remote: str
    task: str
    is_retry: bool = False


def can_open(address: str, tools: Tools) -> bool:
    """Is there something that opens pull requests for a remote with this address?"""
    if tools.config.pull_request != "auto":
        return False
    return bool(tools.config.pull_request_command) or (_github(address) != "" and _gh(tools) is not None)


def opened(request: Request, address: str, directory: Path, tools: Tools) -> str:
    """Return the address of the pull request, opening it if there is none. Raises NoPullRequest."""
    if tools.config.pull_request_command:
        fields = {
            "branch": request.branch,
            "base": request.base,
            "title": request.title,
            "body": request.body,
            "remote": request.remote,
            "task": request.task,
            "retry": request.is_retry,
        }
        return _address_in(_run(tools.config.pull_request_command, json.dumps(fields), directory, tools))
    return _by_gh(request, _github(address), directory, tools)


def _by_gh(request: Request, repository: str, directory: Path, tools: Tools) -> str:
    gh = _gh(tools) or "gh"
    look = (gh, "pr", "list", "--repo", repository, "--head", request.branch, "--state", "open", "--json", "url")
    try:
        found = json.loads(_run(look, "", directory, tools).stdout or b"[]")
    except ValueError as error:
        raise NoPullRequest("`gh pr list` did not answer in JSON; see `gh --version`, it may be too old") from error
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return str(found[0].get("url", ""))
    words = ("--head", request.branch, "--base", request.base, f"--title={request.title}", "--body-file", "-")
    return _address_in(_run((gh, "pr", "create", "--repo", repository, *words), request.body, directory, tools))


def _run(argv: Sequence[str], stdin: str, directory: Path, tools: Tools) -> Captured:
    try:
        ended = process.capture(
            argv, timeout=TIME_LIMIT, stdin=stdin.encode(errors="replace"), env=_environment(tools), cwd=directory
        )
    except OSError as error:
        raise NoPullRequest(f"{argv[0]} could not be started: {error}; correct pull_request_command") from error
    if ended.exit_code == 0:
        return ended
    how = "took too long" if ended.timed_out else f"ended with exit code {ended.exit_code}"
    said = shorten(tools.redact(plain((ended.stderr or ended.stdout).decode(errors="replace"))).strip(), SAID_LETTERS)
    raise NoPullRequest(f"{Path(argv[0]).name} {how}: {said or 'it said nothing'}; open it by hand")


def _environment(tools: Tools) -> Mapping[str, str]:
    """Return the usual variables and those that the operator lists, such as GH_TOKEN; no key of ours or a model's."""
    passed = agent_environment.for_hooks(tools.environment, tools.config.environment)
    allowed = {name: value for name, value in passed.items() if name not in SECRETS}
    return {**allowed, "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}


def _address_in(ended: Captured) -> str:
    found = ADDRESS.findall(plain(ended.stdout.decode(errors="replace")))
    if not found:
        raise NoPullRequest("it printed no address; look whether it is there")
    return str(found[-1])


def _github(address: str) -> str:
    """Return HOST/OWNER/NAME of a repository at GitHub, "" for any other address."""
    found = GITHUB.search(address)
    return f"{found['host']}/{found['name']}" if found else ""


def _gh(tools: Tools) -> str | None:
    return shutil.which("gh", path=tools.environment.get("PATH", os.defpath))
