"""A server with the real one's ways, and runners at it, for the tests of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pm_server import PmServer, running_pm
from tests.runner import Runner
from tests.typed import MakeTerminal, Terminal

MakeRunner = Callable[..., Runner]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PmServer]:
    with running_pm(tmp_path_factory.mktemp("pm"), "--real") as pm:
        yield pm


@pytest.fixture
def pm(server: PmServer) -> PmServer:
    """The server without the tasks of the tests before."""
    for task in server.api.tasks():
        if task["status"].lower() != "committed":
            server.api.status(task["id"], "pm_1", "committed")
    return server


@pytest.fixture
def runner(tmp_path: Path, pm: PmServer) -> Iterator[MakeRunner]:
    """Make runners of agents; whatever they leave is ended with the test."""
    made: list[Runner] = []

    def make(*agent: str, agent_id: str = "dev_1") -> Runner:
        made.append(Runner(tmp_path, pm, *agent, agent_id=agent_id))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[MakeTerminal]:
    """Make shells of a person; what they leave is ended with the test."""
    made: list[Terminal] = []

    def make(*agent: str) -> Terminal:
        made.append(Terminal(tmp_path, *agent))
        return made[-1]

    yield make
    for one in made:
        one.close()
