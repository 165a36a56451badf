"""What a command costs at the terminal: CPU seconds of each, in a home with 10,000 executions in store and files.

CPU is user and system time of the child and of all that it started, by `resource`: it does not depend on what else the
machine does. The least of a few rounds is printed, beside the most that it may be; the exit code is 1 where one is
over that.

Run: python benchmarks/cli.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from components import journal_format, store_url, typed_task
from components.execution import Execution
from components.model import Held, Task, Workspace
from components.states import Door, ExecutionStatus, Phase, Reason
from components.store import Store
from components.task_persistence import host_name
from components.typed_task import TypedTask

ROOT = Path(__file__).parent.parent
COUNT = 10_000
TYPED_EACH = 4
"""Every so many executions one was typed."""
ROUNDS = 3
AGE = 40 * 86_400
"""How old the first half of the files is, in seconds."""
OUT = b'{"type": "assistant", "message": {"content": [{"type": "text", "text": "working"}]}}\n' * 20
COMMANDS: tuple[tuple[float, str], ...] = (
    (0.10, "--version"),
    (0.10, "--help"),
    (0.30, "status"),
    (0.30, "status --all"),
    (0.30, "status --json"),
    (0.20, "list"),
    (0.20, "list --status failed --text cart"),
    (0.30, "show ID"),
    (0.30, "diff ID"),
    (0.20, "cost"),
    (0.20, "cost --by project"),
    (0.30, "top"),
    (0.30, "logs ID"),
    (0.30, "logs ID -n 50"),
    (0.30, "workspaces list"),
    (0.30, "locks"),
    (0.30, "prune --dry-run"),
    (0.30, "workspaces prune --dry-run"),
    (0.30, "cancel 0123cafe"),
    (0.30, "restart 0123cafe"),
    (0.30, "doctor"),
    (0.30, "(completion of) show 0"),
)
"""The most that each may cost; of what is over for good, the first look tells the others."""
REFUSED = frozenset({1, 4})
"""Exit codes that are an answer too: an id that there is not, a machine without a server."""


def executions() -> Iterator[Execution]:
    """Yield executions that are over, one a minute; every tenth failed."""
    for number in range(COUNT):
        at = f"2026-01-{1 + number // 1440:02}T{number // 60 % 24:02}:{number % 60:02}:00.000+00:00"
        claim = uuid.uuid5(uuid.NAMESPACE_OID, str(number)).hex
        is_typed, is_bad = number % TYPED_EACH == 0, number % 10 == 9
        yield Execution(
            claim,
            Door.TASK if is_typed else Door.RUN,
            f"/srv/project-{number % 10}",
            f"t{claim[:8]}" if is_typed else str(number),
            f"Task {number}",
            agent_id=f"task-{claim[:8]}" if is_typed else f"dev_{number % 20}",
            status=ExecutionStatus.FAILED if is_bad else ExecutionStatus.SUCCEEDED,
            reason=Reason.AGENT_FAILED if is_bad else Reason.SUCCEEDED,
            created_at=at,
            started_at=at,
            completed_at=at.replace(":00.000", ":30.000"),
            cost_usd=0.01,
        )


def filled(home: Path) -> str:
    """Make a home, and return the id of its newest execution."""
    import sqlalchemy as sa

    from components import store_rows
    from components.store_tables import executions as rows_of
    from components.store_tables import spend, transitions

    rows = list(executions())
    store = Store(store_url.of_file(home / "store.db"))
    with store._writing() as connection:
        connection.execute(sa.insert(rows_of), [store_rows.columns(one) for one in rows])
        moves = [{"execution_id": one.id, "before": "", "after": "pending", "at": one.created_at} for one in rows]
        connection.execute(sa.insert(transitions), moves)
        spent = [
            {
                "run": f"r-{one.id}",
                "execution_id": one.id,
                "day": one.created_at[:10],
                "agent_id": one.agent_id,
                "project": one.project,
                "usd": one.cost_usd,
            }
            for one in rows
        ]
        connection.execute(sa.insert(spend), spent)
    store.close()
    for number, one in enumerate(rows):
        leave_files(home, one, time.time() - (AGE if number < COUNT // 2 else 0) - number)
    return rows[-1].id


def leave_files(home: Path, one: Execution, at: float) -> None:
    """Leave what an execution leaves: its run, and its typed task where it was typed."""
    task = Task(one.task_id, one.title)
    run = home / "runs" / f"{one.task_id}-{one.id[:8]}-1"
    run.mkdir(parents=True)
    held = Held(
        task=task,
        agent_id=one.agent_id,
        phase=Phase.RUNNING,
        claim=one.id,
        session_id=str(uuid.UUID(one.id)),
        locked_at=one.created_at,
        updated_at=one.created_at,
        host=host_name(),
        run=run.name,
        workspace=Workspace(Path(one.project), Path(one.project)),
    )
    journal = journal_format.dump(held)
    journal_format.parse(journal)  # one that cannot be read would cost nothing to read
    told = {"verdict": {"reason": one.reason, "detail": "done", "seconds": 30.0}}
    files = {
        "journal.json": journal,
        "result.json": json.dumps(told).encode(),
        "spec.json": b'{"argv": ["claude", "--model", "sonnet"]}',
        "exit": b'{"exit_code": 0, "signal": 0, "why": "", "state": "CLEAN"}',
        "out": OUT,
        "err": b"",
        "alive": b"",
        "pids": b'{"shim": [1, 1], "agent": [2, 1], "boot_id": "an earlier one", "pid_namespace": ""}',
        "prompt": b"Do it",
    }
    for name, content in files.items():
        (run / name).write_bytes(content)
    os.utime(run, (at, at))
    if one.door is Door.TASK:
        directory = typed_task.directory_of(home, one.id)
        directory.mkdir(parents=True)
        typed = TypedTask(one.id, task, Path(one.project), one.project)
        data = {**asdict(typed), "repository": one.project, "version": 1}
        (directory / "task.json").write_bytes(json.dumps(data).encode())
        (directory / "alive").touch()
        (directory / "verdict.json").write_bytes(json.dumps(told["verdict"]).encode())
        os.utime(directory, (at, at))


def cpu(argv: list[str], env: dict[str, str], cwd: Path) -> float:
    """Return the CPU seconds of a command that answers."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(argv, env=env, cwd=cwd, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if (ran.returncode and ran.returncode not in REFUSED) or "Traceback" in ran.stderr:
        raise SystemExit(f"{' '.join(argv)}: exit code {ran.returncode}\n{ran.stderr}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as directory:
        home, repository = Path(directory, "home"), Path(directory, "repository")
        home.mkdir(mode=0o700)
        for words in (["init", "-q", str(repository)], ["-C", str(repository), *COMMIT]):
            subprocess.run(["git", *words], check=True)
        newest = filled(home)
        env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        env |= {"HOME": directory, "HEADLESS_PM_HOME": str(home), "PYTHONPATH": str(ROOT)}
        return measured(rounds, newest, env, repository)


COMMIT = ("-c", "user.name=a", "-c", "user.email=a@example.invalid", "commit", "-q", "--allow-empty", "-m", "Begin")


def measured(rounds: int, newest: str, env: dict[str, str], repository: Path) -> int:
    """Print what each command costs; return 1 where one costs too much."""
    is_over = False
    print(f"{COUNT} executions; CPU seconds, least of {rounds}\n")
    for most, words in COMMANDS:
        given = dict(env)
        argv = [sys.executable, str(ROOT / "advanced_agent_runner.py"), *words.replace("ID", newest[:8]).split()]
        if words.startswith("("):
            argv = argv[:2]
            given |= {"_AGENT_RUNNER_COMPLETE": "bash_complete", "COMP_WORDS": "agent-runner show 0", "COMP_CWORD": "2"}
        seconds = min(cpu(argv, given, repository) for _ in range(rounds))
        is_over |= seconds > most
        print(f"{words:36} {seconds:5.2f}  of {most:.2f}{'  TOO MUCH' if seconds > most else ''}", flush=True)
    return 1 if is_over else 0


if __name__ == "__main__":
    sys.exit(main())
