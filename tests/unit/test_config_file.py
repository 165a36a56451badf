"""The configuration file, and where the API key is found."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from components.config import Loaded, load
from components.errors import ConfigError
from components.settings import BY_NAME, SETTINGS
from components.states import Role

SCALARS = some.none() | some.booleans() | some.integers() | some.floats() | some.text() | some.dates()
VALUES = some.recursive(SCALARS, lambda inner: some.lists(inner) | some.dictionaries(SCALARS, inner), max_leaves=5)
KEYS = some.sampled_from([*BY_NAME, "roles"]) | some.text()
SECTIONS = some.dictionaries(KEYS, VALUES)
DOCUMENTS = SECTIONS | some.fixed_dictionaries(
    {"roles": some.dictionaries(some.sampled_from(list(map(str, Role))), SECTIONS)}
)
VARIABLES = some.sampled_from([name for setting in SETTINGS for name in setting.variables])


def read(tmp_path: Path, text: str | bytes, arguments: Mapping[str, object] | None = None, **environ: str) -> Loaded:
    path = tmp_path / "my.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o600)
    return load(arguments or {}, {"HOME": str(tmp_path), **environ}, file=path, directory=tmp_path)


def mistakes(tmp_path: Path, text: str | bytes, **environ: str) -> str:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text, **environ)
    return str(raised.value)


def test_every_type_is_read_as_it_is_written(tmp_path: Path):
    config = read(
        tmp_path,
        "role: qa\nclaude_timeout: 90\nsettle: 0.5\nsingle_task: true\nidle_timeout: null\n"
        "agent_command: [agent, two words]\nallowed_tools: Read, Edit\nenvironment: [CI]\n",
    ).config

    assert (config.role, config.claude_timeout, config.settle, config.single_task) == ("qa", 90, 0.5, True)
    assert config.agent_command == ("agent", "two words")
    assert config.allowed_tools == ("Read", "Edit")
    assert config.environment == ("CI",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('claude_timeout: "30s"', "without quotes or a unit"),
        ('claude_timeout: "30"', "without quotes or a unit"),
        ("claude_timeout: true", "not a number"),
        ("claude_timeout: .nan", "out of range"),
        ("claude_timeout: .inf", "out of range"),
        ("claude_timeout: 1" + "0" * 400, "out of range"),
        ("claude_timeout:", "empty; write a number of seconds"),
        ("max_tasks: 2.5", "not whole"),
        ("single_task: 1", "write true or false, without quotes"),
        ("agent_id: 007", "a number, not text; put it in quotes"),
        ("agent_id: 2026-11-21", "a date, not text; put it in quotes"),
        ("level: no", "true or false, not text"),
        ("environment: [CI, 5]", "item 2 is not text"),
        ("agent_command: ['']", "names no program"),
        ("models: sonnet", "not a table"),
        ("models: {senior: 4}", "senior has no name of a model"),
        ("models: {1: opus}", "a number, not text"),
        ("claud_timeout: 5", "unknown key; did you mean claude_timeout?"),
        ("zzz: 5", "unknown key; take it out"),
        ("level: junior\nlevel: senior", "given before, in line 1"),
        ("models: {junior: a, junior: b}", "given before, in line 1"),
        ("roles:\n  qa:\n    settle: 1\n  qa:\n    settle: 2", "given before, in line 2"),
        ("roles:\n  fullstack_dev:\n    settle: 1", "roles.fullstack_dev"),
        ("roles:\n  qa:\n    role: pm", "roles.qa.role"),
        ("roles:\n  qa:\n    setle: 1", "roles.qa.setle"),
        ("roles:\n  qa:\n    settle: x", "roles.qa.settle"),
        ("roles: [qa]", "not a table"),
        ("- a\n- b", "not a table"),
        ("just words", "not a table"),
        ("level: [senior", "line 1, column 15"),
        ("level: senior\n\tsettle: 1", "line 2, column 1"),
        ("level: !!python/object/apply:os.system [true]", "line 1, column 8"),
        ("level: *nowhere", "line 1, column 8"),
        ("--- {}\n--- {}", "line 2, column 1"),
        ("agent_id: 2026-13-45", "not YAML"),
        ("level: &a [*a]", "not YAML"),
        ("level: " + "[" * 50_000, "not YAML"),
        ("level: \x07", "not YAML"),
        (b"level: \xff", "not UTF-8"),
        ("#" * 300_000, "larger than 256 kB"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_mistake_is_told_with_its_line_and_the_remedy(tmp_path: Path, text: str | bytes, words: str):
    message = mistakes(tmp_path, text)

    assert words in message
    assert "my.yaml" in message
    assert len(message) < 700


def test_the_line_of_a_mistake_is_counted_from_one(tmp_path: Path):
    message = mistakes(tmp_path, "# first\n\nlevel: boss\n")

    assert "my.yaml:3)" in message


def test_an_empty_file_is_no_mistake(tmp_path: Path):
    assert read(tmp_path, "").file == tmp_path / "my.yaml"
    assert read(tmp_path, "# nothing\nroles:\n").config.level == "senior"


def test_a_model_that_is_not_named_keeps_its_default(tmp_path: Path):
    text = "models: {principal: fable}\nroles:\n  qa:\n    models: {junior: haiku}\n"

    assert read(tmp_path, text).config.models == {"junior": "sonnet", "senior": "sonnet", "principal": "fable"}
    assert read(tmp_path, text, {"role": "qa"}).config.models == {
        "junior": "haiku",
        "senior": "sonnet",
        "principal": "fable",
    }


def test_what_is_for_one_role_wins_in_the_file_for_that_role_only(tmp_path: Path):
    text = "roles:\n  qa:\n    claude_timeout: 1200\nclaude_timeout: 60\n"

    assert read(tmp_path, text).config.claude_timeout == 60
    assert read(tmp_path, text, {"role": "pm"}).config.claude_timeout == 60
    assert read(tmp_path, text, {"role": "qa"}).config.claude_timeout == 1200
    assert read(tmp_path, "role: qa\n" + text).config.claude_timeout == 1200
    assert read(tmp_path, text, {"role": "qa"}, HEADLESS_PM_CLAUDE_TIMEOUT="9").config.claude_timeout == 9


def test_roles_may_share_a_section(tmp_path: Path):
    text = "roles:\n  qa: &slow\n    claude_timeout: 1200\n  pm:\n    <<: *slow\n    settle: 2\n"

    config = read(tmp_path, text, {"role": "pm"}).config

    assert (config.claude_timeout, config.settle) == (1200, 2)


def test_paths_in_the_file_start_at_the_file(tmp_path: Path):
    (tmp_path / "etc" / "roles").mkdir(parents=True)
    path = tmp_path / "etc" / "c.yaml"
    path.write_text("team_roles: roles\nworktree_base: ~/trees\n")

    config = load({}, {"HOME": "/home/me"}, file=path, directory=tmp_path).config

    assert config.team_roles == tmp_path / "etc" / "roles"
    assert config.worktree_base == Path("/home/me/trees")


def test_the_file_is_the_argument_then_the_variable_then_the_one_in_the_home(tmp_path: Path):
    named, of_variable, of_home = (tmp_path / name for name in ("a.yaml", "b.yaml", "config.yaml"))
    for path in (named, of_variable, of_home):
        path.write_text("{}")
    environ = {"HEADLESS_PM_HOME": str(tmp_path), "HEADLESS_PM_CONFIG": "b.yaml"}

    assert load({}, environ, file=named, directory=tmp_path).file == named
    assert load({}, environ, directory=tmp_path).file == of_variable
    assert load({}, {"HEADLESS_PM_HOME": str(tmp_path)}, directory=tmp_path).file == of_home


def test_a_named_file_that_is_not_there_or_no_file_is_a_mistake(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")

    for path, words in (
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path, "regular"),
        (tmp_path / "pipe", "regular"),
    ):
        with pytest.raises(ConfigError, match=words):
            load({}, {"HOME": str(tmp_path)}, file=path, directory=tmp_path)


def test_a_link_to_nowhere_in_the_home_is_not_passed_over(tmp_path: Path):
    (tmp_path / "config.yaml").symlink_to("nowhere")

    with pytest.raises(ConfigError, match="no such file"):
        load({}, {"HEADLESS_PM_HOME": str(tmp_path)}, directory=tmp_path)


@pytest.mark.parametrize(("mode", "text", "refused"), [(0o644, "api_key: hush", True), (0o600, "api_key: hush", False)])
def test_a_file_with_a_secret_must_be_private(tmp_path: Path, mode: int, text: str, refused: bool):
    path = tmp_path / "with space.yaml"
    path.write_text(text)
    path.chmod(mode)

    if refused:
        with pytest.raises(ConfigError, match=r"chmod 600 '.*with space.yaml'") as raised:
            load({}, {}, file=path, directory=tmp_path)
        assert "hush" not in str(raised.value)
    else:
        assert load({}, {}, file=path, directory=tmp_path).config.api_key == "hush"


def test_a_file_without_a_secret_may_be_read_but_not_written_by_all(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text("level: junior")

    path.chmod(0o644)
    assert load({}, {}, file=path, directory=tmp_path).config.level == "junior"
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="any user may change this file"):
        load({}, {}, file=path, directory=tmp_path)


def test_the_key_is_read_from_a_private_file(tmp_path: Path):
    path = tmp_path / "key"
    path.write_text("from-file\n")
    path.chmod(0o600)

    loaded = load({"api_key_file": "key"}, {"HOME": str(tmp_path)}, directory=tmp_path)

    assert loaded.config.api_key == "from-file"
    assert loaded.origins["api_key"] == f"file {path}"


def test_between_a_key_and_its_file_the_later_source_wins(tmp_path: Path):
    (tmp_path / "key").write_text("from-file")
    (tmp_path / "key").chmod(0o600)

    assert read(tmp_path, "api_key_file: key", API_KEY="from-environment").config.api_key == "from-environment"
    assert read(tmp_path, "api_key: inline", {"api_key_file": "key"}).config.api_key == "from-file"


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("k", 0o644, "chmod 600"),
        ("", 0o600, "empty"),
        ("two words", 0o600, "nothing but the key"),
        ("k" * 9000, 0o600, "8 kB"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_a_mistake(tmp_path: Path, content: str, mode: int, words: str):
    (tmp_path / "key").write_text(content)
    (tmp_path / "key").chmod(mode)

    message = mistakes(tmp_path, "api_key_file: key")

    assert words in message
    assert "two words" not in message


def test_the_key_is_found_in_a_dotenv_of_the_repository_then_of_the_directory(tmp_path: Path):
    repository, directory = tmp_path / "repository", tmp_path / "directory"
    for where in (repository, directory):
        where.mkdir()
        (where / ".env").write_text(f"# a comment\nOTHER=1\nexport HEADLESS_PM_API_KEY='{where.name}-key' # note\n")
        (where / ".env").chmod(0o600)

    first = load({"repository": str(repository)}, {"HOME": "/x"}, directory=directory)
    (repository / ".env").unlink()
    second = load({"repository": str(repository)}, {"HOME": "/x"}, directory=directory)

    assert first.config.api_key == "repository-key"
    assert first.origins["api_key"] == f"file {repository}/.env (HEADLESS_PM_API_KEY)"
    assert first.warnings == ()
    assert second.config.api_key == "directory-key"


def test_a_dotenv_that_others_may_read_is_used_with_a_warning(tmp_path: Path):
    (tmp_path / ".env").write_text("API_KEY_HEADLESS_PM=hush")
    (tmp_path / ".env").chmod(0o644)

    loaded = load({}, {"HOME": "/x"}, directory=tmp_path)

    assert loaded.config.api_key == "hush"
    assert "chmod 600" in loaded.warnings[0]
    assert "hush" not in loaded.warnings[0]


def test_a_strangers_api_key_in_a_dotenv_never_leaves_the_machine(tmp_path: Path):
    (tmp_path / ".env").write_text("API_KEY=of-some-other-service")
    (tmp_path / ".env").chmod(0o600)

    here = load({}, {"HOME": "/x"}, directory=tmp_path)
    away = load({"api_url": "https://pm.example"}, {"HOME": "/x"}, directory=tmp_path)

    assert here.config.api_key == "of-some-other-service"
    assert away.config.api_key == ""


def test_the_key_that_the_embedded_server_made_serves_on_this_machine_only(tmp_path: Path):
    (tmp_path / "pm.key").write_text("made-here\n")
    (tmp_path / "pm.key").chmod(0o600)
    environ = {"HEADLESS_PM_HOME": str(tmp_path)}

    here = load({}, environ, directory=tmp_path)
    away = load({"api_url": "https://pm.example"}, environ, directory=tmp_path)

    assert (here.config.api_key, here.origins["api_key"]) == ("made-here", f"file {tmp_path}/pm.key")
    assert away.config.api_key == ""


def test_a_dotenv_that_makes_no_sense_is_passed_over(tmp_path: Path):
    for content in (b"HEADLESS_PM_API_KEY='torn\n", b"\xff\xfe", b"HEADLESS_PM_API_KEY=\n", b"x" * 300_000):
        (tmp_path / ".env").write_bytes(content)
        assert load({}, {"HOME": "/x"}, directory=tmp_path).config.api_key == ""


@settings(max_examples=150, deadline=None)
@given(content=some.binary() | some.text().map(str.encode) | DOCUMENTS.map(lambda tree: yaml.safe_dump(tree).encode()))
def test_no_file_whatever_gives_anything_but_a_configuration_or_the_message(content: bytes):
    with tempfile.TemporaryDirectory() as directory, contextlib.suppress(ConfigError):
        assert read(Path(directory), content).config.home


@settings(max_examples=150, deadline=None)
@given(environ=some.dictionaries(VARIABLES, some.text() | some.floats().map(str)))
def test_no_environment_whatever_gives_anything_but_a_configuration_or_the_message(environ: dict[str, str]):
    with contextlib.suppress(ConfigError):
        assert load({}, {"HOME": "/x", **environ}, directory=Path("/")).config.home
