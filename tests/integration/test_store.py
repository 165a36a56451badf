"""The store on its real databases: a file, and a PostgreSQL server."""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from components import store_file, store_url
from components.errors import (
    AlreadyLive,
    AmbiguousId,
    IllegalMove,
    NotFound,
    StateCorrupt,
    StateForeign,
    StoreTooNew,
    StoreUnavailable,
)
from components.execution import Execution, Selection, Spend, WorkspaceEntry
from components.states import FINAL, LIVE, TRANSITIONS, Door, ExecutionStatus
from components.store import Store
from components.store_version import VERSION
from tests import postgresql
from tests.postgresql import PostgreSql

PENDING, PREPARING, RUNNING = ExecutionStatus.PENDING, ExecutionStatus.PREPARING, ExecutionStatus.RUNNING
INTERRUPTED, FAILED, SUCCEEDED = ExecutionStatus.INTERRUPTED, ExecutionStatus.FAILED, ExecutionStatus.SUCCEEDED
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql.running() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return store_url.of_file(tmp_path / "store.db")
    return str(request.getfixturevalue("server").database())


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Store]:
    store = Store(store_url.of_file(tmp_path / "store.db"))
    yield store
    store.close()


def an_execution(**facts: object) -> Execution:
    one = Execution(uuid.uuid4().hex, Door.RUN, "/srv/shop", uuid.uuid4().hex[:6], "Add a cart")
    return dataclasses.replace(one, **facts)  # type: ignore[arg-type]


def in_a_child(code: str, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", code, *words]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(child: subprocess.Popen[str]) -> str:
    out, err = child.communicate(timeout=50)
    assert child.returncode == 0, err
    return out


def test_an_execution_comes_back_as_it_was_entered(store: Store) -> None:
    one = an_execution(
        title="Grüße ‹cart› \x00 100 %", status=RUNNING, cost_usd=0.25, progress=0.5, input_tokens=3_000_000_000
    )

    assert store.add(one)

    kept = store.get(one.id)
    assert kept == dataclasses.replace(one, title="Grüße ‹cart›  100 %", created_at=kept.created_at)
    assert kept.created_at.endswith("+00:00")


def test_entering_an_execution_twice_changes_nothing(store: Store) -> None:
    one = an_execution()
    store.add(one)

    assert not store.add(dataclasses.replace(one, title="Another"))

    assert store.get(one.id).title == "Add a cart"
    assert len(store.transitions()) == 1


def test_every_legal_move_is_made_once_and_every_other_is_refused_by_name(store: Store) -> None:
    for before in ExecutionStatus:
        for after in ExecutionStatus:
            one = an_execution(status=before)
            store.add(one)
            if after in TRANSITIONS[before]:
                assert store.move(one.id, before, after, reason="because")
                assert not store.move(one.id, before, after)
                assert [(move.before, move.after) for move in store.transitions_of(one.id)] == [
                    (None, before),
                    (before, after),
                ]
            else:
                with pytest.raises(IllegalMove, match=f"from {before} to {after}"):
                    store.move(one.id, before, after)
                assert store.get(one.id).status is before


def test_a_move_of_an_unknown_execution_says_so(store: Store) -> None:
    with pytest.raises(NotFound):
        store.move("f" * 32, PENDING, PREPARING)


def test_a_fact_that_no_execution_has_is_refused_by_its_name(store: Store) -> None:
    one = an_execution()
    store.add(one)

    with pytest.raises(ValueError, match="statos"):
        store.note(one.id, statos="running")
    with pytest.raises(ValueError, match="status"):
        store.note(one.id, status="running")


def test_start_and_end_are_timed_and_a_second_attempt_keeps_the_first_start(store: Store) -> None:
    one = an_execution()
    store.add(one)
    store.move(one.id, PENDING, PREPARING)
    store.move(one.id, PREPARING, RUNNING)
    started = store.get(one.id).started_at
    store.move(one.id, RUNNING, INTERRUPTED)
    assert store.get(one.id).completed_at
    store.move(one.id, INTERRUPTED, RUNNING, started_at=started)
    store.move(one.id, RUNNING, PREPARING, attempt=2)
    store.move(one.id, PREPARING, RUNNING)

    now = store.get(one.id)

    assert (now.started_at, now.completed_at, now.attempt) == (started, "", 2)


def test_a_task_has_one_live_execution_and_any_number_that_are_over(store: Store) -> None:
    first = an_execution(task_id="7", task_digest="d")
    second = an_execution(task_id="7", task_digest="d")
    store.add(first)

    with pytest.raises(AlreadyLive, match=first.short_id):
        store.add(second)
    store.move(first.id, PENDING, INTERRUPTED)
    assert store.add(second)
    with pytest.raises(AlreadyLive, match=second.short_id):
        store.move(first.id, INTERRUPTED, RUNNING)

    assert store.get(first.id).status is INTERRUPTED
    assert store.add(an_execution(task_id="7", task_digest="another task that was given the same id"))
    assert store.add(an_execution(task_id="7", task_digest="d", project="/srv/other"))


def test_of_many_processes_that_move_one_execution_exactly_one_wins(url: str, store: Store) -> None:
    one = an_execution()
    store.add(one)
    code = (
        "import os, sys; from components import store_engine, store_tables, store_schema\n"
        "from components.store import Store; from components.states import ExecutionStatus as S\n"
        "begun, go = os.pipe(); children = []\n"
        "for number in range(8):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os.close(go); store = Store(sys.argv[1]); store.last_transition(); os.read(begun, 1)\n"
        "        won = store.move(sys.argv[2], S.PENDING, S.PREPARING, agent_id=f'agent_{number}')\n"
        "        os.write(1, f'{number} {won}\\n'.encode()); os._exit(0)\n"
        "    children.append(child)\n"
        "os.close(go)\n"
        "for child in children: assert os.waitpid(child, 0)[1] == 0"
    )

    said = ended(in_a_child(code, url, one.id)).split("\n")

    (winner,) = [line.split()[0] for line in said if line.endswith("True")]
    assert len([line for line in said if line.endswith("False")]) == 7
    assert store.get(one.id).agent_id == f"agent_{winner}"
    assert len(store.transitions_of(one.id)) == 2


def test_of_many_threads_that_enter_one_task_exactly_one_wins(store: Store) -> None:
    def enter(_: int) -> bool:
        try:
            return store.add(an_execution(task_id="same"))
        except AlreadyLive:
            return False

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(enter, range(16)))

    assert sum(won) == 1
    assert len(store.live()) == 1


