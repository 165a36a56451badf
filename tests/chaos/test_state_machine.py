"""Whatever happens in whatever order: a state machine of faults over real daemons, a real server and real agents.

Hypothesis chooses the steps. After each, the invariants are looked at from outside; at the end everything is healed
and every task must end. CHAOS=full tries more, and other steps each time.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from components import journal_format, process
from components.run_directory import RunDirectory
from tests.chaos import ledger_judge
from tests.chaos.fleet import Fleet
from tests.chaos.ledger_judge import Ledger, Line
from tests.chaos.tcp_fault_proxy import Fault, TcpFaultProxy
from tests.pm_server import PmServer, running_pm
from tests.waiting import until

IS_FULL = os.environ.get("CHAOS") == "full"
EXAMPLES, STEPS = (60, 25) if IS_FULL else (2, 10)
SECONDS = 3600.0 if IS_FULL else 400.0
SIZE = 2
STIR_SECONDS = 1.0
END_SECONDS = 120.0
RIVAL = "rival"
QUICK = {"HEADLESS_PM_HEARTBEAT_INTERVAL": "0.5", "HEADLESS_PM_GRACE": "1"}

daemons = st.integers(0, SIZE - 1)
places = st.integers(0, 99)
ends = st.sampled_from(["success", "success", "success", "failure", "crash"])


class Life(RuleBasedStateMachine):
    """Two daemons, their server, and what can happen to them. The server and the proxy serve all examples."""

    def __init__(self, pm: PmServer, proxy: TcpFaultProxy, directory: Path) -> None:
        super().__init__()
        self.pm, self.proxy = pm, proxy
        self.pm.api.clear()
        self.begin = len(ledger_judge.changelog(pm))
        self.ledger = Ledger(directory / "ledger")
        self.fleet = Fleet(directory, pm, proxy.url, self.ledger, "gate", size=SIZE, shared=True, **QUICK)
        self.tasks: list[int] = []
        self.stolen: dict[int, int] = {}
        self.struck: set[str] = set()
        self.tasks.append(self.pm.api.task("Task")["id"])
        self.fleet.start(0)
        until(self.ledger.living, "the first agent at work")

    # What happens

    @precondition(lambda self: len(self.tasks) < 3)
    @rule(complexity=st.sampled_from(["minor", "major"]))
    def file_task(self, complexity: str) -> None:
        self.tasks.append(self.pm.api.task("Task", complexity=complexity)["id"])

    @precondition(lambda self: None in self.fleet.now)
    @rule(number=daemons)
    def start_daemon(self, number: int) -> None:
        """Start the daemon, or the other one where it runs."""
        self.fleet.start(number if self.fleet.now[number] is None else 1 - number)
        self.wait_for_a_stir()

    @precondition(lambda self: any(self.fleet.now))
    @rule(number=daemons)
    def kill_daemon(self, number: int) -> None:
        self.fleet.kill(number if self.fleet.now[number] else 1 - number)

    @precondition(lambda self: any(self.fleet.now))
    @rule(number=daemons)
    def term_daemon(self, number: int) -> None:
        """Send SIGTERM: the daemon leaves, its agent stays."""
        number = number if self.fleet.now[number] else 1 - number
        daemon = self.fleet.now[number]
        assert daemon is not None
        before = {line.pid for line in self.ledger.living()}
        self.fleet.term(number)
        assert daemon.wait(30) == 0, self.fleet.members[number].log.read_text()[-1500:]
        self.fleet.now[number] = None
        ended = {line.pid for line in self.ledger.lines() if line.event in ("end", "failed")}
        stopped = {run.pids()["agent"].pid for run in self.runs() if (run.exit_record() and run.exit_record().why)}
        assert before <= {line.pid for line in self.ledger.living()} | ended | stopped, "SIGTERM ended an agent"

    @rule(place=places)
    def kill_agent(self, place: int) -> None:
        self.kill_one(place, "agent")

    @rule(place=places)
    def kill_shim(self, place: int) -> None:
        self.kill_one(place, "shim")

    @rule(place=places, how=ends)
    def agent_ends(self, place: int, how: str) -> None:
        """Let an agent finish, so or so."""
        chosen = self.choice(place, self.ledger.living)
        if chosen is not None:
            self.struck |= {chosen.run} if how == "crash" else set()
            self.ledger.say(how, chosen.pid)
            until(lambda: chosen not in self.ledger.living(), "the agent's end")

    @rule(fault=st.sampled_from(Fault))
    def trouble_the_way(self, fault: Fault) -> None:
        """Spoil every request from now on in one way, until the way is good again."""
        self.proxy.choose = lambda: fault

    @precondition(lambda self: self.proxy.choose() is not Fault.OK)
    @rule()
    def heal_the_way(self) -> None:
        self.proxy.choose = lambda: Fault.OK

    @rule()
    def restart_server(self) -> None:
        self.pm.restart()

    @rule(place=places)
    def steal(self, place: int) -> None:
        """Take a task away from the agent that works on it, and give it to a rival, as a person at the PM would."""
        chosen = self.choice(place, self.stealable)
        if chosen is None:
            return
        task = chosen.task
        self.struck.add(chosen.run)
        self.pm.api.register(RIVAL)
        self.pm.api.status(task, "pm_1", "created")
        self.pm.api.lock(task, RIVAL)
        time.sleep(0.1)  # a rival lets the locks settle, as everybody must
        if self.pm.api.look(task)["locked_by"] == RIVAL:
            self.pm.api.status(task, RIVAL, "under_work")
            self.stolen[task] = ledger_judge.changelog(self.pm)[-1]["id"]

    @rule()
    def wait_for_a_stir(self) -> None:
        """Let things take their course, until something can be seen of it or a while is over."""
        before, deadline = self.sight(), time.monotonic() + STIR_SECONDS
        until(lambda: self.sight() != before or time.monotonic() > deadline, "a stir")

    # What must be so, always

    @invariant()
    def no_promise_is_broken(self) -> None:
        self.no_task_has_two_agents()
        self.a_task_is_done_only_where_an_agent_finished()
        self.nobody_changes_a_task_that_a_rival_holds()
        self.every_journal_can_be_read()
        assert self.fleet.left() == []

    def no_task_has_two_agents(self) -> None:
        assert self.ledger.complaints() == []

    def a_task_is_done_only_where_an_agent_finished(self) -> None:
        finished = {line.task for line in self.ledger.lines("end")}
        told = {row["task_id"] for row in self.rows() if row["new_status"] == "dev_done"}
        assert told <= finished

    def nobody_changes_a_task_that_a_rival_holds(self) -> None:
        for row in self.rows():
            if row["id"] > self.stolen.get(row["task_id"], row["id"]):
                assert not row["changed_by"].startswith("dev_"), row

    def every_journal_can_be_read(self) -> None:
        for journal in self.journals():
            assert journal_format.parse(journal)
        assert not [path.name for path in self.locks("*") if "bad" in path.name or "corrupt" in path.name]

    # The end

    def teardown(self) -> None:
        try:
            self.heal()
            runs = self.fleet.home / "runs"
            until(
                lambda: all(ledger_judge.has_ended(task, runs) for task in ledger_judge.tasks(self.pm).values()),
                "the end of every task",
                END_SECONDS,
            )
            until(lambda: not self.locks("*.lock"), "the end of every claim", END_SECONDS)
            assert self.fleet.left() == []
            self.fleet.stop()
            assert ledger_judge.judge(self.pm, self.ledger, self.fleet.home, self.tasks, self.struck) == []
        except AssertionError:
            note("\n".join(self.story()))
            raise
        finally:
            self.proxy.choose = lambda: Fault.OK
            self.fleet.close()

    def heal(self) -> None:
        """Make the way good, give stolen tasks back, start fresh daemons, and let every agent succeed."""
        self.proxy.choose = lambda: Fault.OK
        self.fleet.stop()
        for task in self.stolen:
            self.pm.api.status(task, RIVAL, "created")
        self.ledger.say("success")
        for number in range(SIZE):
            self.fleet.start(number)

    def story(self) -> Iterator[str]:
        """Tell all that was seen, for whoever looks into a failure."""
        yield from (f"{dict(row)}" for row in self.rows())
        yield from map(str, self.ledger.lines())
        for member in self.fleet.members:
            yield f"--- {member.agent_id}\n{member.log.read_text() if member.log.exists() else 'never ran'}"

    # What is looked at

    def rows(self) -> list[dict[str, object]]:
        return ledger_judge.changelog(self.pm)[self.begin :]

    def locks(self, pattern: str) -> list[Path]:
        return sorted((self.fleet.home / "locks").glob(pattern))

    def journals(self) -> Iterator[bytes]:
        for path in self.locks("*.lock"):
            try:
                yield path.read_bytes()
            except FileNotFoundError:
                continue  # its daemon was faster

    def sight(self) -> object:
        phases = [journal_format.parse(journal).phase for journal in self.journals()]
        return phases, self.ledger.lines(), self.rows()

    def runs(self) -> list[RunDirectory]:
        return self.fleet.members[0].runs()

    def stealable(self) -> list[Line]:
        """Return the agents at work whose daemon does nothing at the server but look, or is not there."""
        watched = {held.run for held in map(journal_format.parse, self.journals()) if held.phase == "RUNNING"}
        return [line for line in self.ledger.living() if line.run in watched and line.task not in self.stolen]

    def choice(self, place: int, among: Callable[[], list[Line]]) -> Line | None:
        """Return one of the agents there are, or the first that comes within a while.

        What there is depends on time, so no rule may have it as a precondition: Hypothesis repeats its choices.
        """
        deadline = time.monotonic() + (STIR_SECONDS if any(self.fleet.now) else 0)
        until(lambda: among() or time.monotonic() > deadline, "an agent")
        found = among()
        return found[place % len(found)] if found else None

    def kill_one(self, place: int, who: str) -> None:
        chosen = self.choice(place, self.ledger.living)
        if chosen is None:
            return
        handle = process.handle_of(RunDirectory(self.fleet.home / "runs" / chosen.run).pids()[who])
        if handle is not None:
            self.struck.add(chosen.run)
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
        until(lambda: who == "shim" or chosen not in self.ledger.living(), "the agent's end")


@pytest.mark.timeout(SECONDS)
def test_whatever_happens_in_whatever_order_every_task_ends_and_no_promise_is_broken(tmp_path: Path) -> None:
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=not IS_FULL,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with running_pm(tmp_path, "--real") as pm, TcpFaultProxy(pm.port, hang_seconds=1.0) as proxy:
        run_state_machine_as_test(lambda: Life(pm, proxy, Path(tempfile.mkdtemp(dir=tmp_path))), settings=chosen)
