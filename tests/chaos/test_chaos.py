"""Chaos: daemons, shims and agents are killed at random, and the way to the server is bad; every task is done once.

CHAOS_SEED repeats the choices of a run (what is killed, after which rest, which request is spoiled), CHAOS_KILLS says
how many kills; `make chaos` does 1,000. What the choices meet depends on the machine's timing, too.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from components import process
from components.run_directory import RunState
from tests.chaos import ledger_judge
from tests.chaos.fleet import Fleet
from tests.chaos.ledger_judge import Ledger
from tests.chaos.tcp_fault_proxy import TcpFaultProxy, spoiled
from tests.pm_server import PmServer, running_pm
from tests.waiting import until

KILLS = int(os.environ.get("CHAOS_KILLS", "30"))
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 32))
SPOILED_SHARE = 0.1
VICTIMS = {"daemon": 12, "shim": 4, "agent": 3, "all of one": 3, "all": 1}
REST_SECONDS = (0.05, 1.0)
SECONDS_PER_KILL = 3.0
END_SECONDS = 120.0


class Chaos:
    """Kills, starts again what runs by the operator's hand, and files tasks as they are used up."""

    def __init__(self, fleet: Fleet, pm: PmServer, ledger: Ledger, rng: random.Random) -> None:
        self.fleet, self.pm, self.ledger, self.rng = fleet, pm, ledger, rng
        self.killed: Counter[str] = Counter()
        self.struck: set[str] = set()
        self.tasks: list[int] = []

    def feed(self) -> None:
        """Keep a little more in the queue than the daemons have in hand."""
        now = ledger_judge.tasks(self.pm)
        waiting = sum(not ledger_judge.has_ended(now[task], self.fleet.home / "runs") for task in self.tasks)
        for _ in range(len(self.fleet.now) + 1 - waiting):
            complexity = self.rng.choice(["major", "major", "minor"])
            self.tasks.append(self.pm.api.task(f"Task of seed {SEED}", complexity=complexity)["id"])

    def kill(self) -> None:
        """Kill what chance names."""
        victims: dict[str, Callable[[], int]] = {
            "daemon": lambda: self.kill_daemon(self.a_daemon()),
            "shim": lambda: self.kill_runs("shim"),
            "agent": lambda: self.kill_runs("agent"),
            "all of one": lambda: self.kill_daemon(self.a_daemon()) + self.kill_runs("shim", "agent"),
            "all": lambda: sum(map(self.kill_daemon, range(len(self.fleet.now)))) + self.kill_all_runs(),
        }
        name = self.rng.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        self.killed[name] += bool(victims[name]())

    def a_daemon(self) -> int:
        return self.rng.randrange(len(self.fleet.now))

    def kill_daemon(self, number: int) -> int:
        """Kill a daemon if it is there; it is started again after the next rest."""
        was_there = self.fleet.now[number] is not None
        self.fleet.kill(number)
        return was_there

    def kill_runs(self, *who: str) -> int:
        """Kill the shim, the agent or both of a run that is alive."""
        alive = [run for run in self.fleet.members[0].runs() if run.state() is RunState.ALIVE]
        return self.kill_run(self.rng.choice(alive), *who) if alive else 0

    def kill_all_runs(self) -> int:
        runs = self.fleet.members[0].runs()
        return sum(self.kill_run(run, "shim", "agent") for run in runs if run.state() is RunState.ALIVE)

    def kill_run(self, run: process.RunDirectory, *who: str) -> int:
        """Kill processes of a run, and nobody else who has got their number."""
        killed = 0
        for name, identity in run.pids().items():
            handle = process.handle_of(identity) if name in who else None
            if handle is not None:
                self.struck.add(run.name)
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                os.close(handle)
                killed += 1
        return killed

    def rage(self, kills: int) -> None:
        """Kill until it was enough; whatever was found dead is started again before the next kill or the one after."""
        deadline = time.monotonic() + 20 + SECONDS_PER_KILL * kills
        while self.killed.total() < kills:
            assert time.monotonic() < deadline, f"only {self.killed} in time"
            time.sleep(self.rng.uniform(*REST_SECONDS))
            self.check()
            for number, daemon in enumerate(self.fleet.now):
                if daemon is None and self.rng.random() < 0.8:
                    self.fleet.start(number)
            self.feed()
            self.kill()

    def check(self) -> None:
        """See that nothing is wrong at this moment."""
        assert self.ledger.complaints() + self.fleet.left() == []

    def come_to_rest(self) -> None:
        """Start what is dead, wait for every task's end, and send the daemons home."""
        for number, daemon in enumerate(self.fleet.now):
            if daemon is None:
                self.fleet.start(number)
        try:
            until(self.all_ended, "the end of every task", END_SECONDS)
        finally:
            print("\n".join(self.state()))
        until(lambda: not list((self.fleet.home / "locks").glob("*.lock")), "the end of every claim", END_SECONDS)
        assert self.fleet.left() == []
        self.fleet.stop()

    def all_ended(self) -> bool:
        now = ledger_judge.tasks(self.pm)
        return all(ledger_judge.has_ended(now[task], self.fleet.home / "runs") for task in self.tasks)

    def state(self) -> list[str]:
        """Say what was done and how the tasks stand."""
        now = ledger_judge.tasks(self.pm)
        stands = Counter(f"{now[task]['status']}{' held' * bool(now[task]['locked_by'])}" for task in self.tasks)
        lives = len(self.ledger.lines("start"))
        return [f"kills: {dict(self.killed)}", f"tasks: {dict(stands)}, agents' lives: {lives}"]


@pytest.mark.timeout(60 + END_SECONDS * 2 + SECONDS_PER_KILL * KILLS)
def test_whatever_is_killed_every_task_is_done_once(tmp_path: Path) -> None:
    print(f"\nCHAOS_SEED={SEED} CHAOS_KILLS={KILLS}")
    rng = random.Random(SEED)
    ledger = Ledger(tmp_path / "ledger")
    with running_pm(tmp_path, "--real", "--defect", "racy_lock=0.02") as pm, TcpFaultProxy(pm.port) as proxy:
        fleet = Fleet(tmp_path, pm, proxy.url, ledger, "work", "0.2", "2", size=3, shared=True)
        chaos = Chaos(fleet, pm, ledger, rng)
        try:
            proxy.choose = spoiled(random.Random(SEED + 1), SPOILED_SHARE)
            chaos.rage(KILLS)
            chaos.come_to_rest()
            print(f"requests: { {str(fault): number for fault, number in proxy.struck.items()} }")
        finally:
            fleet.close()

        assert ledger_judge.judge(pm, ledger, fleet.home, chaos.tasks, chaos.struck) == []
        assert ledger_judge.repository_complaints(fleet.members[0].repository) == []
