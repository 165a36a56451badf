"""Ids of executions as people type them: found, and completed by the shell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from components.errors import AmbiguousId, NotFound, RunnerError, StoreUnavailable

if TYPE_CHECKING:
    from components.config import Config
    from components.execution import Execution
    from components.execution_index import ExecutionFiles
    from components.store_reader import StoreReader

OFFERED = 50
TITLE_LETTERS = 50


def complete(context: click.Context, parameter: click.Parameter, beginning: str) -> list[CompletionItem]:
    """Return the newest ids that begin so, each with its title; whatever goes wrong, there are none."""
    del parameter
    from components.config import load

    try:
        config = load({}, os.environ, file=context.params.get("file")).config
        newest = looking(config).newest_ids(OFFERED)
    except (RunnerError, OSError):
        return []
    return [
        CompletionItem(id[:8], help=title.replace("\n", " ")[:TITLE_LETTERS])
        for id, title in newest  # noqa: A001
        if id.startswith(beginning.lower())
    ]


def complete_project(context: click.Context, parameter: click.Parameter, beginning: str) -> list[CompletionItem]:
    """Return the configured projects that begin so; where none does, it is a directory."""
    del parameter
    from components.config import load

    try:
        known = load({}, os.environ, file=context.params.get("file")).config.projects
    except (RunnerError, OSError):
        known = {}
    names = [CompletionItem(name, help=str(known[name])) for name in known if name.startswith(beginning)]
    return names or [CompletionItem(beginning, type="dir")]


def one_of(words: Iterable[str]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return the completion of an option that takes one of these words, but is not checked by click."""
    return lambda _context, _parameter, beginning: [str(word) for word in words if word.startswith(beginning)]


def looking(config: Config) -> StoreReader:
    """Return the history as it stands, for a command that does without it where it does not answer soon."""
    from components import store_file
    from components.store_reader import StoreReader

    return StoreReader(config.store, store_file.LOOK_SECONDS)


def at_hand(config: Config, word: str) -> ExecutionFiles:
    """Return the execution that a person means, for a command that needs its files. Raises AmbiguousId and NotFound.

    One whose files were pruned is told as that: `list` shows it, so it cannot be unknown.
    """
    from components import execution_index

    try:
        return execution_index.find(config.home, word)
    except AmbiguousId:
        raise
    except NotFound as unknown:
        try:
            rows = looking(config).beginning_with(word.strip().lower())
        except RunnerError:
            rows = []
        if len(rows) != 1:
            raise
        raise NotFound(
            f"execution {rows[0].short_id} has no files here any more: it was pruned, or done on another machine;"
            f" `show {rows[0].short_id}` tells what the history keeps of it"
        ) from unknown


def found(config: Config, reader: StoreReader | None, word: str) -> tuple[ExecutionFiles, Execution | None]:
    """Return an execution by its files and by its history; it has one of them at least.

    Where the history does not answer, or there is no reader, the files tell alone.
    Raises AmbiguousId, NotFound with what is near, and StoreUnavailable where there are no files either.
    """
    from components import execution_index
    from components.execution_index import ExecutionFiles

    if reader is None:
        return execution_index.find(config.home, word), None
    try:
        files = execution_index.find(config.home, word)
    except AmbiguousId:
        raise
    except NotFound as nearest:
        try:
            row = reader.get(word)
        except NotFound as unknown:
            raise (nearest if reader.path is None or not reader.newest_ids(1) else unknown) from None
        return ExecutionFiles(config.home, row.id, row.task_id), row
    try:
        return files, reader.get(files.id)
    except (NotFound, StoreUnavailable):
        return files, None