def test_processes_that_open_a_new_store_at_once_make_its_tables_once(url: str) -> None:
    code = (
        "import sys; from components.store import Store\n"
        "from components.execution import Execution; from components.states import Door\n"
        "store = Store(sys.argv[1]); store.add(Execution(sys.argv[2], Door.RUN, '/p', sys.argv[2], 't'))"
    )
    ids = [uuid.uuid4().hex for _ in range(4)]

    children = [in_a_child(code, url, one) for one in ids]
    for child in children:
        ended(child)

    store = Store(url)
    assert {one.id for one in store.select(Selection())} == set(ids)
    store.close()


def test_a_follower_of_moves_misses_none_that_are_made_at_the_same_time(store: Store) -> None:
    store.add(an_execution())
    total, seen, is_over = 60, [], threading.Event()

    def follow() -> None:
        last = store.last_transition()
        while True:
            was_over = is_over.is_set()
            news = store.transitions(last, limit=7)
            seen.extend(move.id for move in news)
            last = news[-1].id if news else last
            if was_over and not news:
                return

    follower = threading.Thread(target=follow)
    follower.start()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: store.add(an_execution()), range(total)))
    is_over.set()
    follower.join(30)

    assert sorted(seen) == seen
    assert seen == [move.id for move in store.transitions()][-total:]


def test_an_id_is_found_by_its_beginning(store: Store) -> None:
    for letters in ("aaaa1111", "aaaa2222", "bbbb3333"):
        store.add(an_execution(id=letters.ljust(32, "0"), title=f"Task {letters}"))

    assert store.get("BB").title == "Task bbbb3333"
    assert store.get("aaaa1").title == "Task aaaa1111"
    with pytest.raises(AmbiguousId, match="beginning of 2 ids.*\n  aaaa(1111|2222) .*\n  aaaa(1111|2222) "):
        store.get("aaaa")
    with pytest.raises(NotFound, match="Near it:\n  aaaa1111  task"):
        store.get("aaab1111")
    for nonsense in ("", "zz", "'; drop table executions", "%"):
        with pytest.raises(NotFound):
            store.get(nonsense)


