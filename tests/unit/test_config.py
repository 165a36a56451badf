"""Defaults < file < environment < arguments, and every mistake in one message."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from components.config import Config, Loaded, load, require
from components.errors import ConfigError
from components.settings import SETTINGS
from components.states import Level, Role

CHECKOUT = Path(__file__).parents[2]


class Place:
    """A user with a home, a current directory and an environment."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.directory = root / "work"
        self.home.mkdir()
        self.directory.mkdir()
        self.environ = {"HOME": str(self.home)}

    def write(self, text: str, path: Path | None = None, mode: int = 0o600) -> Path:
        path = path or self.home / ".headless-pm" / "config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def load(self, arguments: Mapping[str, object] | None = None, file: Path | None = None, **environ: str) -> Loaded:
        return load(arguments or {}, {**self.environ, **environ}, file=file, directory=self.directory)

    def mistakes(self, *args: object, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            self.load(*args, **environ)  # type: ignore[arg-type]
        return [line.strip() for line in str(raised.value).splitlines()[1:]]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_table_has_one_row_for_each_field():
    assert [*(setting.name for setting in SETTINGS), "tasks"] == [field.name for field in dataclasses.fields(Config)]


def test_no_variable_gives_two_settings():
    names = [name for setting in SETTINGS for name in setting.variables]

    assert len(names) == len(set(names))


def test_every_default_is_what_its_own_kind_would_read(place: Place):
    for setting in SETTINGS:
        if setting.default is not None:
            plain = setting.default
            plain = list(plain) if isinstance(plain, tuple) else plain
            plain = dict(plain) if isinstance(plain, Mapping) else plain
            plain = str(plain) if isinstance(plain, Path) else plain
            assert setting.kind.from_yaml(plain) == setting.default, setting.name


def test_nothing_given_gives_the_defaults(place: Place):
    loaded = place.load()

    assert loaded.config.level is Level.SENIOR
    assert loaded.config.role is None
    assert loaded.config.api_url == "http://localhost:6969"
    assert loaded.config.home == place.home / ".headless-pm"
    assert loaded.config.repository == place.directory
    assert loaded.config.models == {"junior": "sonnet", "senior": "sonnet", "principal": "opus"}
    assert loaded.config.executor == "claude"
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.warnings == ()
    assert loaded.file is None


def test_the_later_source_wins_and_says_so(place: Place):
    path = place.write("claude_timeout: 1\nhook_timeout: 1\npoll_interval: 1\n")

    loaded = place.load({"poll_interval": 3.0}, HEADLESS_PM_HOOK_TIMEOUT="2", HEADLESS_PM_POLL_INTERVAL="2")

    config, origins = loaded.config, loaded.origins
    assert (config.claude_timeout, config.hook_timeout, config.poll_interval, config.settle) == (1, 2, 3, 1)
    assert origins["claude_timeout"] == f"file {path}:1"
    assert origins["hook_timeout"] == "environment HEADLESS_PM_HOOK_TIMEOUT"
    assert origins["poll_interval"] == "argument --poll-interval"
    assert origins["settle"] == "default"


@pytest.mark.parametrize(
    ("variable", "field", "text", "value"),
    [
        ("HEADLESS_PM_API_KEY", "api_key", "k1", "k1"),
        ("API_KEY_HEADLESS_PM", "api_key", "k2", "k2"),
        ("API_KEY", "api_key", "k3", "k3"),
        ("HEADLESS_PM_API_URL", "api_url", "https://pm.example", "https://pm.example"),
        ("HEADLESS_PM_URL", "api_url", "https://pm.example:8443/pm/", "https://pm.example:8443/pm"),
        ("HEADLESS_PM_WORKTREE_BASE", "worktree_base", "/srv/trees", Path("/srv/trees")),
        ("HEADLESS_PM_HOOK_TIMEOUT", "hook_timeout", "30", 30.0),
        ("HEADLESS_PM_CLAUDE_TIMEOUT", "claude_timeout", "600", 600.0),
        ("HEADLESS_PM_HEALTH_CHECK_INTERVAL", "health_check_interval", "300", 300.0),
        ("AGENT_COMMAND", "agent_command", "my-agent --say 'two words'", ("my-agent", "--say", "two words")),
        ("HEADLESS_PM_ALLOWED_TOOLS", "allowed_tools", "Read, Bash(git *)", ("Read", "Bash(git *)")),
        ("HEADLESS_PM_MAX_TASKS", "max_tasks", "none", None),
        ("HEADLESS_PM_LOG_JSON", "log_json", "yes", True),
    ],
)
def test_the_environment_is_read(place: Place, variable: str, field: str, text: str, value: object):
    loaded = place.load(**{variable: text})

    assert getattr(loaded.config, field) == value
    assert loaded.origins[field] == f"environment {variable}"


def test_the_first_variable_of_a_setting_wins_and_an_empty_one_is_absent(place: Place):
    both = place.load(HEADLESS_PM_API_KEY="first", API_KEY="third")
    empty = place.load(HEADLESS_PM_API_KEY="", API_KEY="third")

    assert (both.config.api_key, empty.config.api_key) == ("first", "third")


def test_an_argument_that_is_none_is_not_given(place: Place):
    assert place.load({"single_task": None}, HEADLESS_PM_SINGLE_TASK="1").config.single_task is True
    assert place.load({"single_task": False}, HEADLESS_PM_SINGLE_TASK="1").config.single_task is False


def test_every_mistake_of_every_source_is_told_at_once(place: Place):
    place.write("claude_timeout: 30s\nsetle: 2\nlevel: 7\n")

    mistakes = place.mistakes({"role": "dev"}, None, HEADLESS_PM_API_URL="ftp://x", HEADLESS_PM_MAX_TURNS="0")

    assert len(mistakes) == 6
    assert [line.split(" ")[0] for line in mistakes] == [
        "api_url",
        "max_turns",
        "role",
        "setle",
        "claude_timeout",
        "level",
    ]
    assert all("file" in line or "environment" in line or "argument" in line for line in mistakes)
    assert all(";" in line for line in mistakes), "each has a remedy"


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("HEADLESS_PM_CLAUDE_TIMEOUT", "30s", "without a unit"),
        ("HEADLESS_PM_CLAUDE_TIMEOUT", "0", "out of range"),
        ("HEADLESS_PM_CLAUDE_TIMEOUT", "-5", "out of range"),
        ("HEADLESS_PM_CLAUDE_TIMEOUT", "nan", "not a number"),
        ("HEADLESS_PM_CLAUDE_TIMEOUT", "inf", "not a number"),
        ("HEADLESS_PM_CLAUDE_TIMEOUT", "1e999", "out of range"),
        ("HEADLESS_PM_CLAUDE_TIMEOUT", "1_000", "not a number"),
        ("HEADLESS_PM_SETTLE", "0.49", "out of range"),
        ("HEADLESS_PM_HEARTBEAT_INTERVAL", "1800", "out of range"),
        ("HEADLESS_PM_MAX_TASKS", "1.5", "not whole"),
        ("HEADLESS_PM_SINGLE_TASK", "maybe", "neither yes nor no"),
        ("HEADLESS_PM_AGENT_ID", "../../etc/passwd", "not allowed"),
        ("HEADLESS_PM_AGENT_ID", "a" * 65, "not allowed"),
        ("HEADLESS_PM_AGENT_ID", "dev\n", "control characters"),
        ("HEADLESS_PM_LEVEL", "senor", "did you mean senior?"),
        ("HEADLESS_PM_ROLE", "fullstack_dev", "frontend_dev and backend_dev"),
        ("HEADLESS_PM_ROLE", "backend-dev", "did you mean backend_dev?"),
        ("HEADLESS_PM_ON_TERM", "quit", "one of leave, wait, stop"),
        ("HEADLESS_PM_PERMISSION_MODE", "acceptedits", "did you mean acceptEdits?"),
        ("HEADLESS_PM_EXECUTOR", "../evil", "not allowed"),
        ("HEADLESS_PM_REPOSITORY", "nowhere", "no such directory"),
        ("HEADLESS_PM_CLAUDE_PATH", "/nowhere/claude", "no such file"),
        ("HEADLESS_PM_HOME", "~somebody/x", "whole path"),
        ("HEADLESS_PM_ENVIRONMENT", "GOOD,BAD-NAME", "'BAD-NAME' is not a name"),
        ("HEADLESS_PM_MODELS", "intern=haiku", "write one of junior, senior, principal"),
        ("HEADLESS_PM_MODELS", "junior=", "no name of a model"),
        ("HEADLESS_PM_API_URL", "http://", "not an http or https address"),
        ("HEADLESS_PM_API_URL", "localhost:6969", "not an http or https address"),
        ("HEADLESS_PM_API_URL", "http://h:99999", "not an address"),
        ("HEADLESS_PM_API_URL", "http://h/?key=1", "more than a host"),
        ("AGENT_COMMAND", "agent 'torn", "close every quotation"),
        ("AGENT_COMMAND", "agent \udcff", "not UTF-8"),
        ("HEADLESS_PM_HOME", "/x\udcff", "not a path"),
        ("HEADLESS_PM_API_URL", "http://h\udcff", "control characters"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_the_remedy(place: Place, variable: str, text: str, words: str):
    (mistake,) = place.mistakes(**{variable: text})

    assert f"(environment {variable})" in mistake
    assert words in mistake
    assert mistake.isprintable()


def test_a_long_value_is_cut_in_the_message(place: Place):
    (mistake,) = place.mistakes(HEADLESS_PM_LEVEL="\x1b[31m" + "x" * 100_000)

    assert len(mistake) < 300
    assert "\x1b" not in mistake


def test_a_secret_never_stands_in_a_message(place: Place):
    mistakes = place.mistakes(
        {"api_key": "hush-argument"},
        place.write("api_key: [hush-file]\n"),
        HEADLESS_PM_API_KEY="hush environment",
        HEADLESS_PM_API_URL="http://user:hush@pm.example",
    )

    assert len(mistakes) == 4
    assert "hush" not in "\n".join(mistakes)


def test_the_repr_of_a_configuration_has_no_secret(place: Place):
    config = place.load(HEADLESS_PM_API_KEY="hush").config

    assert config.api_key == "hush"
    assert "hush" not in repr(config)


def test_an_argument_that_is_no_setting_is_a_mistake(place: Place):
    (mistake,) = place.mistakes({"pol_interval": 3})

    assert "did you mean poll_interval?" in mistake


@pytest.mark.parametrize(
    "url", ["http://localhost:6969/", "http://localhost:6969/api/v1", "HTTP://localhost:6969/api/v1/"]
)
def test_a_trailing_slash_and_the_prefix_of_the_api_are_dropped(place: Place, url: str):
    assert place.load(HEADLESS_PM_API_URL=url).config.api_url == "http://localhost:6969"


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://pm.example", True),
        ("http://10.0.0.1:6969", True),
        ("https://pm.example", False),
        ("http://127.0.0.9:1", False),
        ("http://[::1]:6969", False),
    ],
)
def test_a_key_that_would_cross_a_network_in_the_clear_is_warned_of(place: Place, url: str, warned: bool):
    assert bool(place.load(HEADLESS_PM_API_URL=url).warnings) is warned


