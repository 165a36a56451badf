"""What a runner tells the history, and how the history is made true again after a crash."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components import (
    background,
    durable,
    history_entry,
    history_spool,
    history_sync,
    history_telling,
    journal_format,
    store_rebuild,
    store_url,
    typed_task,
)
from components.errors import StoreTooNew
from components.execution import Execution, Selection
from components.history import History
from components.model import Held, Task, Verdict, Workspace
from components.run_directory import JOURNAL
from components.states import Door, ExecutionStatus, Phase, Reason
from components.store import Store, now_text
from components.task_persistence import host_name
from components.typed_task import TypedTask
from tests.runner import git, make_repository
from tests.waiting import until

ROOT = Path(__file__).parents[2]
AGENT = "dev_001"
HOST = host_name()
RUNNING, INTERRUPTED = ExecutionStatus.RUNNING, ExecutionStatus.INTERRUPTED
LIFE = (Phase.ANNOUNCED, Phase.PREPARING, Phase.SPAWNING, Phase.RUNNING)
VERDICT = Verdict(Reason.SUCCEEDED, "done", 0, 0.5, 12.0, "opus")


class Place:
    """A home with what a runner leaves in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = store_url.of_file(home / "store.db")
        self.said: list[str] = []
        durable.make_directory(home / "locks")
        durable.make_directory(home / "runs")
        self.store = Store(self.url)

    def history(self, url: str = "", agent_id: str = AGENT) -> History:
        return History(self.home, url or self.url, agent_id=agent_id, project="/srv/shop", say=self.said.append)

    def journal(self, held: Held) -> None:
        (self.home / "locks" / f"agent-{held.agent_id}.lock").write_bytes(journal_format.dump(held))

    def done(self) -> None:
        (self.home / "locks" / f"agent-{AGENT}.lock").unlink()

    def run(self, held: Held, verdict: Verdict | None = VERDICT, tokens: int = 100) -> Path:
        """Make the run directory of an attempt, with its receipt where it was judged."""
        path = self.home / "runs" / f"{held.task.id}-{held.claim[:8]}-{held.attempt}"
        path.mkdir()
        (path / JOURNAL).write_bytes(journal_format.dump(held))
        (path / "alive").touch()
        (path / "exit").write_text("PENDING")
        (path / "pids").write_text(json.dumps({"shim": [11, 1], "agent": [12, 1], "boot_id": "b", "pid_namespace": 1}))
        if verdict:
            result = {"text": "All tests pass.", "tool_calls": 4, "num_turns": 3, "input_tokens": tokens}
            receipt = {"verdict": asdict(verdict), "result": result}
            (path / "result.json").write_text(json.dumps(receipt))
        return path

    def get(self, held: Held) -> Execution:
        return self.store.get(held.claim)

    def statuses(self, held: Held) -> list[str]:
        return [str(move.after) for move in self.store.transitions_of(held.claim)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "home")
    yield place
    place.store.close()


def a_claim(task_id: str = "7", agent_id: str = AGENT, **facts: object) -> Held:
    task = Task(task_id, "Add a cart", role="backend_dev", level="senior", created_at="2026-01-01T00:00:00")
    held = Held(
        task=task,
        agent_id=agent_id,
        phase=Phase.CLAIMING,
        claim=uuid.uuid4().hex,
        session_id=str(uuid.uuid4()),
        locked_at=now_text(),
        host=HOST,
        workspace=Workspace(Path("/w"), Path("/srv/shop"), "task-7", "c" * 40, is_worktree=True),
    )
    return replace(held, **facts)  # type: ignore[arg-type]


def live_through(history: History, held: Held, phases: tuple[Phase, ...], verdict: Verdict | None = None) -> Held:
    for phase in phases:
        held = replace(held, phase=phase, verdict=verdict)
        history.note(held)
    return held


ENDING = (Phase.EXITED, Phase.REPORTED, Phase.CLEANING, Phase.DONE)


