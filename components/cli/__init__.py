"""The command line: `run` is the default command; each command is a module of its own, loaded when it is used."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components import __version__, errors, faults

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMPLETION = "_AGENT_RUNNER_COMPLETE"
"""By this variable a shell asks for the completion of what was typed."""
COMMANDS: Mapping[str, str] = {
    "run": "Work on the tasks of a Headless PM server (the default command).",
    "task": "Have an agent do one task in a project.",
    "status": "Show what is at work on this machine.",
    "logs": "Show what an agent does, or did, line by line.",
    "cancel": "Stop an execution.",
    "restart": "Do a task again.",
    "list": "List executions, newest first.",
    "show": "Show all that is known of an execution.",
    "diff": "Show what an execution has changed.",
    "cost": "Show what runs have cost.",
    "top": "Show all agents of this machine, live.",
    "config": "Show, check and write the configuration.",
    "workspaces": "Show worktrees and saved work; bring it back; remove old ones.",
    "prune": "Delete what old executions have left.",
    "prompt": "Show what an agent would be told about a task.",
    "locks": "Show who holds what.",
    "serve": "Serve the API, live streams and the dashboard.",
    "workflow": "Run graphs of agents that build upon each other.",
    "agent": "Spawn agents, one after the other or side by side.",
    "worker": "Perform the agents that wait in a queue, on one machine or many.",
    "doctor": "Check this machine and the configuration, and tell what to do.",
    "pm": "Serve an embedded Headless PM, and fill it with tasks.",
    "demo": "See three tasks done in a repository made for it.",
    "completion": "Print the completion for a shell.",
}
HIDDEN = frozenset({"await_turn", "drive", "execute"})
"""Commands that only we ourselves call."""
EXIT_CODES: Mapping[type[Exception], int] = {
    errors.ConfigError: 2,
    errors.NotFound: 4,
    errors.TaskTaken: 5,
    errors.AgentMissing: 69,
    errors.SourceUnavailable: 69,
    errors.StoreUnavailable: 69,
    errors.StateForeign: 75,
    errors.AgentIdInUse: 75,
    errors.TooManyTasks: 75,
    errors.StillRunning: 75,
    errors.Unauthorized: 77,
}
HELP = """Turn a queue of tasks into finished work by coding agents.

\b
Work on the tasks for backend developers until stopped:
  advanced-agent-runner --role backend_dev --agent-id dev_001
\b
Do one task and exit (0 done, 1 not done, 3 there was none):
  advanced-agent-runner --role backend_dev --agent-id dev_001 --single-task
\b
See it work first, without an account and without a server:
  advanced-agent-runner demo

Whatever dies and whenever: start the same command again, and it goes on where it was.
'run --help' tells all its options; a command without a name is 'run'.
"""
EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 a mistake in the call or the configuration, 3 no task, 4 what was named is not"
)
EPILOG += " there, 69 something needed is not there, 75 in use, or of a newer version, 77 the API key is refused, 130"
EPILOG += " interrupted."


class Commands(click.Group):
    """Commands by name; words that name none belong to `run`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS and cmd_name not in HIDDEN:
            return None
        command = import_module(f"components.cli.{cmd_name}").command
        if not gc.isenabled():
            gc.freeze()  # what is loaded stays: to look for garbage among it takes a tenth of a short command's time
            gc.enable()
        return _with_codes(command) if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; a word that is nearly the name of one is answered with that. Raises UsageError."""
        word = args[0]
        if not (word.startswith("-") or word in COMMANDS or word in HIDDEN or ctx.resilient_parsing):
            from difflib import get_close_matches

            near = get_close_matches(word, COMMANDS, 1)
            ctx.fail(f"No such command {word[:40]!r}.{f' Did you mean `{near[0]}`?' if near else ''}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ("--help", "-h", "--version"):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete from the table: a key press must not load all commands."""
        if not incomplete.startswith("-"):
            from click.shell_completion import CompletionItem

            return [CompletionItem(name, help=what) for name, what in COMMANDS.items() if name.startswith(incomplete)]
        return super().shell_complete(ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table: help must not load them all."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _with_codes(command: click.Command) -> click.Command:
    """Have the help of a command, and of those below it, tell what exit codes mean, where it does not yet."""
    if "xit code" not in f"{command.help} {command.epilog}":
        command.epilog = EPILOG
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        _with_codes(below)
    return command


@click.group(
    cls=Commands,
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="advanced-agent-runner")
def group() -> None:
    """The group of all commands."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code. No mistake of a user's ends in a traceback."""
    open_closed_streams()
    try:
        if COMPLETION in os.environ and arguments is None:
            from components.cli import completion

            return completion.answer(os.environ[COMPLETION])
        faults.arm(os.environ.get(faults.VARIABLE, ""))
        words = sys.argv[1:] if arguments is None else arguments
        with group.make_context(program_name(), list(words)) as context:
            code = group.invoke(context)
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except errors.RunnerError as error:
        say(f"Error: {error}")
        code = exit_code(error)
    except BrokenPipeError:
        code = 0
    except OSError as error:
        say(f"Error: {error.filename or 'the state or the output cannot be written'}: {error.strerror}")
        code = 74
    silence_broken_pipe()
    return code if isinstance(code, int) else 0


def exit_code(error: Exception) -> int:
    """Return the exit code that tells an error's kind."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), 1)


def program_name() -> str:
    """Return how the user called us, for the help texts."""
    name = Path(sys.argv[0]).name
    return "advanced-agent-runner" if name in ("__main__.py", "") else name


def say(message: str) -> None:
    """Tell an error; a closed output changes nothing."""
    with contextlib.suppress(OSError):
        click.echo(message, err=True)


def open_closed_streams() -> None:
    """Lead standard streams that the caller closed to nowhere: no file of ours may get their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def silence_broken_pipe() -> None:
    """Flush what is left; into a pipe that nobody reads it is dropped, and does not change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def settings_of(context: click.Context) -> dict[str, Any]:
    """Return the options of a command that were given, by the names of the settings."""
    given: dict[str, Any] = {}
    for name, value in context.params.items():
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            given[name] = value
    return given