def test_a_misspelt_variable_is_warned_of(place: Place):
    (warning,) = place.load(HEADLESS_PM_CLAUDE_TIMEOT="5", HEADLESS_PM_PORT="x").warnings

    assert "did you mean HEADLESS_PM_CLAUDE_TIMEOUT?" in warning


def test_paths_start_at_the_current_directory_and_know_the_users_home(place: Place):
    (place.directory / "repo").mkdir()

    config = place.load({"repository": "repo"}, HEADLESS_PM_HOME="~/state", HEADLESS_PM_WORKTREE_BASE="../trees").config

    assert config.repository == place.directory / "repo"
    assert config.home == place.home / "state"
    assert config.worktree_base == place.directory.parent / "trees"


def test_the_agent_id_follows_the_role_unless_it_is_given(place: Place):
    assert place.load({"role": Role.QA}).config.agent_id == "qa_001"
    assert place.load({"role": "qa", "agent_id": "dev_007@host-1.x"}).config.agent_id == "dev_007@host-1.x"
    assert place.load().config.agent_id == ""


def test_a_command_makes_itself_the_executor_unless_another_is_named(place: Place):
    assert place.load(AGENT_COMMAND="true").config.executor == "command"
    assert place.load({"executor": "claude"}, AGENT_COMMAND="true").config.executor == "claude"
    assert "set AGENT_COMMAND" in place.mistakes({"executor": "command"})[0]


def test_a_setting_that_is_required_names_every_way_to_give_it(place: Place):
    config = place.load().config

    with pytest.raises(ConfigError) as raised:
        require(config, "role", "api_key", "level")

    role, key = str(raised.value).splitlines()[1:]
    assert "--role or HEADLESS_PM_ROLE or `role:`" in role
    assert "frontend_dev, backend_dev, qa, architect, pm" in role
    assert "HEADLESS_PM_API_KEY" in key
    assert "--api-key" not in key
    require(place.load({"role": "qa"}, API_KEY="k").config, "role", "api_key")


def test_a_configuration_can_be_taken_apart_and_changed(place: Place):
    config = place.load({"role": "qa"}).config

    assert dataclasses.asdict(dataclasses.replace(config, settle=0.0))["settle"] == 0.0


def test_start_up_without_a_file_does_not_load_yaml(place: Place):
    code = (
        "import os, sys; from components.config import load; load({}, os.environ);"
        "print(sorted(sys.modules.keys() & {'yaml', 'requests', 'click', 'subprocess', 'difflib'}))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env={**place.environ, "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert ran.stdout == "[]\n"
