"""The history's store: can it be read, is it of our version, was it ever damaged?"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from components import store_file, store_queries, store_url
from components.checks import Check, Finding, Installation, ok, problem, problem_of, warning
from components.errors import StateCorrupt, StateForeign, StoreUnavailable
from components.store_version import refuse_newer

PATIENCE = store_file.LOOK_SECONDS
REBUILT = "any command that asks the history keeps it aside and builds it again: agent-runner list"


def store(installation: Installation) -> Iterator[Finding]:
    """Can it be read? Nothing is made, changed or brought up to date."""
    url = installation.config.store
    path = store_url.file_of(url)
    try:
        yield _in_a_file(path, url) if path is not None else _at_a_server(url)
    except StateForeign as error:
        yield problem_of(error)
    except StateCorrupt as error:
        yield warning(str(error), REBUILT) if path is not None else problem(str(error), "restore it from a backup")
    except StoreUnavailable as error:
        yield problem(
            str(error),
            store_file.HAVE_IT_ANSWER,
        )
    for aside in sorted(path.parent.glob(f"{path.name}.bad-*")) if path is not None else ():
        if not aside.name.endswith(store_file.COMPANIONS):
            yield warning(
                f"{aside} was damaged and set aside; the history was built again without it",
                f"when nothing is missed in `agent-runner list`: rm {shlex.quote(str(aside))}*",
            )


def _in_a_file(path: Path, url: str) -> Finding:
    if not path.exists():
        return ok(f"{path} is not there yet; the first task makes it")
    refuse_newer(store_file.version(path, PATIENCE), url)
    store_file.examine(path, PATIENCE)
    ((count,),) = store_file.rows(path, store_queries.number_of_all(), PATIENCE) or [(0,)]
    return ok(f"{path}: {count} executions")


def _at_a_server(url: str) -> Finding:
    from components import store_engine, store_schema

    engine = store_engine.connect(url)
    try:
        refuse_newer(store_schema.version_at(engine, url), url)
    finally:
        engine.dispose()
    return ok(f"{store_url.shown(url)} answers")


CHECKS = (Check("store", store),)
