"""Checks of this machine and its configuration, each with its remedy.

A new check is a function in a file of `checks`, with its row in that file's `CHECKS`. None ends in a traceback: one
that fails itself is a problem like any other.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from components.checks import (
    Check,
    Finding,
    Installation,
    Judgement,
    agent,
    machine,
    ok,
    problem,
    problem_of,
    repository,
    server,
    state,
    store,
    warning,
)
from components.config import Config, Loaded, load
from components.errors import ConfigError, RunnerError
from components.redact import Redactor

logger = logging.getLogger(__name__)

OF_THE_MACHINE: tuple[Check, ...] = machine.CHECKS
OF_THE_HOME: tuple[Check, ...] = state.CHECKS
OF_THE_CONFIGURATION: tuple[Check, ...] = (
    *repository.CHECKS,
    *store.CHECKS,
    *agent.CHECKS,
    *server.CHECKS,
)
PLACES = ("HOME", "HEADLESS_PM_HOME")


@dataclass(frozen=True, slots=True)
class Line:
    """One finding under the name of its check."""

    name: str
    finding: Finding


def examine(arguments: Mapping[str, object], environ: Mapping[str, str], file: Path | None = None) -> Iterator[Line]:
    """Yield what every check finds, as it finds it, without our secrets.

    `arguments`, `environ` and `file` are those of `config.load`. Where the configuration has mistakes, the checks that
    depend on it are left out, and named.
    """
    loaded, mistakes = _load(arguments, environ, file)
    if loaded is not None:
        yield from (Line("configuration", finding) for finding in _of_configuration(loaded))
        checks = (*OF_THE_MACHINE, *OF_THE_HOME, *OF_THE_CONFIGURATION)
        yield from _run(checks, _installation(loaded.config, environ, has_server=_names_a_server(loaded)))
        return
    yield from (Line("configuration", finding) for finding in mistakes)
    places, _ = _load({}, {name: environ[name] for name in PLACES if name in environ}, None)
    if places is not None:
        yield from _run((*OF_THE_MACHINE, *OF_THE_HOME), _installation(places.config, environ))
    left_out = ", ".join(check.name for check in OF_THE_CONFIGURATION)
    yield Line("others", warning(f"not looked at: {left_out}", "correct the configuration first, then look again"))


def _load(
    arguments: Mapping[str, object], environ: Mapping[str, str], file: Path | None
) -> tuple[Loaded | None, list[Finding]]:
    """Return the configuration, or a finding for each mistake in it."""
    try:
        return load(arguments, environ, file=file), []
    except ConfigError as error:
        lines = str(error).splitlines()
        return None, [_mistake(line.strip()) for line in (lines[1:] or lines)]


def _mistake(line: str) -> Finding:
    seen, _, remedy = line.partition("; ")
    return problem(seen, remedy or "correct it; advanced-agent-runner config reference tells what each setting takes")


def _of_configuration(loaded: Loaded) -> Iterator[Finding]:
    yield ok(f"{loaded.file} has no mistake" if loaded.file else "no mistake; there is no file")
    for told in loaded.warnings:
        seen, _, remedy = told.partition("; ")
        yield warning(seen, remedy or "correct it, or leave it if it is meant so")


def _installation(config: Config, environ: Mapping[str, str], *, has_server: bool = False) -> Installation:
    return Installation(config, environ, os.geteuid(), Path(environ.get("HOME", "/")), has_server)


def _names_a_server(loaded: Loaded) -> bool:
    """Did anybody say which server to ask, by its address or by a key for it?"""
    return bool(loaded.config.api_key) or loaded.origins.get("api_url", "default") != "default"


def _run(checks: Sequence[Check], installation: Installation) -> Iterator[Line]:
    redact = Redactor([installation.config.api_key])
    for check in checks:
        for finding in _findings(check, installation):
            clean = replace(finding, seen=redact(finding.seen), remedy=redact(finding.remedy))
            yield Line(check.name, clean)


def _findings(check: Check, installation: Installation) -> Iterable[Finding]:
    """Return what one check finds; its own failure is a finding."""
    found: list[Finding] = []
    try:
        found.extend(check.look(installation))
    except RunnerError as error:
        found.append(problem_of(error))
    except OSError as error:
        found.append(problem(f"it could not be looked at: {error}", "correct what it names, then look again"))
    except Exception as error:
        logger.debug("the check %s failed", check.name, exc_info=True)
        found.append(
            problem(
                f"the check itself failed: {type(error).__name__}: {error}",
                "please report it, with what --verbose shows",
            )
        )
    return found


def is_well(lines: Iterable[Line]) -> bool:
    """Is there no problem among them?"""
    return all(line.finding.judgement is not Judgement.PROBLEM for line in lines)
