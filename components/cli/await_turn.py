"""`await_turn`: waits, in the background, until a typed task may begin, and starts its runner."""

from __future__ import annotations

import os

import click


@click.command(name="await_turn", hidden=True)
@click.argument("claim")
@click.argument("alive", type=int)
def command(claim: str, alive: int) -> int:
    """Wait for the turn of a typed task."""
    os.set_inheritable(alive, False)
    from components import background
    from components.config import load

    config = load({}, os.environ).config
    background.start_in_turn(config.home, claim, config.max_parallel_tasks, os.environ, print)
    return 0
