"""What became of each task of the demonstration, from the files, the branches and the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components import executors, git
from components.demo import example
from components.demo.example import Assignment, Tested
from components.errors import RunnerError
from components.executors.claude import ClaudeExecutor
from components.model import AgentResult
from components.run_directory import RunDirectory
from components.states import TaskStatus


@dataclass(frozen=True, slots=True)
class Spent:
    """What the attempts at one task took: seconds, USD as the agent says, and the model that it says it used."""

    model: str = ""
    seconds: float = 0.0
    cost_usd: float = 0.0
    tool_calls: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the table at the end. `after` is None where there is no branch to test."""

    assignment: Assignment
    status: str
    commits: tuple[git.Commit, ...]
    before: Tested
    after: Tested | None
    spent: Spent

    @property
    def is_good(self) -> bool:
        """Is the task done, committed, and do its tests pass on what was committed?"""
        return (
            self.status == TaskStatus.DEV_DONE and bool(self.commits) and self.after is not None and self.after.is_good
        )


def measure(repository: Path, home: Path, filed: Filed, status: str, environ: Mapping[str, str]) -> Outcome:
    """Look at what a task left behind."""
    assignment = filed.assignment
    after: Tested | None
    try:
        after = example.run_tests_of(repository, assignment.result_branch, assignment.tests, environ)
    except RunnerError:
        after = None
    commits = tuple(example.commits_of(repository, assignment, filed.first_commit))
    return Outcome(assignment, status, commits, filed.before, after, spent_on(filed.task_id, home))


@dataclass(frozen=True, slots=True)
class Filed:
    """A task as it stood when it was filed."""

    task_id: int
    assignment: Assignment
    first_commit: str
    before: Tested


def spent_on(task_id: int, home: Path) -> Spent:
    """Add up the attempts at a task from their run directories."""
    runs = [RunDirectory(path) for path in sorted((home / "runs").glob(f"{task_id}-*"))]
    results = [result for result in map(_result, runs) if result is not None]
    records = [record for record in (run.exit_record() for run in runs) if record is not None]
    return Spent(
        model=results[-1].model if results else "",
        seconds=sum(record.seconds for record in records),
        cost_usd=sum(result.cost_usd for result in results),
        tool_calls=sum(result.tool_calls for result in results),
    )


def _result(run: RunDirectory) -> AgentResult | None:
    try:
        with run.out.open("rb") as lines:
            return executors.heard(ClaudeExecutor("claude"), lines, run.exit_record())
    except FileNotFoundError:
        return None
