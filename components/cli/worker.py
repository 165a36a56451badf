"""`worker`: performs the agents that wait in a queue, on one machine or as one of many."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components import cli
from components.cli.output import show

if TYPE_CHECKING:
    from components.config import Config
    from components.ports import AgentQueue, Performer
    from components.queue_database import WorkerRow
    from components.queue_engine import DbosQueue
    from components.queue_worker import QueueWorker
    from components.signals import Signals
    from components.terminal_ui import TerminalUI

LOOK_SECONDS = 1.0
HELP = """Perform the agents that wait in the queue, until stopped.

Without a queue of many machines it is a file in the home: one worker is enough, and what is put into the queue on this
machine begins at once. With PostgreSQL any number of workers, on any number of machines, share one queue; each entry is
with one of them at a time. A worker that dies is noticed: on its own machine within a second, where another worker or
its next start adopts the agents at work; by other machines after worker_ttl (90 s), where the next attempt begins.

\b
On one machine:
  advanced-agent-runner worker
\b
On each of many machines, whose agents and queue are in one database (the password belongs into ~/.pgpass):
  advanced-agent-runner worker --store postgresql://runner@db/runner --concurrency 8
\b
Serve some roles only, and have a second worker on the machine:
  advanced-agent-runner worker --roles qa,architect --name $(hostname)-qa
\b
See who works, what waits, and what recurs:
  advanced-agent-runner worker --show

\b
Signals:
  SIGTERM   take nothing new, leave the agents at work, exit; the next start
            here adopts them (see --on-term); a second one stops the agents, and
            others make the next attempt
  Ctrl-C    once: take nothing new and see through what is at work; twice: stop
            it, for others; thrice: leave it