def test_a_task_leaves_its_whole_life_in_the_history(place: Place) -> None:
    held, history = a_claim(), place.history()

    live_through(history, held, (Phase.CLAIMING, Phase.CLAIMED, *LIFE))
    place.run(held)
    live_through(history, held, ENDING, VERDICT)
    history.close()

    one = place.get(held)
    assert place.statuses(held) == ["pending", "preparing", "running", "finishing", "succeeded"]
    assert (one.status, one.reason, one.door, one.project) == ("succeeded", "succeeded", Door.RUN, "/srv/shop")
    assert (one.cost_usd, one.input_tokens, one.tool_calls, one.turns, one.seconds) == (0.5, 100, 4, 3, 12.0)
    assert (one.model, one.branch, one.workspace, one.summary, one.error) == (
        "opus",
        "task-7",
        "/w",
        "All tests pass.",
        "",
    )
    assert one.started_at and one.completed_at and one.runner_pid == os.getpid()
    assert [line.key for line in place.store.cost("agent")] == [AGENT]
    assert not place.said


def test_a_claim_that_went_to_somebody_else_leaves_nothing(place: Place) -> None:
    history = place.history()

    live_through(history, a_claim(), (Phase.CLAIMING, Phase.CLAIMED, Phase.DONE))
    history.close()

    assert place.store.select(Selection()) == []


def test_attempts_are_one_execution_and_their_cost_is_summed_up(place: Place) -> None:
    held, history = a_claim(), place.history()
    failed = Verdict(Reason.AGENT_FAILED, "boom", 1, 0.25, 3.0, "opus")

    live_through(history, held, LIFE)
    place.run(held, failed)
    again = replace(held, attempt=2)
    live_through(history, again, LIFE[1:])
    place.run(again)
    live_through(history, again, ENDING, VERDICT)
    history.close()

    one = place.get(held)
    assert place.statuses(held) == ["pending", "preparing", "running", "preparing", "running", "finishing", "succeeded"]
    assert (one.attempt, one.cost_usd, one.seconds, one.input_tokens) == (2, 0.75, 15.0, 200)


def test_a_limit_of_the_account_is_waited_for_and_a_failure_tells_why(place: Place) -> None:
    held, history = a_claim(), place.history()
    parked = Verdict(Reason.TIMED_OUT, "it took longer than 600 s", wait_until=0)

    live_through(history, held, LIFE)
    live_through(history, replace(held, attempt=2, not_before=time.time() + 60), (Phase.PREPARING,))
    live_through(history, replace(held, attempt=2), ENDING, parked)
    history.close()

    one = place.get(held)
    assert place.statuses(held)[3:] == ["waiting", "finishing", "failed"]
    assert (one.reason, one.error) == ("timed_out", "it took longer than 600 s")


def test_facts_that_the_journal_does_not_know_are_kept_and_redacted(place: Place) -> None:
    history = History(
        place.home,
        place.url,
        agent_id=AGENT,
        project="p",
        redact=lambda text: text.replace("hunter2", "[secret]"),
    )
    held = a_claim(task=replace(a_claim().task, title="Use hunter2"))

    live_through(history, held, LIFE)
    history.note(replace(held, phase=Phase.RUNNING), progress=0.4, cost_usd=0.1, summary="with hunter2")
    history.close()

    one = place.get(held)
    assert (one.progress, one.cost_usd, one.summary, one.title) == (0.4, 0.1, "with [secret]", "Use [secret]")


