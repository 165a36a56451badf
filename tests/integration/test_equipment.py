"""What agents are started with: found and looked at once, told of where it was not tested."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from components.config import Config, load
from components.equipment import Outfitter
from components.errors import AgentMissing, ConfigError
from components.model import Task
from components.states import Complexity
from components.terminal_ui import TerminalUI
from tests.runner import make_repository


class Shop:
    """A configuration file, a Claude CLI that notes each of its starts, and what is said of it."""

    def __init__(self, directory: Path, version: str = "2.1.330 (Claude Code)") -> None:
        self.directory = directory
        self.said = io.StringIO()
        self.starts = directory / "starts"
        self.program = directory / "claude"
        self.program.write_text(f"#!/bin/sh\necho x >> {self.starts}\necho '{version}'\n")
        self.program.chmod(0o755)
        self.environ = {**os.environ, "HEADLESS_PM_HOME": str(directory / "home")}
        self.outfitter = Outfitter(self.environ, TerminalUI(self.said, colour=False))

    def config(self, text: str) -> Config:
        file = self.directory / "my.yaml"
        file.write_text(f"claude_path: {self.program}\n{text}")
        file.chmod(0o600)
        repository = self.directory / "repository"
        if not repository.exists():
            make_repository(repository)
        return load({"role": "qa", "repository": str(repository)}, self.environ, file=file).config


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("2.1.196 (Claude Code)", "is older than 2.1.197, the oldest tested; claude update"),
        ("2.1.331 (Claude Code)", "is newer than 2.1.330, the newest tested; if it misbehaves: npm install -g"),
        ("Claude Code, the autumn release", "is of a version that cannot be compared with 2.1.330"),
    ],
)
def test_a_cli_that_was_not_tested_is_used_and_the_log_says_so(tmp_path: Path, version: str, words: str) -> None:
    shop = Shop(tmp_path, version)

    shop.outfitter(shop.config(""))

    assert words in shop.said.getvalue()


def test_of_a_tested_cli_the_log_tells_version_and_place_only(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    shop.outfitter(shop.config(""))

    assert f"Claude CLI 2.1.330 at {shop.program}" in shop.said.getvalue()
    assert len(shop.said.getvalue().splitlines()) == 1


def test_a_program_is_looked_at_once_however_many_kinds_of_tasks_use_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    config = shop.config("tasks: {major: {permission_mode: plan}, junior: {models: {junior: opus}}, 7: {max_turns: 3}}")

    shop.outfitter.try_all(config)
    made = [shop.outfitter(config.for_sections(name)) for name in ("major", "junior", "7", "major")]

    assert shop.starts.read_text() == "x\n"
    assert made[0] is made[3]
    assert made[1].models.model("junior") == "opus"
    assert made[0].models.model("junior") == "sonnet"


def test_every_meeting_of_sections_is_tried_before_a_task_comes(tmp_path: Path) -> None:
    """Each of the two sections alone can work: only a task that both speak of cannot."""
    shop = Shop(tmp_path)
    tasks = "senior: {executor: claude, agent_command: [no-such-agent]}, 42: {executor: command}"
    config = shop.config(f"agent_command: [cat]\nexecutor: claude\ntasks: {{{tasks}}}")

    for section in config.tasks:
        shop.outfitter(config.for_sections(section))

    with pytest.raises(AgentMissing, match=r"tasks, senior \+ 42: AGENT_COMMAND: .* 'no-such-agent'"):
        shop.outfitter.try_all(config)


def test_a_mistake_for_one_task_names_the_task(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    with pytest.raises(ConfigError, match="tasks, 42: executor: 'no_such' is not known"):
        shop.outfitter.try_all(shop.config("tasks: {42: {executor: no_such}}"))


def test_a_task_may_see_more_of_the_environment(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.environ["GOFLAGS"] = "-mod=vendor"
    config = shop.config("tasks: {major: {environment: [GOFLAGS]}}")

    major = config.for_task(Task(id="1", title="t", complexity=Complexity.MAJOR))

    assert shop.outfitter(major).environment["GOFLAGS"] == "-mod=vendor"
    assert "GOFLAGS" not in shop.outfitter(config).environment
