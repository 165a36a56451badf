"""The Headless PM server: is it there, does it know our key, our agent, the time?"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import components
from components import pm_wire
from components.checks import Check, Finding, Installation, ok, problem, problem_of, warning
from components.config import Config, require
from components.errors import RunnerError

if TYPE_CHECKING:  # to ask takes a quarter of the time of all checks to load, and most have no server
    from components.http import Origin
    from components.pm_api import PmApi

ANSWER_SECONDS = 3.0
NO_SERVER = "none is configured (HEADLESS_PM_API_URL, HEADLESS_PM_API_KEY): `task`, `serve`, `workflow` need none"
CLOCK_SECONDS = 30.0
"""A difference between the clocks that is worth a word; the server forgets an agent after 1800 s by its own."""


def server(installation: Installation) -> Iterator[Finding]:
    """Does the server answer, accept the key, and have this agent as we have it? Nothing is written there."""
    config = installation.config
    if not (installation.has_server or _is_anybody_at(config.api_url)):
        yield ok(NO_SERVER)
        return
    from components.http import Request
    from components.pm_api import API

    origin, api = _opened(config)
    try:
        health, seconds_ahead = _health(origin)
        yield _told(config, health)
        require(config, "api_key")
        request = Request("GET", f"{API}/agents")
        rows = api.read(request, origin.ask(request), pm_wire.parse_rows)
    except RunnerError as error:
        yield problem_of(error) if installation.has_server else ok(NO_SERVER)
        return
    yield ok("the API key is accepted")
    if seconds_ahead is not None and abs(seconds_ahead) > CLOCK_SECONDS:
        side = "ahead of" if seconds_ahead > 0 else "behind"
        yield warning(
            f"its clock is {abs(seconds_ahead):.0f} s {side} ours", "set both clocks by NTP: times in logs do not agree"
        )
    if config.agent_id:
        yield from _agent(config, rows)


def _is_anybody_at(url: str) -> bool:
    """Does anything listen at an address that nobody gave, but that is the usual one?"""
    parts = urlsplit(url)
    with contextlib.suppress(OSError):
        usual = 443 if parts.scheme == "https" else 80
        socket.create_connection((parts.hostname or "", parts.port or usual), timeout=ANSWER_SECONDS).close()
        return True
    return False


def _opened(config: Config) -> tuple[Origin, PmApi]:
    """Return what asks and what reads the answers: asked through the API, an agent may be signed in on the way."""
    from components.http import Origin
    from components.pm_api import PmApi

    words = (config.api_url, config.api_key, config.agent_id, str(config.role), config.level)
    api = PmApi(*words, timeout=ANSWER_SECONDS, wait=_no_rest)
    headers = {"X-API-Key": config.api_key, "User-Agent": f"advanced-agent-runner/{components.__version__}"}
    return Origin(api.url, headers, timeout=ANSWER_SECONDS, wait=_no_rest), api


def _no_rest(_seconds: float) -> None:
    """Try again at once: a person waits."""


def _health(origin: Origin) -> tuple[object, float | None]:
    """Return what the server tells of itself, and by how many seconds its clock is ahead of ours."""
    from components.http import Request
    from components.pm_api import data_of

    begun = time.time()
    answer = origin.ask(Request("GET", "/health"))
    ours = (begun + time.time()) / 2
    health = data_of(answer) if answer.is_success else None
    stamp = health.get("timestamp") if isinstance(health, Mapping) else None
    try:
        theirs = datetime.fromisoformat(str(stamp))
    except ValueError:
        return health, None
    return health, (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)).timestamp() - ours


def _told(config: Config, health: object) -> Finding:
    if not isinstance(health, Mapping) or "status" not in health:
        return warning(
            f"{config.api_url} answers, but does not say how it is (GET /health)",
            "see that HEADLESS_PM_API_URL is the address of a Headless PM server",
        )
    names = ", ".join(sorted(pm_wire.parse_capabilities(health))) or "those of the original"
    told = f"{config.api_url} is {pm_wire.one_line(str(health['status']), 40)}; capabilities: {names}"
    return ok(told) if health["status"] == "healthy" else warning(told, "look at the server's own log")


def _agent(config: Config, rows: list[dict[str, object]]) -> Iterator[Finding]:
    """Compare what the server has stored of this agent: it keeps the first role and level that it was told."""
    stored = next((row for row in rows if row.get("agent_id") == config.agent_id), None)
    if stored is None:
        yield ok(f"agent {config.agent_id} is not known there yet")
        return
    role, level = (str(stored.get(name, "")).lower() for name in ("role", "level"))
    if role != config.role:
        yield problem(
            f"agent {config.agent_id} is stored there as {role}, not as {config.role}",
            "use another --agent-id, or have a PM delete the agent there",
        )
    if level != config.level:
        yield warning(
            f"agent {config.agent_id} is stored there as {level}, not as {config.level}",
            "use another --agent-id, or have a PM delete the agent there; tasks are asked for as configured",
        )
    if (role, level) == (config.role, config.level):
        yield ok(f"agent {config.agent_id} is known there as {role}, {level}")


CHECKS = (Check("server", server),)
