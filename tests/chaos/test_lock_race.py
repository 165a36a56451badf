"""Eight daemons race for the tasks of a server whose lock is a read and, a while later, a write.

CHAOS=full races for 100 tasks.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.chaos import ledger_judge
from tests.chaos.fleet import Fleet
from tests.chaos.ledger_judge import Ledger
from tests.chaos.tcp_fault_proxy import Exchange, TcpFaultProxy
from tests.pm_server import running_pm
from tests.waiting import until

DAEMONS = 8
IS_FULL = os.environ.get("CHAOS") == "full"
TASKS = 100 if IS_FULL else 14
SECONDS = 400.0 if IS_FULL else 200.0
WINDOW = "racy_lock=0.04"
LOCK = re.compile(r"/tasks/(\d+)/lock\?agent_id=(\w+)")


def told_that_they_have_it(exchanges: list[Exchange]) -> dict[int, set[str]]:
    """Return whom the server told, for each task, that the lock is theirs."""
    told: dict[int, set[str]] = defaultdict(set)
    for exchange in exchanges:
        found = LOCK.search(exchange.target)
        if found and exchange.status == 200:
            told[int(found.group(1))].add(found.group(2))
    return told


@pytest.mark.timeout(SECONDS + 60)
def test_no_task_has_two_agents_though_the_server_tells_two_that_it_is_theirs(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    with running_pm(tmp_path, "--real", "--defect", WINDOW) as pm, TcpFaultProxy(pm.port) as proxy:
        mine = [pm.api.task(f"Task {number}")["id"] for number in range(TASKS)]
        fleet = Fleet(tmp_path, pm, proxy.url, ledger, "work", "0", "0.1", size=DAEMONS, shared=False)
        try:
            for number in range(DAEMONS):
                fleet.start(number)
            runs = fleet.home / "runs"
            until(
                lambda: all(ledger_judge.has_ended(task, runs) for task in ledger_judge.tasks(pm).values()),
                "the end of every task",
                SECONDS,
            )
            until(lambda: not list((fleet.home / "locks").glob("*.lock")), "the end of every claim")
            assert fleet.left() == []
            fleet.stop()
        finally:
            fleet.close()

        told = told_that_they_have_it(proxy.exchanges)
        contested = {task: agents for task, agents in told.items() if len(agents) > 1}
        print(
            f"\n{TASKS} tasks: for {len(contested)} the server told {sorted(map(len, contested.values()))} agents yes"
        )
        assert contested, "there was no race: nothing was proven"
        assert len(ledger.lines("start")) == TASKS
        assert ledger_judge.judge(pm, ledger, fleet.home, mine) == []