Exit codes: 0 stopped, 2 a mistake in the call or the configuration, 75 another worker has the name, 130 interrupted.
"""


@click.command(name="worker", help=HELP, short_help="Perform the agents that wait in the queue.")
@click.option("--queue", metavar="URL", help="The queue.  [default: PostgreSQL of `store`, else a file in the home]")
@click.option(
    "--store", metavar="URL", help="Where agents and the history are recorded.  [default: a file in the home]"
)
@click.option("--roles", "worker_roles", metavar="A,B", help="The roles to serve.  [default: all]")
@click.option("--concurrency", "worker_concurrency", metavar="N", help="How many agents at once.  [default: 4]")
@click.option("--name", "worker_name", metavar="NAME", help="This worker's name, its own.  [default: the machine's]")
@click.option(
    "--poll-interval",
    metavar="SECONDS",
    help="How long to rest when nothing waits; work of this machine wakes at once.  [default: 5; on PostgreSQL 0.5]",
)
@click.option(
    "--on-term", metavar="leave|wait|stop", help="What the first SIGTERM does to agents at work.  [default: leave]"
)
@click.option("--repo", "repository", metavar="DIR", help="The repository of agents that name none.  [default: here]")
@click.option("--show", "only_show", is_flag=True, help="Show all workers, what waits and what recurs, and exit.")
@click.option("--withdraw", metavar="NAME", help="Have the schedule of this name fire no more, and exit.")
@click.option("--json", "as_json", is_flag=True, help="Write the state as JSON, one object a line.")
@click.option("--config", "file", metavar="FILE", type=Path, help="A configuration file.")
@click.option("--verbose", "-v", count=True, help="Say more.")
@click.pass_context
def command(
    context: click.Context, /, file: Path | None, only_show: bool, withdraw: str | None, as_json: bool, **_: object
) -> int:
    """Load the configuration, and work until a signal comes."""
    from components.cli.run import terminal
    from components.signals import Intent, Signals

    config = load_config(context, file)
    ui = terminal(config)
    if withdraw:
        return end_schedule(config, withdraw)
    if only_show:
        return show_queue(config, as_json)
    Signals.hold_back()
    signals = Signals(config.on_term)
    signals.install()
    code = work(config, ui, signals, performer(config, ui), as_json=as_json)
    return 130 if signals.is_interrupted and signals.intent in (Intent.STOP, Intent.LEAVE) else code


def load_config(context: click.Context, file: Path | None) -> Config:
    """Return the configuration; --poll-interval is that of whichever queue it is."""
    from components.config import load

    own = ("file", "only_show", "withdraw", "as_json", "verbose")
    given = {name: value for name, value in cli.settings_of(context).items() if name not in own}
    if "poll_interval" in given:
        given["queue_poll_interval"] = given["poll_interval"]
    if context.params["verbose"]:
        given["verbosity"] = context.params["verbose"]
    return load(given, os.environ, file=file).config


def work(
    config: Config,
    ui: TerminalUI,
    signals: Signals,
    make_performer: Callable[[AgentQueue], Performer],
    *,
    as_json: bool = False,
) -> int:
    """Work until told to stop. Agents that are left at work keep no process of ours alive."""
    from components import queue_engine
    from components.errors import StoreUnavailable

    def rest(seconds: float) -> bool:
        signals.wait(seconds)
        return signals.is_draining

    try:
        with queue_engine.opened(config, make_performer, say=ui.warning, rest=rest) as queue:
            tell = teller(config, queue, as_json)
            attend(queue.worker, signals, tell)  # type: ignore[arg-type]
    except StoreUnavailable:
        if not signals.is_draining:
            raise
        return 0
    if queue.worker is not None and not queue.worker.is_idle:
        logging.shutdown()
        cli.silence_broken_pipe()
        os._exit(0)
    return 0


def performer(config: Config, ui: TerminalUI) -> Callable[[AgentQueue], Performer]:
    """Return what makes the one who performs, for a queue that it may enqueue to."""
    from components import agent_performer

    return lambda queue: agent_performer.opened(config, os.environ, queue, ui)


def attend(worker: QueueWorker, signals: Signals, tell: Callable[[str], None]) -> None:
    """Do as the signals say until nothing is to be waited for."""
    from components.signals import Intent

    tell("working")
    while signals.intent is Intent.RUN:
        tell("cut off from the database" if worker.is_cut_off else "working")
        signals.wait(LOOK_SECONDS)
    worker.drain()
    while signals.intent is not Intent.LEAVE and not worker.is_idle:
        if signals.intent is Intent.STOP:
            worker.hand_over()
        tell("handing over" if signals.intent is Intent.STOP else "finishing")
        signals.wait(LOOK_SECONDS)
    tell("stopped" if worker.is_idle else "leaving")


def teller(config: Config, queue: DbosQueue, as_json: bool) -> Callable[[str], None]:
    """Return what tells the state, whenever it has changed."""
    last: list[Any] = []

    def tell(state: str) -> None:
        worker = queue.worker
        assert worker is not None
        at_work = [{"agent": one.agent_id, "attempt": one.attempt, "role": one.role} for one in worker.in_hand]
        now = {"worker": worker.terms.name, "state": state, "at_work": at_work, "performed": worker.performed}
        if last != [now]:
            last[:] = [now]
            show(json.dumps(now) if as_json else sentence(now, config.worker_concurrency))
            sys.stdout.flush()

    return tell


def sentence(now: dict[str, Any], concurrency: int) -> str:
    """Return a state in words."""
    names = ", ".join(f"{one['agent'][:8]}{'/' + one['role'] if one['role'] else ''}" for one in now["at_work"][:5])
    more = ", ..." if len(now["at_work"]) > 5 else ""
    busy = f"{len(now['at_work'])} of {concurrency} at work{': ' + names + more if names else ''}"
    return f"{now['worker']} is {now['state']}; {busy}; {now['performed']} done"


def show_queue(config: Config, as_json: bool) -> int:
    """Show all workers of the queue and what waits."""
    from components import queue_engine
    from components.schedules import next_firing

    with queue_engine.opened(config) as queue:
        workers = [(one, queue.is_gone(one)) for one in queue.workers()]
        waiting, at_work = queue.waiting(), queue.at_work()
        recurring = {name: {**one, "next": next_firing(one["cron"])} for name, one in queue.schedules().items()}
    if as_json:
        rows = [worker_row(*one) for one in workers]
        show(json.dumps({"workers": rows, "waiting": waiting, "at_work": at_work, "schedules": recurring}))
        return 0
    for one, is_gone in workers:
        heard = f"heard {one.age:.0f} s ago" if one.age < config.worker_ttl else f"silent for {one.age:.0f} s"
        state = "it has ended; what it had is for the next worker here" if is_gone else heard
        show(f"{one.name}  on {one.host} ({one.pid}), {one.roles or 'all roles'}, {one.concurrency} at once; {state}")
    if not workers:
        show("No worker is at this queue; start one with `advanced-agent-runner worker`.")
    show(counted(waiting, "waits", "wait"))
    show(counted(at_work, "is at work", "are at work"))
    for name, due in sorted(recurring.items()):
        show(f"{name}: {due['cron']}, next at {due['next']}: {due['workflow'] or due['task']}")
    return 0


def worker_row(one: WorkerRow, is_gone: bool) -> dict[str, Any]:
    """Return what programs are told of a worker."""
    return {
        "name": one.name,
        "host": one.host,
        "pid": one.pid,
        "roles": [role for role in one.roles.split(",") if role],
        "concurrency": one.concurrency,
        "version": one.version,
        "silent_seconds": round(one.age, 1),
        "is_gone": is_gone,
    }


def counted(counts: Mapping[str, int], one: str, many: str) -> str:
    """Return how many there are, by role, with the words for one of them and for several."""
    roles = ", ".join(f"{role or 'any role'}: {count}" for role, count in counts.items())
    total = sum(counts.values())
    return f"{total} {one if total == 1 else many}{f' ({roles})' if roles else ''}"


def end_schedule(config: Config, name: str) -> int:
    """Have a schedule fire no more."""
    from components import queue_engine

    with queue_engine.opened(config) as queue:
        queue.withdraw(name)
    show(f"{name} fires no more; take it out of the workers' configuration too, or a start brings it back", "green")
    return 0
