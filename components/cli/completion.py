"""The `completion` command: what a shell has to know to complete our words."""

from __future__ import annotations

import sys

import click

from components.cli import COMPLETION

SHELLS = ("bash", "zsh", "fish")
PROGRAMS = ("agent-runner", "advanced-agent-runner")
FISH_SPLIT, FISH_SPLIT_ONCE = 'string split ","', 'string split --max 1 ","'
"""How click's script takes an answer apart: at every comma, so that a description ended at its first one."""
HELP = """Print what a shell has to know to complete commands, options, and the ids of the newest executions.

\b
  bash   agent-runner completion bash > ~/.local/share/bash-completion/completions/agent-runner
         (both names: echo 'eval "$(agent-runner completion bash)"' >> ~/.bashrc)
  zsh    echo 'eval "$(agent-runner completion zsh)"' >> ~/.zshrc      (after compinit)
  fish   agent-runner completion fish > ~/.config/fish/completions/agent-runner.fish
         (both names: echo 'agent-runner completion fish | source' >> ~/.config/fish/config.fish)

Exit codes: 0 printed, 2 a mistake in the call.
"""


@click.command(name="completion", help=HELP, short_help="Print the completion for a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print it, for both of our names."""
    from click.shell_completion import get_completion_class

    from components.cli import group

    kind = get_completion_class(shell)
    assert kind is not None
    for program in PROGRAMS:
        made = kind(group, {}, program, COMPLETION)
        script = made.source_template % made.source_vars()
        sys.stdout.write(script.replace(FISH_SPLIT, FISH_SPLIT_ONCE).strip() + "\n")


def answer(instruction: str) -> int:
    """Answer a shell that asks, by the variable, what a word may become."""
    from click.shell_completion import shell_complete

    from components.cli import group

    return shell_complete(group, {}, PROGRAMS[0], COMPLETION, instruction)