def test_to_tell_takes_no_time_while_the_store_is_locked(place: Place) -> None:
    history = place.history()
    live_through(history, a_claim("1"), LIFE)
    until(place.store.live, "the first was told")
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    )
    locker = subprocess.Popen(
        [sys.executable, "-c", code, str(place.home / "store.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert locker.stdout is not None and locker.stdout.readline()

    began = time.monotonic()
    held = live_through(history, a_claim("2"), LIFE)
    took = time.monotonic() - began
    locker.communicate()

    assert took < 0.2
    until(lambda: [one for one in place.store.live() if one.id == held.claim and one.status is RUNNING], "it is told")
    history.close()


def test_what_is_told_while_the_store_is_away_is_kept_and_told_later_in_order(place: Place) -> None:
    blocked = place.home / "no" / "store.db"
    blocked.parent.write_text("a file where a directory should be")
    url = store_url.of_file(blocked)
    held, history = a_claim(), place.history(url)

    live_through(history, held, LIFE)
    spool = place.home / "spool" / f"{AGENT}.jsonl"
    until(lambda: len(history_spool.read(spool)) == len(LIFE), "the events are kept")
    until(lambda: place.said, "it is said")
    assert spool.stat().st_mode & 0o777 == 0o600
    blocked.parent.unlink()
    live_through(history, held, ENDING, VERDICT)
    until(lambda: not spool.exists(), "the events are told")
    history.close()

    store = Store(url)
    moves = [str(move.after) for move in store.transitions_of(held.claim)]
    assert moves == ["pending", "preparing", "running", "finishing", "succeeded"]
    assert len([line for line in place.said if "kept in" in line]) == 1
    assert "there again" in place.said[-1]
    store.close()


def test_what_was_kept_when_the_runner_ended_is_told_by_the_next_one(place: Place) -> None:
    blocked = place.home / "no"
    blocked.write_text("a file where a directory should be")
    url = store_url.of_file(blocked / "store.db")
    held, history = a_claim(), place.history(url)
    live_through(history, held, (*LIFE, *ENDING), VERDICT)
    history.close()
    blocked.unlink()

    after = place.history(url)
    other = live_through(after, a_claim("8"), LIFE)
    after.close()

    store = Store(url)
    assert store.get(held.claim).status is ExecutionStatus.SUCCEEDED
    assert store.get(other.claim).status is RUNNING
    store.close()


def test_telling_everything_again_changes_nothing(place: Place) -> None:
    held = a_claim()
    history = place.history(store_url.of_file(place.home / "locks" / "dev_001" / "x"))
    (place.home / "locks" / "dev_001").write_text("in the way")
    live_through(history, held, LIFE)
    place.run(held)
    live_through(history, held, ENDING, VERDICT)
    history.close()
    events = history_spool.read(place.home / "spool" / f"{AGENT}.jsonl")
    assert len(events) == len(LIFE) + len(ENDING)

    for event in events:
        history_telling.tell(place.store, event)
    first = (place.get(held), place.store.transitions())
    for event in (*events, *events[2:5]):
        history_telling.tell(place.store, event)

    assert (place.get(held), place.store.transitions()) == first


def test_a_torn_line_and_a_full_spool_cost_no_more_than_the_oldest(place: Place) -> None:
    spool = place.home / "spool" / "x.jsonl"
    held = a_claim()
    history = place.history(store_url.of_file(place.home / "locks" / "dev_001" / "x"))
    (place.home / "locks" / "dev_001").write_text("in the way")
    live_through(history, held, LIFE)
    history.close()
    events = history_spool.read(place.home / "spool" / f"{AGENT}.jsonl")
    big = (replace(events[0][0], summary="x" * 1_000_000), *events[0][1:])

    for _ in range(9):
        history_spool.append(spool, [big])
    history_spool.append(spool, events[-1:])
    with spool.open("ab") as file:
        file.write(b'{"execution": {"id"')

    kept = history_spool.read(spool)
    assert 0 < len(kept) < 9
    assert kept[-1] == events[-1]
    assert spool.stat().st_size < history_spool.LIMIT


def test_a_newer_store_is_left_alone_and_what_is_told_is_kept(place: Place) -> None:
    place.store.add(Execution("a" * 32, Door.RUN, "p", "t", "t"))
    with place.store._writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    place.store.close()
    history = place.history()

    live_through(history, a_claim(), LIFE)
    history.close()

    assert "9999" in place.said[0]
    assert len(history_spool.read(place.home / "spool" / f"{AGENT}.jsonl")) == len(LIFE)
    with pytest.raises(StoreTooNew):
        Store(place.url).live()


def test_another_claim_of_a_task_takes_the_place_of_one_that_lost_it(place: Place) -> None:
    mine, theirs = place.history(), place.history(agent_id="dev_002")
    lost = live_through(mine, a_claim(), LIFE)
    until(lambda: [one for one in place.store.live() if one.status is RUNNING], "the first one runs")

    won = live_through(theirs, a_claim(agent_id="dev_002"), LIFE)
    theirs.close()
    mine.note(replace(lost, phase=Phase.RUNNING), progress=0.9)
    live_through(mine, lost, ENDING, Verdict(Reason.LOST_CLAIM, "the task went to somebody else"))
    mine.close()

    assert place.get(won).status is RUNNING
    assert place.get(lost).status is ExecutionStatus.CANCELLED
    assert place.statuses(lost)[-2:] == ["interrupted", "cancelled"]


def test_a_killed_runner_loses_nothing_that_its_files_tell(place: Place) -> None:
    code = (
        "import os, pathlib, signal, sys, time\n"
        "sys.path.insert(0, sys.argv[2]); from tests.integration import test_history as t\n"
        "place = t.Place(pathlib.Path(sys.argv[1]))\n"
        "lock = t.durable.try_lock(place.home / 'locks/agent-dev_001.flock')\n"
        "history = place.history(); held = t.a_claim(); t.live_through(history, held, t.LIFE)\n"
        "held = t.replace(held, phase=t.Phase.RUNNING); place.journal(held); place.run(held)\n"
        "t.until(lambda: place.store.live() and place.store.live()[0].status == 'running', 'told')\n"
        "place.done(); print(held.claim, flush=True)\n"
        "history.note(t.replace(held, phase=t.Phase.DONE, verdict=t.VERDICT))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, str(place.home), str(ROOT)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert child.returncode == -signal.SIGKILL, child.stderr

    changed = history_sync.sync(place.home, place.store, host=HOST)

    one = place.store.get(child.stdout.strip())
    assert one.status is ExecutionStatus.SUCCEEDED
    assert (one.cost_usd, one.input_tokens, one.completed_at != "") == (0.5, 100, True)
    assert [each.id for each in changed] in ([one.id], [])  # it may have been told in time


def told_running(place: Place) -> Held:
    """A task that the history shows as running; its runner is gone without another word."""
    held, history = a_claim(), place.history()
    live_through(history, held, LIFE)
    history.close()
    return replace(held, phase=Phase.RUNNING)


def test_a_task_whose_runner_is_gone_is_interrupted_and_may_be_gone_on_with(place: Place) -> None:
    held = told_running(place)
    place.journal(held)
    place.run(held, None)

    (changed,) = history_sync.sync(place.home, place.store, host=HOST)
    assert (changed.id, changed.status) == (held.claim, INTERRUPTED)
    assert history_sync.sync(place.home, place.store, host=HOST) == []

    history = place.history()
    history.note(held)
    live_through(history, held, ENDING, VERDICT)
    history.close()
    assert place.statuses(held)[-4:] == ["interrupted", "running", "finishing", "succeeded"]


@pytest.mark.parametrize("lock", [f"locks/agent-{AGENT}.flock", "run"])
def test_what_is_looked_after_or_alive_is_left_as_it_is(place: Place, lock: str) -> None:
    held = told_running(place)
    place.journal(held)
    run = place.run(held, None)
    fd = durable.try_lock(run / "alive" if lock == "run" else place.home / lock)
    assert fd is not None

    changed = history_sync.sync(place.home, place.store, host=HOST)
    os.close(fd)

    assert changed == []
    assert place.get(held).status is RUNNING


def test_a_task_of_another_host_is_none_of_our_business(place: Place) -> None:
    held = told_running(place)

    assert history_sync.sync(place.home, place.store, host="another-host") == []

    assert place.get(held).status is RUNNING


def test_a_task_without_journal_ends_as_its_receipt_says(place: Place) -> None:
    held = told_running(place)
    place.run(held, Verdict(Reason.TIMED_OUT, "too long", None, 0.2, 600.0, "opus"))

    (changed,) = history_sync.sync(place.home, place.store, host=HOST)

    assert (changed.status, changed.reason, changed.error) == (ExecutionStatus.FAILED, "timed_out", "too long")
    assert changed.cost_usd == 0.2


def test_what_its_runner_has_judged_counts_for_more_than_the_receipt_of_its_last_run(place: Place) -> None:
    held, history = a_claim(), place.history()
    live_through(history, held, LIFE)
    place.run(held)  # the agent says that it succeeded
    live_through(history, held, ENDING[:1], Verdict(Reason.CHECKS_FAILED, "make test failed"))
    history.close()

    (changed,) = history_sync.sync(place.home, place.store, host=HOST)

    assert (changed.status, changed.reason) == (ExecutionStatus.FAILED, "checks_failed")


def test_a_runner_that_starts_again_settles_what_it_has_not_in_hand(place: Place) -> None:
    old = told_running(place)
    place.run(old)
    fd = durable.try_lock(place.home / "locks" / f"agent-{AGENT}.flock")
    assert fd is not None
    history, new = place.history(), a_claim("8")
    place.journal(new)

    live_through(history, new, LIFE)
    history.close()
    os.close(fd)

    assert place.get(old).status is ExecutionStatus.SUCCEEDED
    assert place.get(new).status is RUNNING


def test_a_typed_task_that_is_about_to_begin_is_not_interrupted(place: Place) -> None:
    new = Execution(uuid.uuid4().hex, Door.TASK, "p", "t1", "t", host=HOST, agent_id="task-1", runner_pid=os.getpid())
    old = dataclasses.replace(
        new, id=uuid.uuid4().hex, task_id="t2", runner_pid=0, created_at="2026-01-01T00:00:00.000+00:00"
    )
    place.store.add(new)
    place.store.add(old)

    assert [one.id for one in history_sync.sync(place.home, place.store, host=HOST)] == [old.id]


@pytest.mark.parametrize("damage", [b"no database at all " * 400, b"SQLite format 3\0" + b"\xff" * 9000])
def test_a_damaged_store_is_set_aside_and_built_again_from_the_runs(place: Place, damage: bytes) -> None:
    good, bad, cut = a_claim("1"), a_claim("2", attempt=2), a_claim("3")
    place.run(good)
    place.run(replace(bad, attempt=1), Verdict(Reason.AGENT_FAILED, "boom", 1, 0.25, 3.0, "opus"))
    place.run(bad, Verdict(Reason.STALLED, "it hung", None, 0.25, 3.0, "opus"))
    place.run(cut, None)
    (place.home / "store.db").write_bytes(damage)

    store = history_sync.opened(place.home, place.url, place.said.append)

    assert {one.task_id: str(one.status) for one in store.select(Selection())} == {
        "1": "succeeded",
        "2": "failed",
        "3": "interrupted",
    }
    assert store.get(bad.claim).cost_usd == 0.5
    assert store.get(good.claim).project == "/srv/shop"
    (aside,) = place.home.glob("store.db.bad-*")
    assert aside.read_bytes() == damage
    assert len(place.said) == 1 and aside.name in place.said[0] and "3 executions" in place.said[0]
    store.close()


def test_an_empty_store_is_built_again_where_runs_tell_of_a_past(place: Place) -> None:
    """Regression: what a full disk leaves was taken for a new store, and a daemon's history was lost without a word."""
    held = a_claim()
    place.run(held)
    (place.home / "store.db").touch()

    store = history_sync.opened(place.home, place.url, place.said.append)

    assert store.get(held.claim).status is ExecutionStatus.SUCCEEDED
    assert len(place.said) == 1 and "is empty; 1 executions" in place.said[0]
    history_sync.opened(place.home, place.url, place.said.append).close()
    assert len(place.said) == 1
    store.close()


def is_waited_for(lock: Path) -> bool:
    """Does anybody wait for a lock?"""
    inode = f":{lock.stat().st_ino} "
    return any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


def test_a_store_that_somebody_is_about_to_fill_is_not_taken_for_a_lost_one(place: Place) -> None:
    place.run(a_claim())
    (place.home / "store.db").touch()

    with durable.locked(place.home / "store.db.lock"):
        opening = threading.Thread(target=history_sync.opened, args=(place.home, place.url, place.said.append))
        opening.start()
        until(lambda: is_waited_for(place.home / "store.db.lock"), "it waits for who makes the tables")
        Store(store_url.of_file(place.home / "made.db")).add(Execution("a" * 32, Door.RUN, "p", "t", "t"))
        (place.home / "store.db").write_bytes((place.home / "made.db").read_bytes())
    opening.join(20)

    assert place.said == []


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.EXITED])
def test_what_lives_while_the_history_is_built_again_stands_as_its_journal_says(place: Place, phase: Phase) -> None:
    """Regression: it was interrupted in every list for as long as its agent worked, and its moves began with that."""
    with_daemon, dead = a_claim("1"), a_claim("2", "dev_002")
    for held in (with_daemon, dead):
        path = place.run(held, None)
        place.journal(replace(held, phase=phase, run=path.name))
    fd = durable.try_lock(place.home / "locks" / f"agent-{AGENT}.flock")
    assert fd is not None

    store_rebuild.rebuild(place.home, place.store)
    os.close(fd)

    lives = "running" if phase is Phase.RUNNING else "finishing"
    assert place.statuses(with_daemon) == [lives]
    assert place.statuses(dead) == ["interrupted"]


def test_a_history_of_many_runs_says_before_it_is_built_again_how_many(place: Place) -> None:
    for number in range(history_sync.MANY):
        (place.home / "runs" / f"{number}-{uuid.uuid4().hex[:8]}-1").mkdir()
    place.run(a_claim())
    seen: list[int] = []

    history_sync.opened(place.home, place.url, place.said.append, tick=seen.append).close()

    before, after = place.said
    assert f"from the {history_sync.MANY + 1} runs" in before
    assert "1 executions" in after and seen == [1]


def test_damage_that_no_question_touches_is_found_when_something_was_amiss(place: Place) -> None:
    for number in range(300):
        place.store.add(Execution(uuid.uuid4().hex, Door.RUN, "p", str(number), "t", summary="x" * 3000))
    place.store.close()
    path = place.home / "store.db"
    content = bytearray(path.read_bytes())
    for page in range(20, len(content) // 4096, 3):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)

    store = history_sync.opened(place.home, place.url, place.said.append, is_suspect=True)

    assert "damaged" in place.said[0]
    assert store.add(Execution("a" * 32, Door.RUN, "p", "t", "t"))
    store.close()


def test_a_runner_whose_store_is_damaged_while_it_runs_goes_on_with_a_new_one(place: Place) -> None:
    history = place.history()
    first = live_through(history, a_claim("1"), LIFE)
    until(lambda: [one for one in place.store.live() if one.status is RUNNING], "the first is told")
    for name in ("store.db", "store.db-wal"):
        (place.home / name).write_bytes(b"ruined " * 4096)

    second = live_through(history, a_claim("2"), LIFE)
    until(lambda: list(place.home.glob("store.db.bad-*")), "the ruin is set aside")
    until(lambda: [one for one in place.store.live() if one.id == second.claim], "the second is told")
    history.close()

    assert place.get(second).status is RUNNING
    assert first.claim not in {one.id for one in place.store.live()}  # no run directory tells of it


def test_a_runner_whose_store_is_deleted_while_it_runs_has_the_earlier_history_built_again(place: Place) -> None:
    """Regression: the runner made a new file, and nobody saw that the history before it was lost."""
    earlier, history = a_claim("1"), place.history()
    place.run(earlier)
    last = history_entry.step_of(live_through(history, earlier, (*LIFE, *ENDING), VERDICT))
    until(lambda: [one for one in place.store.select(Selection()) if one.step == last], "all of the first is told")
    for path in place.home.glob("store.db*"):
        path.unlink()

    later = live_through(history, a_claim("2"), LIFE)
    history.close()

    assert place.get(later).status is RUNNING
    assert (place.get(earlier).status, place.get(earlier).cost_usd) == (ExecutionStatus.SUCCEEDED, 0.5)
    assert "taken away" in place.said[0] and "1 executions" in place.said[0]


def a_typed_task(place: Place, restarted_from: str = "", repository: Path = Path("/srv/shop")) -> Held:
    """A typed task in hand, and the file of what was typed."""
    claim = uuid.uuid4().hex
    task = background.task_of(claim, "Mend", "Mend it", role="backend_dev", level="senior", complexity="major")
    typed = TypedTask(claim, task, repository, "shop", restarted_from=restarted_from)
    typed_task.save(place.home, typed)
    return replace(a_claim(agent_id=typed.agent_id), claim=claim, task=task)


@pytest.mark.parametrize("is_alive", [False, True])
def test_what_a_typed_tasks_runner_kept_is_told_by_whoever_opens_the_history(place: Place, is_alive: bool) -> None:
    """Regression: only a runner of the same agent read it, and a typed task's agent never comes again."""
    blocked = place.home / "no"
    blocked.write_text("a file where a directory should be")
    held = a_typed_task(place, "f" * 32)
    history = History(
        place.home,
        store_url.of_file(blocked / "store.db"),
        agent_id=held.agent_id,
        project="/srv/shop",
        door=Door.TASK,
        restarted_from="f" * 32,
        say=place.said.append,
    )
    place.run(held)
    live_through(history, held, (*LIFE, *ENDING), VERDICT)
    history.close()
    spool = place.home / "spool" / f"{held.agent_id}.jsonl"
    lock = durable.try_lock(place.home / "tasks" / held.claim / "alive") if is_alive else None

    history_sync.sync(place.home, place.store, host=HOST)

    if lock is not None:
        os.close(lock)
        assert spool.exists()
        assert place.store.select(Selection()) == []
        return
    one = place.get(held)
    assert (one.status, one.cost_usd, one.restarted_from) == (ExecutionStatus.SUCCEEDED, 0.5, "f" * 32)
    assert place.statuses(held)[-2:] == ["finishing", "succeeded"]
    assert not spool.exists()


@pytest.mark.parametrize("has_run", [True, False])
def test_a_typed_task_that_ended_untold_is_entered_by_its_verdict(place: Place, has_run: bool) -> None:
    """Regression: its runner was killed before it told its end, and no list ever showed it."""
    held = a_typed_task(place)
    if has_run:
        place.run(held)
    typed_task.keep_verdict(place.home, held.claim, VERDICT)

    history_sync.sync(place.home, place.store, host=HOST)

    one = place.get(held)
    assert (one.status, one.door, one.project) == (ExecutionStatus.SUCCEEDED, Door.TASK, "/srv/shop")
    assert one.cost_usd == (0.5 if has_run else 0.0)


def test_a_history_built_again_begins_with_the_first_attempt(place: Place) -> None:
    """It began with the last attempt, and so had taken a part of its time."""
    last = a_claim(attempt=3, updated_at="2026-01-01T00:00:09.000+00:00")
    place.run(last)
    for attempt in (1, 2):
        place.run(replace(last, attempt=attempt, updated_at=f"2026-01-01T00:00:0{attempt}.000+00:00"))

    store_rebuild.rebuild(place.home, place.store)

    assert (place.get(last).started_at, place.get(last).attempt) == ("2026-01-01T00:00:01.000+00:00", 3)


def test_a_history_built_again_tells_the_end_and_the_branch_of_what_never_began(place: Place, tmp_path: Path) -> None:
    """Its end was its beginning, and its branch was lost although it was there."""
    repository = make_repository(tmp_path / "shop")
    held = a_typed_task(place, repository=repository)
    git(repository, "branch", f"feature/task-{held.task.id}")
    typed_task.keep_verdict(place.home, held.claim, Verdict(Reason.CANCELLED, "somebody asked for it", None))
    ended = datetime(2030, 1, 1, 12, tzinfo=UTC)
    os.utime(typed_task.directory_of(place.home, held.claim) / "verdict.json", (ended.timestamp(),) * 2)

    store_rebuild.rebuild(place.home, place.store)

    one = place.get(held)
    assert (one.status, one.started_at, one.branch) == ("cancelled", "", f"feature/task-{held.task.id}")
    assert datetime.fromisoformat(one.completed_at) == ended


def test_a_runner_that_has_nothing_to_tell_starts_no_thread_and_imports_nothing(place: Place) -> None:
    code = (
        "import sys, threading, pathlib; from components.history import History\n"
        "h = History(pathlib.Path(sys.argv[1]), sys.argv[2], agent_id='a', project='p'); h.close()\n"
        "print(threading.active_count(), sorted({'sqlalchemy', 'alembic', 'sqlite3'} & set(sys.modules)))"
    )

    said = subprocess.run(
        [sys.executable, "-c", code, str(place.home), place.url], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert said.stdout == "1 []\n"
