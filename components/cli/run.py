"""`run`: the daemon, and the single task of a person who debugs."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components import cli
from components.states import Level, Role

if TYPE_CHECKING:
    from components.config import Config
    from components.terminal_ui import TerminalUI

NO_TASK = 3
HELP = """Work on the tasks of a Headless PM server.

It claims a task, runs the pre-task hooks, makes a worktree for a major task, runs the agent, reports the result,
cleans up and gives the lock back; then it takes the next. Every step is journalled: started again after a crash it
goes on with the same task, and an agent that is still at work is taken up again, not restarted.

\b
Run for weeks:
  nohup advanced-agent-runner --role backend_dev --agent-id dev_001 >> dev_001.log 2>&1 &
\b
Debug one task, and say more:
  advanced-agent-runner --role qa --agent-id qa_001 --single-task --verbose
\b
Another program instead of Claude (it reads the prompt on standard input):
  AGENT_COMMAND='my-agent --yes' advanced-agent-runner --role backend_dev --agent-id dev_001

The API key is taken from HEADLESS_PM_API_KEY, the server's address from HEADLESS_PM_API_URL; 'config show' tells
every value and where it comes from.

\b
Signals:
  SIGTERM   take nothing new, leave the agent at work, exit; the next start
            adopts it (see --on-term)
  SIGHUP    read the configuration again, between two steps; a bad one
            changes nothing
  SIGUSR1   write what is in hand, and the stacks, to the log
  Ctrl-C    once: finish the task in hand; twice: stop the agent and give the
            task back; thrice: leave at once
"""


def terminal(config: Config) -> TerminalUI:
    """Return the one place where messages go, and lead log records there."""
    from components import store_url
    from components.redact import Redactor, secret_values
    from components.terminal_ui import TerminalUI

    ui = TerminalUI(
        verbosity=config.verbosity,
        json_lines=config.log_json,
        redact=Redactor([config.api_key, *secret_values(os.environ), *store_url.secrets_of(config.store)]),
        interactive=config.interactive,
        environ=os.environ,
    )
    logging.basicConfig(handlers=[LogToTerminal(ui)], level=logging.DEBUG if config.verbosity > 1 else logging.INFO)
    return ui


class LogToTerminal(logging.Handler):
    """Shows log records in the one stream of messages, redacted and in order as the rest."""

    def __init__(self, ui: TerminalUI) -> None:
        super().__init__()
        self._ui = ui

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record; other libraries' records are for --verbose only."""
        is_ours = record.name.startswith("components")
        show = self._ui.warning if is_ours and record.levelno >= logging.WARNING else self._ui.debug
        show(logging.Formatter().format(record))


def serve_metrics(config: Config, ui: TerminalUI) -> None:
    """Serve metrics beside the work. Raises ConfigError where that cannot be."""
    from components.errors import ConfigError

    assert config.metrics_port is not None
    try:
        from components.server import metrics_port
    except ModuleNotFoundError as error:
        remedy = "pip install 'advanced-agent-runner[server]'"
        raise ConfigError(f"metrics_port: {error.name} is not installed; run: {remedy}") from error
    ui.info(f"Metrics: {metrics_port.serve(config, config.metrics_port)}")


@click.command(name="run", help=HELP)
@click.option("--role", metavar="ROLE", help=f"Whose tasks to take: {', '.join(Role)}.  [required]")
@click.option("--agent-id", metavar="ID", help="The agent's name, its own among all agents.  [default: <role>_001]")
@click.option("--level", metavar="LEVEL", help=f"The hardest tasks to take: {', '.join(Level)}.  [default: senior]")
@click.option("--single-task", is_flag=True, help="Do one task and exit: 0 done, 1 not done, 3 there was none.")
@click.option("--max-tasks", metavar="N", help="Exit after N tasks.")
@click.option("--poll-interval", metavar="SECONDS", help="How long to rest without tasks.  [default: 5]")
@click.option("--idle-timeout", metavar="SECONDS", help="Exit after so long without a task.")
@click.option("--repo", "repository", metavar="DIR", help="The git repository.  [default: the current directory]")
@click.option("--hooks-dir", "hooks_directory", metavar="DIR", help="The hooks.  [default: those that come with it]")
@click.option("--executor", metavar="NAME", help="Which kind of agent does the work.  [default: claude]")
@click.option(
    "--on-term", metavar="leave|wait|stop", help="What the first SIGTERM does to a working agent.  [default: leave]"
)
@click.option("--metrics-port", metavar="PORT", help="Serve metrics for Prometheus on this port of this machine.")
@click.option("--interactive", is_flag=True, help="Ask on the terminal when a hook fails.")
@click.option(
    "--config", "file", metavar="FILE", type=Path, help="A configuration file.  [default: config.yaml in the home]"
)
@click.option("--verbose", "-v", count=True, help="Say more.")
@click.option("--quiet", "-q", count=True, help="Say less: warnings and errors only.")
@click.option("--log-json", is_flag=True, help="Write each line as JSON.")
@click.pass_context
def command(context: click.Context, /, file: Path | None, verbose: int, quiet: int, **_settings: object) -> int:
    """Load the configuration, run, and tell by the exit code how it went."""
    from components.app import AdvancedAgentRunner
    from components.config import load
    from components.signals import Intent, Signals

    given = {
        name: value for name, value in cli.settings_of(context).items() if name not in ("file", "verbose", "quiet")
    }
    if verbose or quiet:
        given["verbosity"] = verbose - quiet
    loaded = load(given, os.environ, file=file)
    config = loaded.config
    ui = terminal(config)
    for warning in loaded.warnings:
        ui.warning(warning)
    signals = Signals(config.on_term)
    runner = AdvancedAgentRunner(config, os.environ, ui, signals, lambda: load(given, os.environ, file=file).config)
    if config.metrics_port is not None:
        serve_metrics(config, ui)
    signals.install()
    tally = runner.run()
    if signals.is_interrupted and signals.intent in (Intent.STOP, Intent.LEAVE):
        return 130
    if config.single_task and not tally.total:
        return 0 if signals.is_draining else NO_TASK
    return 1 if config.single_task and tally.failed else 0
