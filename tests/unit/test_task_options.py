"""What the configuration says for some tasks only: by complexity, level and id."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from components.config import Config, Loaded, load
from components.errors import ConfigError
from components.model import Task
from components.model_mapper import ModelMapper
from components.settings import LIMITS, PER_TASK, PROGRAM, PROOF, SETTINGS
from components.states import Complexity

TASK = Task(id="42", title="T", level="senior", complexity=Complexity.MAJOR)


def read(tmp_path: Path, text: str, arguments: Mapping[str, object] | None = None, **environ: str) -> Loaded:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return load(arguments or {}, {"HOME": str(tmp_path), **environ}, file=path, directory=tmp_path)


def config(tmp_path: Path, text: str, arguments: Mapping[str, object] | None = None, **environ: str) -> Config:
    return read(tmp_path, text, arguments, **environ).config


def mistake(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    return str(raised.value)


def test_without_a_section_that_speaks_of_it_a_task_gets_the_very_configuration(tmp_path: Path) -> None:
    plain = config(tmp_path, "tasks: {minor: {grace: 3}, 41: {grace: 4}, junior: {grace: 5}}")

    assert plain.for_task(TASK) is plain


def test_the_id_wins_over_the_level_and_the_level_over_the_complexity(tmp_path: Path) -> None:
    given = config(
        tmp_path,
        "claude_timeout: 100\n"
        "tasks:\n"
        "  42: {claude_timeout: 400}\n"
        "  major: {claude_timeout: 200, max_turns: 20, grace: 2}\n"
        "  senior: {claude_timeout: 300, max_turns: 30}\n",
    )

    mine = given.for_task(TASK)
    assert (mine.claude_timeout, mine.max_turns, mine.grace) == (400, 30, 2)
    other = given.for_task(dataclasses.replace(TASK, id="43", level="junior"))
    assert (other.claude_timeout, other.max_turns, other.grace) == (200, 20, 2)
    assert given.claude_timeout == 100


def test_the_section_of_a_role_is_less_than_a_task_and_a_call_is_more_than_both(tmp_path: Path) -> None:
    text = (
        "roles: {qa: {claude_timeout: 100, grace: 1}}\ntasks: {major: {claude_timeout: 200, max_turns: 7, leash: 60}}"
    )

    given = config(tmp_path, text, {"role": "qa", "leash": "90"}, HEADLESS_PM_MAX_TURNS="9").for_task(TASK)

    assert (given.claude_timeout, given.grace, given.max_turns, given.leash) == (200, 1, 9, 90)


def test_models_are_laid_over_each_other_level_by_level(tmp_path: Path) -> None:
    text = "models: {junior: haiku}\ntasks: {major: {models: {senior: opus}}, 42: {models: {principal: fable}}}"

    models = config(tmp_path, text).for_task(TASK).models

    assert models == {"junior": "haiku", "senior": "opus", "principal": "fable"}


def test_a_model_of_the_environment_stands_and_those_that_it_does_not_name_are_the_tasks(tmp_path: Path) -> None:
    text = "tasks: {major: {models: {senior: opus, junior: opus}}}"

    models = config(tmp_path, text, HEADLESS_PM_MODELS="senior=haiku").for_task(TASK).models

    assert (models["senior"], models["junior"]) == ("haiku", "opus")


def test_a_role_has_models_of_its_own(tmp_path: Path) -> None:
    text = "models: {senior: sonnet}\nroles: {qa: {models: {senior: opus}}, backend_dev: {models: {senior: haiku}}}"

    by_role = {role: config(tmp_path, text, {"role": role}).models for role in ("qa", "backend_dev", "pm")}

    assert {role: ModelMapper(models).model("senior") for role, models in by_role.items()} == {
        "qa": "opus",
        "backend_dev": "haiku",
        "pm": "sonnet",
    }


@pytest.mark.parametrize(
    ("text", "command", "executor"),
    [
        ("{agent_command: [x]}", ("x",), "command"),
        ("{agent_command: [x], executor: other}", ("x",), "other"),
        ("{executor: other}", (), "other"),
    ],
)
def test_a_task_may_have_another_program(tmp_path: Path, text: str, command: tuple[str, ...], executor: str) -> None:
    given = config(tmp_path, f"tasks: {{42: {text}}}")

    assert given.executor == "claude"
    assert (given.for_task(TASK).agent_command, given.for_task(TASK).executor) == (command, executor)


def test_an_executor_of_the_environment_stands_also_where_a_task_names_a_command(tmp_path: Path) -> None:
    given = config(tmp_path, "tasks: {42: {agent_command: [x]}}", HEADLESS_PM_EXECUTOR="claude")

    assert given.for_task(TASK).executor == "claude"


def test_what_belongs_to_a_program_to_limits_and_to_proof_may_be_set_and_nothing_else() -> None:
    assert {one.name for one in (*PROGRAM, *LIMITS, *PROOF)} - PER_TASK == {"daily_budget_usd"}
    assert {one.name for one in SETTINGS} >= PER_TASK


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tasks: {42: {role: qa}}", "tasks.42.role (file "),
        ("tasks: {42: {role: qa}}", "not for single tasks; write it at the left margin"),
        ("tasks: {42: {poll_interval: 3}}", "tasks.42.poll_interval"),
        ("tasks: {42: {api_key: s3cret-s3cret}}", "tasks.42.api_key"),
        ("tasks: {major: {daily_budget_usd: 3}}", "tasks.major.daily_budget_usd"),
        ("tasks: {major: {claud_timeout: 3}}", "tasks.major.claud_timeout"),
        ("tasks: {major: {claud_timeout: 3}}", "did you mean claude_timeout?"),
        ("tasks: {major: {claude_timeout: 0}}", "tasks.major.claude_timeout = 0"),
        ("tasks: {majr: {grace: 3}}", "did you mean major?"),
        ("tasks: {'../1': {grace: 3}}", "neither a task's id nor one of"),
        ("tasks: {major: {grace: 1}, major: {grace: 2}}", "given before, in line 1"),
        ("tasks: 3", "not a table"),
        ("tasks: {42: 3}", "not a table"),
        ("tasks: {42: {tasks: {}}}", "tasks.42.tasks"),
        ("tasks: {42: {executor: command}}", "there is no command; set AGENT_COMMAND"),
        ("roles: {qa: {tasks: {}}}", "not for one role; write it at the left margin"),
        ("task: {42: {grace: 3}}", "did you mean tasks?"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    told = mistake(tmp_path, text)

    assert words in told
    assert "s3cret" not in told


def test_an_empty_table_of_tasks_is_none(tmp_path: Path) -> None:
    assert config(tmp_path, "tasks:\n").tasks == {}
    assert config(tmp_path, "tasks: {42: }\n").for_task(TASK).grace == 10


def test_a_relative_path_of_a_task_starts_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "mcp.json").write_text("{}")

    assert config(tmp_path, "tasks: {42: {mcp_config: mcp.json}}").for_task(TASK).mcp_config == tmp_path / "mcp.json"


def test_the_origin_of_a_tasks_value_is_its_line(tmp_path: Path) -> None:
    loaded = read(tmp_path, "grace: 1\ntasks:\n  42:\n    grace: 3\n").for_sections("major", "senior", "42")

    assert (loaded.config.grace, loaded.origins["grace"]) == (3, f"file {tmp_path / 'my.yaml'}:4")
    assert loaded.origins["leash"] == "default"