def test_executions_are_selected_by_all_that_people_ask_for(store: Store) -> None:
    a = an_execution(id="a" * 32, role="qa", agent_id="qa_001", created_at="2026-01-01T00:00:00.000+00:00")
    b = an_execution(id="b" * 32, project="/srv/x", title="100 % of carts", created_at="2026-01-02T00:00:00.000+00:00")
    c = an_execution(id="c" * 32, status=FAILED, error="Boom_1", created_at="2026-01-03T00:00:00.000+00:00")
    for one in (a, b, c):
        store.add(one)

    def ids(**wanted: object) -> str:
        return "".join(one.id[0] for one in store.select(Selection(**wanted)))  # type: ignore[arg-type]

    assert ids() == "cba"
    assert ids(limit=2) == "cb"
    assert ids(before="b" * 32) == "a"
    assert (ids(role="qa"), ids(agent_id="qa_001"), ids(project="/srv/x"), ids(statuses=(FAILED,))) == (
        "a",
        "a",
        "b",
        "c",
    )
    assert ids(statuses=(FAILED, PENDING)) == "cba"
    assert (ids(text="100 %"), ids(text="boom_1"), ids(text="boom%1"), ids(text="o_m")) == ("b", "c", "", "")
    assert (ids(since="2026-01-02"), ids(until="2026-01-02"), ids(since="2026-01-02", until="2026-01-03")) == (
        "cb",
        "a",
        "b",
    )
    assert store.counts() == {PENDING: 2, FAILED: 1}
    assert [one.id for one in store.failures()] == [c.id]
    assert [one.id for one in store.live()] == [a.id, b.id]


def test_what_runs_used_is_summed_up_however_often_it_is_told(store: Store) -> None:
    one = an_execution()
    store.add(one)
    runs = [
        Spend(
            f"7-{attempt}", one.id, "dev_001", f"2026-01-0{attempt}", model, "/srv/shop", 0.5, 10, 20, 30, 40, 1.5, 2, 3
        )
        for attempt, model in ((1, "sonnet"), (2, "opus"))
    ]

    for _ in range(3):
        store.spend(runs)
    store.spend([])

    now = store.get(one.id)
    assert (now.cost_usd, now.seconds) == (1.0, 3.0)
    assert (now.input_tokens, now.output_tokens, now.cache_read_tokens, now.cache_write_tokens) == (20, 40, 60, 80)
    assert (now.tool_calls, now.turns) == (4, 6)
    assert [(line.key, line.usd) for line in store.cost("day")] == [("2026-01-02", 0.5), ("2026-01-01", 0.5)]
    assert [(line.key, line.runs) for line in store.cost("agent", since="2026-01-02")] == [("dev_001", 1)]
    assert {line.key for line in store.cost("model")} == {"opus", "sonnet"}
    assert [line.input_tokens for line in store.cost("project", project="/srv/shop")] == [20]


def test_durations_are_those_of_the_newest_successes(store: Store) -> None:
    times = {"started_at": "2026-01-01T00:00:00.000+00:00", "completed_at": "2026-01-01T00:02:00.500+00:00"}
    store.add(an_execution(status=SUCCEEDED, role="qa", **times))
    store.add(an_execution(status=FAILED, **times))

    assert store.durations("/srv/shop") == [120.5]
    assert store.durations("/srv/shop", role="architect") == []
    assert store.durations("/srv/other") == []


def test_workspaces_are_kept_until_they_are_forgotten(store: Store) -> None:
    entry = WorkspaceEntry("host", "/w/1", "worktree", "/srv/shop")
    store.keep_workspace(entry)
    made = store.workspaces()[0].created_at
    store.keep_workspace(dataclasses.replace(entry, status="completed"))

    (kept,) = store.workspaces(project="/srv/shop", status="completed")

    assert kept.created_at == made
    assert store.forget_workspace("host", "/w/1")
    assert not store.forget_workspace("host", "/w/1")


def test_only_what_is_over_can_be_forgotten_and_its_cost_stays(store: Store) -> None:
    over, at_work = an_execution(status=FAILED), an_execution()
    store.add(over)
    store.add(at_work)
    store.spend([Spend("r", over.id, "a", "2026-01-01", "m", "p", 2.0)])

    assert store.forget([over.id, at_work.id]) == 1

    assert [one.id for one in store.select(Selection())] == [at_work.id]
    assert store.transitions_of(over.id) == []
    assert [line.usd for line in store.cost()] == [2.0]


def test_a_long_text_is_cut_and_half_a_character_does_no_harm(store: Store) -> None:
    one = an_execution(error="x" * 100_000, summary="torn \ud800")

    store.add(one)

    assert len(store.get(one.id).error) == 4096
    assert store.get(one.id).summary == "torn ?"


