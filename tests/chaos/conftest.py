"""What the drills share: a PM server with the real one's defects, and a drill that is cleared away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pm_server import PmServer, running_pm

if TYPE_CHECKING:
    from tests.chaos.judge import Drill


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PmServer]:
    with running_pm(tmp_path_factory.mktemp("pm"), "--real") as pm:
        yield pm


@pytest.fixture
def drill(tmp_path: Path, server: PmServer) -> Iterator[Callable[..., Drill]]:
    """Make drills on a `place` (by default a directory of the test) against the module's server."""
    from tests.chaos.judge import Drill

    made: list[Drill] = []

    def make(complexity: str = "major", place: Path = tmp_path / "place", **env: str) -> Drill:
        made.append(Drill(place, tmp_path, server, complexity, **env))
        return made[-1]

    yield make
    for one in made:
        one.close()
        server.api.status(one.task["id"], "pm_1", "committed")
