"""What the demonstration shows: which model is at work, what became of the tasks, where to look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.demo.example import Tested
from components.demo.outcome import Outcome
from components.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SCRIPTED = (
    "The model is SCRIPTED. The real Claude CLI does the work, but it talks to a server on this machine that plays "
    "recorded answers. Nothing leaves this machine, no account is needed, no money is spent."
)
LIVE = "The model is LIVE. Your own account or API key is used, and pays."
SCRIPTED_COST = (
    "The model was SCRIPTED: the costs are what the Claude CLI computes from list prices for made-up token counts. "
    "No money was spent."
)
LIVE_COST = "The model was LIVE: the costs are what the Claude CLI computes from list prices; your account paid."


class Screen:
    """The terminal, through rich. Raises ConfigError when rich is not installed."""

    def __init__(self, *, is_live: bool) -> None:
        try:
            from rich.console import Console
        except ImportError as error:
            raise ConfigError("The demonstration needs its extra: pip install 'advanced-agent-runner[demo]'") from error
        self._console: Console = Console(highlight=False, soft_wrap=False)
        self._is_live = is_live

    def begin(self, claude: Path, version: str, directory: Path) -> None:
        """Say who does the work, and where."""
        from rich.panel import Panel

        text = LIVE if self._is_live else SCRIPTED
        self._console.print(Panel(text, title="Demonstration", border_style="yellow" if self._is_live else "cyan"))
        self.say(f"Claude CLI {version} at {claude}")
        self.say(f"Everything is in {directory}")

    def say(self, text: str) -> None:
        """Say one line, as it is."""
        self._console.print(text, markup=False, soft_wrap=True)

    def rule(self, title: str) -> None:
        """Set off what comes from another program."""
        self._console.rule(title, style="dim")

    def end(self, outcomes: Sequence[Outcome]) -> None:
        """Show the table, and again which model it was."""
        self._console.print(self._table(outcomes))
        self._console.print(LIVE_COST if self._is_live else SCRIPTED_COST, style="yellow" if self._is_live else "cyan")

    def where_to_look(self, directory: Path, repository: Path, outcomes: Sequence[Outcome]) -> None:
        """Name the commands with which a person goes on looking."""
        self.say("")
        self.say("Where to look:")
        self.say(f"  git -C {repository} log --oneline --graph --all")
        for outcome in outcomes:
            if outcome.assignment.branch and outcome.commits:
                self.say(f"  git -C {repository} show {outcome.assignment.branch}")
        self.say(f"  {directory / 'home' / 'runs'}   what each agent was told, and all it said")
        self.say(f"Remove it all: rm -rf {directory}")

    def _table(self, outcomes: Sequence[Outcome]) -> Table:
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, title="What became of the tasks", title_justify="left", pad_edge=False)
        for name in ("Task", "Model", "Branch", "Commits", "Tests"):
            table.add_column(name, overflow="fold")
        for name in ("Time", "Cost"):
            table.add_column(name, justify="right", no_wrap=True)
        for outcome in outcomes:
            table.add_row(*_cells(outcome))
        return table


def _cells(outcome: Outcome) -> list[str]:
    from rich.markup import escape

    assignment, spent = outcome.assignment, outcome.spent
    mark = "[green]done[/]" if outcome.is_good else f"[red]not done ({escape(outcome.status or 'gone')})[/]"
    return [
        f"{escape(assignment.title)}\n[dim]{assignment.difficulty}, {assignment.complexity}[/]\n{mark}",
        escape(spent.model.removeprefix("claude-") or "-"),
        escape(assignment.result_branch.replace("/", "/\n")),
        "\n".join(commit.id[:8] for commit in outcome.commits) or "none",
        f"{_tests(outcome.before)} → {_tests(outcome.after)}",
        f"{spent.seconds:.1f} s",
        f"${spent.cost_usd:.4f}",
    ]


def _tests(tested: Tested | None) -> str:
    if tested is None:
        return "[red]none[/]"
    return f"[{'green' if tested.is_good else 'red'}]{tested.passed}/{tested.total}[/]"