def test_a_store_of_a_newer_version_is_refused_and_left_alone(url: str, store: Store) -> None:
    store.add(an_execution())
    with store._writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    store.close()
    newer = Store(url)

    for act in (newer.live, lambda: newer.add(an_execution())):
        with pytest.raises(StoreTooNew, match=rf"9999.*{VERSION}.*[Uu]pgrade") as refusal:
            act()

    assert "not-asked-for" not in str(refusal.value)


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE executions (what TEXT)")
    connection.close()
    before = path.read_bytes()
    store = Store(store_url.of_file(path))

    for act in (store.live, lambda: store.add(an_execution())):
        with pytest.raises(StateForeign):
            act()

    assert path.read_bytes() == before


def test_the_tables_of_the_migrations_are_those_that_the_program_knows(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from components import store_schema
    from components.store_tables import metadata

    store.add(an_execution())

    with store._writing() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert ScriptDirectory(str(store_schema.MIGRATIONS)).get_current_head() == VERSION


def shape(connection: sa.Connection) -> dict[str, object]:
    """Return all that a file says of its tables."""
    found = sa.inspect(connection)
    made = dict(connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").all())
    return {
        name: (
            [{**column, "type": str(column["type"])} for column in found.get_columns(name)],
            found.get_pk_constraint(name)["constrained_columns"],
            found.get_foreign_keys(name),
            sorted(" ".join(made[index["name"]].replace('"', "").split()) for index in found.get_indexes(name)),
            "AUTOINCREMENT" in made[name],
        )
        for name in found.get_table_names()
    }


def test_a_new_file_is_made_as_the_migrations_would_make_it(tmp_path: Path) -> None:
    from components import store_engine, store_schema

    fresh, migrated = (store_url.of_file(tmp_path / name) for name in ("fresh.db", "migrated.db"))
    engines = [store_engine.connect(url) for url in (fresh, migrated)]
    store_schema.migrate(engines[0], fresh)
    with store_engine.writing(engines[1], migrated) as connection:
        store_schema._upgrade(connection, migrated)

    shapes = []
    for engine, url in zip(engines, (fresh, migrated), strict=True):
        with store_engine.writing(engine, url) as connection:
            shapes.append(shape(connection))
        engine.dispose()

    assert shapes[0] == shapes[1]
    assert len(shapes[0]) > 5


def test_the_columns_are_the_fields_in_their_order(file: Store) -> None:
    from components.store_tables import executions, spend, workspaces

    for table, made_of in ((executions, Execution), (spend, Spend), (workspaces, WorkspaceEntry)):
        assert set(table.c.keys()) == {field.name for field in dataclasses.fields(made_of)}  # type: ignore[arg-type]


def test_a_file_is_private_whatever_the_umask_was(file: Store, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file.add(an_execution())
    finally:
        os.umask(before)

    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("store*")}
    assert modes == dict.fromkeys(("store.db", "store.db-wal", "store.db-shm", "store.db.lock"), 0o600)


def test_a_file_is_written_for_good_before_anybody_is_told(file: Store) -> None:
    file.add(an_execution())

    with file._writing() as connection:
        asked = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert asked == ["wal", 2, 1]


def test_to_read_an_unwritten_store_leaves_no_file(file: Store, tmp_path: Path) -> None:
    assert (file.live(), file.transitions(), file.last_transition(), file.cost()) == ([], [], 0, [])
    with pytest.raises(NotFound, match="none yet"):
        file.get("abc")

    assert list(tmp_path.glob("store*")) == []


def test_reading_a_file_imports_no_heavy_library(file: Store) -> None:
    file.add(an_execution())
    code = (
        "import sys; from components.store import Store; from components.execution import Selection\n"
        "s = Store(sys.argv[1]); print(len(s.live()), len(s.select(Selection())), s.get(s.live()[0].id[:8]).title)\n"
        "print(sorted({'sqlalchemy', 'alembic', 'psycopg'} & set(sys.modules)))"
    )

    assert ended(in_a_child(code, file.url)) == "1 1 Add a cart\n[]\n"


def test_what_a_killed_writer_had_finished_is_there_and_nothing_by_halves(url: str, store: Store) -> None:
    store.add(an_execution())
    code = (
        "import sys, uuid; from components.store import Store\n"
        "from components.execution import Execution; from components.states import Door, ExecutionStatus as S\n"
        "store = Store(sys.argv[1])\n"
        "while True:\n"
        "    one = uuid.uuid4().hex\n"
        "    store.add(Execution(one, Door.RUN, '/p', one, 't')); print('added', one, flush=True)\n"
        "    store.move(one, S.PENDING, S.PREPARING); print('moved', one, flush=True)"
    )
    child = in_a_child(code, url)
    assert child.stdout is not None
    told = [child.stdout.readline() for _ in range(21)]

    child.kill()
    rest = child.stdout.read()
    child.communicate()

    said = "".join([*told, rest]).splitlines()
    for line in said:
        word, execution_id = (*line.split(), "")[:2]
        if len(execution_id) == 32:
            moves = store.transitions_of(execution_id)
            assert len(moves) >= (2 if word == "moved" else 1)
            assert moves[-1].after is store.get(execution_id).status
    assert store.add(an_execution())


@pytest.mark.parametrize("point", ["store.moved", "store.recorded"])
def test_a_writer_killed_within_a_move_has_not_moved(url: str, store: Store, point: str) -> None:
    one = an_execution()
    store.add(one)
    code = (
        "import sys; from components import faults; from components.store import Store\n"
        "from components.states import ExecutionStatus as S\n"
        "faults.arm(sys.argv[3] + ':kill'); Store(sys.argv[1]).move(sys.argv[2], S.PENDING, S.PREPARING)"
    )

    child = in_a_child(code, url, one.id, point)
    child.communicate(timeout=30)

    assert child.returncode == -signal.SIGKILL
    assert store.get(one.id).status is PENDING
    assert store.move(one.id, PENDING, PREPARING)


def test_a_process_killed_while_it_makes_the_tables_leaves_them_to_the_next(url: str) -> None:
    code = (
        "import sys; from components import faults; from components.store import Store\n"
        "from components.execution import Execution; from components.states import Door\n"
        "faults.arm('store.migrated:kill'); Store(sys.argv[1]).add(Execution('a' * 32, Door.RUN, 'p', 't', 't'))"
    )
    child = in_a_child(code, url)
    child.communicate(timeout=30)
    assert child.returncode == -signal.SIGKILL
    store = Store(url)

    assert store.add(an_execution())

    store.close()


def test_a_full_disk_is_named_and_once_there_is_room_the_store_goes_on(file: Store) -> None:
    one = an_execution()
    file.add(one)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert file.path is not None
    wal = file.path.with_name("store.db-wal")
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size, limits[1]))
        with pytest.raises(StoreUnavailable):
            for _ in range(100):
                file.add(an_execution(summary="x" * 4000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)

    assert file.move(one.id, PENDING, PREPARING)
    store_file.examine(file.path)


@pytest.mark.parametrize(
    "damage", [b"this is no database, but it is long enough to be one" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_damaged_file_is_named_as_such_and_left_as_it_is(file: Store, damage: bytes) -> None:
    assert file.path is not None
    file.path.write_bytes(damage)

    for act in (file.live, lambda: file.add(an_execution())):
        with pytest.raises(StateCorrupt):
            act()

    assert file.path.read_bytes() == damage


def test_a_file_that_was_set_aside_is_not_written_to_any_more(file: Store) -> None:
    first, second = an_execution(), an_execution()
    file.add(first)
    assert file.path is not None

    aside = store_file.set_aside(file.path)
    file.add(second)

    assert [one.id for one in file.live()] == [second.id]
    old = Store(store_url.of_file(aside))
    assert [one.id for one in old.live()] == [first.id]


def test_a_server_that_is_away_is_named_without_its_password_and_found_again(server: PostgreSql) -> None:
    store = Store(server.database())
    store.add(an_execution())
    server.stop()
    try:
        for act in (store.live, lambda: store.add(an_execution())):
            with pytest.raises(StoreUnavailable) as trouble:
                act()
            assert "not-asked-for" not in str(trouble.value)
            assert "127.0.0.1" in str(trouble.value)
    finally:
        server.start()

    assert store.add(an_execution())
    assert len(store.live()) == 2
    store.close()


def test_a_locked_file_is_waited_for(file: Store) -> None:
    file.add(an_execution())
    assert file.path is not None
    other = sqlite3.connect(file.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    releasing = threading.Timer(0.5, other.rollback)
    releasing.start()

    began = time.monotonic()
    assert file.add(an_execution())

    assert time.monotonic() - began > 0.3
    releasing.join()
    other.close()


def test_a_move_while_a_reader_reads_is_seen_by_the_next_look(file: Store) -> None:
    one = an_execution()
    file.add(one)
    reader = Store(file.url)
    assert reader.get(one.id).status is PENDING

    file.move(one.id, PENDING, PREPARING)

    assert reader.get(one.id).status is PREPARING


def test_the_sets_of_statuses_are_apart_and_cover_all() -> None:
    assert not LIVE & FINAL
    assert set(ExecutionStatus) == LIVE | FINAL | {INTERRUPTED}
    assert set(TRANSITIONS) == set(ExecutionStatus)
    assert all(not TRANSITIONS[status] for status in FINAL)
