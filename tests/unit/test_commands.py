"""What all commands have in common: they answer programs too, and tell their exit codes."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from components import cli

WITHOUT_AN_ANSWER = frozenset({"run", "serve", "demo", "completion", "pm", "agent", "workflow"})
"""What works until it is stopped, prints for a shell, or has an answer only in some of its commands."""


def commands(
    name: str, command: click.Command, context: click.Context
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield a command and all below it, by their whole names."""
    inner = click.Context(command, parent=context, info_name=name)
    yield inner.command_path, command, inner
    if isinstance(command, click.Group):
        for below in command.list_commands(inner):
            found = command.get_command(inner, below)
            assert found is not None
            yield from commands(below, found, inner)


def of(name: str) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield a command by its first name, and all below it."""
    top = click.Context(cli.group, info_name="agent-runner")
    found = cli.group.get_command(top, name)
    assert found is not None
    return commands(name, found, top)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_tells_its_exit_codes(name: str) -> None:
    for path, command, context in of(name):
        assert "exit code" in " ".join(command.get_help(context).split()).lower(), path


@pytest.mark.parametrize("name", ["workflow", "agent"])
def test_a_command_below_another_one_does_not_contradict_its_exit_codes(name: str) -> None:
    """Regression: `workflow run --help` told of 3 what it means for `run`."""
    for path, command, context in of(name):
        assert "3 no task" not in " ".join(command.get_help(context).split()), path


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name not in WITHOUT_AN_ANSWER])
def test_every_command_answers_programs_too(name: str) -> None:
    for path, command, _ in of(name):
        if not isinstance(command, click.Group) and path != "agent-runner config reference":
            assert any("--json" in one.opts for one in command.params), path
