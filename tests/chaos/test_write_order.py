"""The order of writes: what a task's witnesses find on the disk when they are touched.

The server, git, the hooks and the agent each note the phase that the journal has at that moment: so an effect that
comes before its intent, or a journal that goes before its work is done, is seen without any crash.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.tcp_fault_proxy import TcpFaultProxy
from tests.pm_server import PmServer, running_pm
from tests.runner import Runner

WITNESS = """#!/bin/sh
# note the phase of the journal, or that there is none
phase=$(sed -n 's/^ *"phase": "\\(.*\\)",$/\\1/p' '{journal}' 2>/dev/null)
echo "$1: ${{phase:-no journal}}" >> '{notes}'
"""
GIT = """#!/bin/sh
case " $* " in
    *" worktree add "*) {witness} "worktree add" ;;
    *" worktree remove "*) {witness} "worktree remove" ;;
esac
exec {git} "$@"
"""
HOOK = "import subprocess\nsubprocess.run(['{witness}', '{moment}'], check=True)\n"
WRITES = re.compile(rb"(?:POST|PUT) \S*/tasks/\d+/(lock|status|comment)\S* .*?(?:\"status\": *\"(\w+)\"|$)", re.DOTALL)
IN_ORDER = [
    "lock: CLAIMING",
    "status under_work: CLAIMED",
    "pre_task: ANNOUNCED",
    "worktree add: PREPARING",
    "agent: SPAWNING or RUNNING",
    "comment: EXITED",
    "status dev_done: EXITED",
    "post_task: REPORTED",
    "worktree remove: CLEANING",
]


class Witness(TcpFaultProxy):
    """Notes the journal's phase before the server gets a request that changes something."""

    def __init__(self, upstream: int, journal: Path, notes: Path) -> None:
        super().__init__(upstream)
        self.journal = journal
        self.notes = notes

    async def _ask(self, request: bytes, *, is_whole: bool = True) -> bytes:
        found = WRITES.match(request)
        if found:
            what = b" ".join(filter(None, found.groups())).decode().lower()
            text = self.journal.read_text() if self.journal.exists() else ""
            phase = re.search(r'"phase": "(\w+)"', text)
            with self.notes.open("a") as notes:
                notes.write(f"{what}: {phase.group(1) if phase else 'no journal'}\n")
        return await super()._ask(request, is_whole=is_whole)


@pytest.fixture
def pm(tmp_path: Path) -> Iterator[PmServer]:
    (tmp_path / "pm").mkdir()
    with running_pm(tmp_path / "pm", "--real") as server:
        yield server


@pytest.fixture
def one(tmp_path: Path, pm: PmServer) -> Iterator[Runner]:
    runner = Runner(tmp_path, pm)
    yield runner
    runner.close()


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_every_effect_finds_its_intent_on_the_disk_and_the_journal_goes_last(
    one: Runner, pm: PmServer, tmp_path: Path
) -> None:
    journal, notes = one.home / "locks" / "agent-dev_1.lock", tmp_path / "notes"
    witness = write_program(tmp_path / "bin" / "witness", WITNESS.format(journal=journal, notes=notes))
    write_program(tmp_path / "bin" / "git", GIT.format(witness=witness, git=shutil.which("git")))
    for moment in ("pre_task", "post_task"):
        (tmp_path / "hooks").mkdir(exist_ok=True)
        (tmp_path / "hooks" / f"{moment}.py").write_text(HOOK.format(witness=witness, moment=moment))
    pm.api.task("Watched", complexity="major")

    with Witness(pm.port, journal, notes) as proxy:
        one.env |= {"HEADLESS_PM_API_URL": proxy.url, "AGENT_COMMAND": f"{witness} agent"}
        one.env["PATH"] = f"{tmp_path / 'bin'}:{one.env['PATH']}"
        ended = one.run("--single-task", "--hooks-dir", str(tmp_path / "hooks"))

    assert ended.returncode == 0, ended.stdout + ended.stderr
    noted = [re.sub(r"^agent: (SPAWNING|RUNNING)$", IN_ORDER[4], line) for line in notes.read_text().splitlines()]
    assert noted == IN_ORDER
    assert not journal.exists()


SAVE = """
import sys
from pathlib import Path
from components import TaskPersistence
from components.model import Task
journal = TaskPersistence("dev_001", Path(sys.argv[1]))
journal.lock_task(Task(id="7", title="Do it", status="created"))
journal.release_lock()
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_journal_is_written_synced_renamed_and_synced_again_with_its_directory(tmp_path: Path) -> None:
    """Without the first sync a power cut leaves an empty file, without the second it brings the old one back."""
    trace = tmp_path / "trace"
    calls = "trace=write,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
    words = ["strace", "-f", "-y", "-qq", "-o", str(trace), "-e", calls, sys.executable, "-B", "-c", SAVE]
    subprocess.run([*words, str(tmp_path)], cwd=Path(__file__).parents[2], check=True)

    ours = [line for line in trace.read_text().splitlines() if f"{tmp_path}/locks" in line]
    steps = [re.sub(r"^\d+ +(\w+)\(.*?(\.lock\.tmp|\.lock|/locks)[\">].*$", r"\1 \2", line) for line in ours]
    assert steps == [
        *("write .lock.tmp", "fsync .lock.tmp", "rename .lock.tmp", "fsync /locks"),
        *("unlink .lock", "fsync /locks"),
    ]
