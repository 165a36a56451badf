"""The journal on the disk: one daemon an agent, nothing overwritten, nothing torn."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from components import TaskPersistence
from components.errors import AgentIdInUse, StateCorrupt, StateForeign, UnsafeName
from components.model import Task
from components.states import Phase
from tests.waiting import until

ADVANCE = """
import dataclasses, sys
from pathlib import Path
from components import TaskPersistence
from components.states import Phase
journal = TaskPersistence("dev_001", Path(sys.argv[1]))
journal.save(dataclasses.replace(journal.get_locked_task(), phase=Phase.CLAIMED))
"""
TASK = Task(id="7", title="Do it", status="created")


@pytest.fixture
def journal(tmp_path: Path) -> TaskPersistence:
    return TaskPersistence("dev_001", tmp_path)


def test_a_locked_task_is_found_again_by_a_new_process_as_recovered(journal: TaskPersistence, tmp_path: Path) -> None:
    locked = journal.lock_task(TASK)

    found = TaskPersistence("dev_001", tmp_path).get_locked_task()

    assert journal.is_locked()
    assert found == replace(locked, recovered=True)
    assert locked.phase is Phase.CLAIMING


def test_the_lock_file_and_its_directory_are_private(journal: TaskPersistence) -> None:
    journal.lock_task(TASK)

    assert journal.lock_file.stat().st_mode & 0o777 == 0o600
    assert journal.directory.stat().st_mode & 0o777 == 0o700


def test_r10_a_worktree_path_can_be_written(journal: TaskPersistence) -> None:
    journal.lock_task(TASK, worktree_path=Path("/repo/.worktrees/7"), branch_name="feature/task-7")

    found = journal.get_locked_task()

    assert found is not None
    assert found.workspace is not None
    assert found.workspace.path == Path("/repo/.worktrees/7")


def test_a_task_as_the_server_tells_it_can_be_locked(journal: TaskPersistence) -> None:
    held = journal.lock_task({"id": 3, "title": "From the API", "difficulty": "senior", "status": "created"})

    assert (held.task.id, held.task.title) == ("3", "From the API")


def test_a_released_lock_is_gone(journal: TaskPersistence) -> None:
    journal.lock_task(TASK)

    journal.release_lock()
    journal.release_lock()

    assert not journal.is_locked()
    assert journal.get_locked_task() is None


def test_a_corrupt_file_is_set_aside_whole_and_named(journal: TaskPersistence) -> None:
    journal.lock_task(TASK)
    journal.lock_file.write_bytes(b'{"torn')

    with pytest.raises(StateCorrupt, match="kept as agent-dev_001.lock.bad-"):
        journal.get_locked_task()

    kept = list(journal.directory.glob("*.bad-*"))
    assert [path.read_bytes() for path in kept] == [b'{"torn']
    assert not journal.is_locked()


def test_two_corrupt_files_are_both_kept(journal: TaskPersistence) -> None:
    journal.directory.mkdir(parents=True)
    for content in (b"one", b"two"):
        journal.lock_file.write_bytes(content)
        with pytest.raises(StateCorrupt):
            journal.get_locked_task()

    assert {path.read_bytes() for path in journal.directory.glob("*.bad-*")} == {b"one", b"two"}


def test_a_file_of_another_agent_is_set_aside(journal: TaskPersistence, tmp_path: Path) -> None:
    other = TaskPersistence("dev_002", tmp_path)
    other.lock_task(TASK)
    journal.lock_file.write_bytes(other.lock_file.read_bytes())

    with pytest.raises(StateCorrupt, match="belongs to agent 'dev_002'"):
        journal.get_locked_task()


def test_a_file_of_another_host_is_left_where_it_is(tmp_path: Path) -> None:
    TaskPersistence("dev_001", tmp_path, host="elsewhere").lock_task(TASK)
    here = TaskPersistence("dev_001", tmp_path, host="here")
    content = here.lock_file.read_bytes()

    with pytest.raises(StateForeign, match="written on host elsewhere"):
        here.get_locked_task()

    assert here.lock_file.read_bytes() == content


def test_a_second_daemon_is_told_the_pid_of_the_first(journal: TaskPersistence, tmp_path: Path) -> None:
    journal.hold()

    with pytest.raises(AgentIdInUse, match=f"process {os.getpid()} "):
        TaskPersistence("dev_001", tmp_path).hold()


def test_a_daemon_that_has_done_a_task_still_keeps_others_out(journal: TaskPersistence, tmp_path: Path) -> None:
    """An unlinked flock file would give two holders."""
    journal.hold()
    journal.lock_task(TASK)
    journal.release_lock()

    with pytest.raises(AgentIdInUse):
        TaskPersistence("dev_001", tmp_path).hold()


def test_a_killed_daemon_s_agent_id_is_free_at_once(journal: TaskPersistence, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from components import TaskPersistence\n"
        "TaskPersistence('dev_001', Path(sys.argv[1])).hold(); print('held', flush=True); time.sleep(600)"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=root, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        first.send_signal(signal.SIGKILL)
        first.wait()

    journal.hold()


@pytest.mark.parametrize("agent_id", ["", "../../x", "a/b", "-x", "a" * 65, "a\n"])
def test_an_agent_id_that_may_not_name_a_file_is_refused(agent_id: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeName, match="agent id"):
        TaskPersistence(agent_id, tmp_path)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("call", ["openat", "fchmod", "write", "fsync", "rename"])
def test_r5_killed_at_any_file_system_call_the_journal_is_the_old_or_the_new_one(tmp_path: Path, call: str) -> None:
    """SIGKILL before the n-th such call on the lock file or its temporary, for every n until it gets through."""
    journal = TaskPersistence("dev_001", tmp_path)
    old = journal.lock_task(TASK)
    files = ["-P", str(journal.lock_file), "-P", f"{journal.lock_file}.tmp"]
    for number in range(1, 10):
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
        command = ["strace", "-f", "-qq", "-o", "/dev/null", *files, *inject, sys.executable, "-c", ADVANCE]
        ended = subprocess.run([*command, str(tmp_path)], cwd=Path(__file__).parents[2], check=False)

        found = journal.get_locked_task()

        assert found is not None
        assert (found.claim, found.task) == (old.claim, old.task)
        if ended.returncode == 0:
            assert found.phase is Phase.CLAIMED
            assert number > 1
            return
        assert found.phase in (Phase.CLAIMING, Phase.CLAIMED)
        journal.save(old)
    raise AssertionError("the write never got through")


def test_the_lock_file_says_since_when_the_task_is_held(journal: TaskPersistence) -> None:
    from components.task_persistence import age

    held = journal.lock_task(TASK)

    assert 0 <= age(held) < 60
    assert json.loads(journal.lock_file.read_text())["locked_at"] == held.locked_at
    assert until(lambda: age(held) > 0.01, "time to pass")
